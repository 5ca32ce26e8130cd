"""Text from outside cannot break storage or Telegram, and Markdown loses no word on its way to people."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.common.text import beginning, parse_markdown, sanitize, split, truncate, utf16_length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  green tea \n", "green tea"),
        ("nul\x00 and bell\x07", "nul and bell"),
        ("lone \ud83d surrogate", "lone  surrogate"),
        ("two\nlines\tkept", "two\nlines\tkept"),
        ("👨‍👩‍👧 stays", "👨‍👩‍👧 stays"),
        ("half a \ufffdcharacter", "half a character"),
        ("\x00", ""),
        ("\u202ereversed\u202c label", "reversed label"),
        ("hid\u200bden \U000e0041words", "hidden words"),
        ("می‌خواهم stays", "می‌خواهم stays"),
    ],
)
def test_control_characters_and_broken_unicode_are_dropped(text: str, expected: str) -> None:
    assert sanitize(text) == expected


NEEDED = """
👨‍👩‍👧‍👦 🏳️‍🌈 🏴‍☠️ 👁️‍🗨️ ❤️‍🔥 👍🏽 🧑🏽‍🚀 👩🏻‍❤️‍💋‍👨🏿 ⛹🏿‍♀️ 🐈‍⬛ 🇩🇪🇫🇷 1️⃣#️⃣*️⃣ ❤️ ☺︎ ℹ️ ™️ ©️ ‼️ ↔️ ㊗️ 〰️ 🅰️ 🀄️ 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🏴󠁧󠁢󠁥󠁮󠁧󠁿 \U0001fae8 1⃣
می‌خواهم نمی‌دانم که این کتاب‌ها ه‍
۱۹۸۰\u200cها 5\u200cتایی PDF\u200cهای «کتاب»\u200cها (۲)\u200cام
क्‍ष क्‌ष हिन्दी में लिखा र‍্যাব ক্‌ষ ക്‍ ශ්‍රී తెలుగు‌లో
مرحبا بالعالم، أهلاً وسهلاً ۱۲۳ ﷽
שלום עולם, מַה שְּׁלוֹמְךָ
สวัสดีชาวโลก กา\u200bแฟ ភាសា\u200bខ្មែរ ใช้\u200bPython\u200bได้
\U00013000\U00013430\U00013001 \U00011052\U0001107f\U00011065
中文，字。葛\U000e0100 繁體字 ，\ufe00 にほんご 한국어 텍스트 ᄒᆞᆫ글
e\u0301 naïve ⠓⠑⠀⠇⠇⠕ ᠮᠣᠩᠭᠣᠯ\u180e 2 ≨\ufe00 a\u00a0b\u3000c\u202f!
""".strip().split("\n")


@pytest.mark.parametrize("text", NEEDED)
def test_what_emoji_and_scripts_need_stays(text: str) -> None:
    text = text.encode("ascii", "backslashreplace").decode("unicode_escape")
    assert sanitize(text) == text
    for word in text.split(" "):
        assert sanitize(word) == word and sanitize(f"x {word} y") == f"x {word} y"


UNSEEN = [
    *"\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2064\u206a\u3164\ufe00\ufe0e\ufe0f\ufeff",
    *"\uffa0\ufff9\ufffb\ufffd\ufffe\ufdd0\ue000\uf8ff\u034f\u180b\x00\x1b\x1c\x7f\x80\x9f\u202a\u202e\u2066\u2069",
    *map(
        chr,
        (
            0xD800,
            0xDFFF,
            0x1107F,
            0x13430,
            0x16FE4,
            0x1BCA0,
            0x1D159,
            0x1D173,
            0xE0001,
            0xE0041,
            0xE007F,
            0xE0100,
            0xF0000,
            0x10FFFD,
            0x1FFFF,
        ),
    ),
]


@pytest.mark.parametrize("unseen", UNSEEN, ids=lambda each: f"U+{ord(each):04X}")
def test_what_nobody_sees_goes(unseen: str) -> None:
    for plain in ("ab", "a b", "12", "٣!"):
        assert sanitize(f"{plain[0]}{unseen}{plain[1:]}{unseen}") == plain
    for plain in ("😀", "绿"):
        assert len(sanitize(f"{plain}{unseen * 9}")) <= 2, "a selector, and not a message of them"
    assert sanitize(f"a{unseen}b{unseen * 3}c") == "abc"
    assert sanitize(unseen * 5) == ""


@pytest.mark.parametrize("mark", ["\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_a_line_ends_with_a_line_feed_and_nothing_else(mark: str) -> None:
    assert sanitize(f"one{mark}two{mark}") == "one\ntwo"


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from([*"ab1 \n\u2800☺👍🏽🇩🏴❤\u20e3مکषแ绿\u0301", *UNSEEN, *"\r\v\u2028"]), max_size=30))
def test_a_clean_text_is_clean_and_has_the_lines_that_every_reader_sees(text: str) -> None:
    clean = sanitize(text)
    assert sanitize(clean) == clean
    assert clean.splitlines() == (clean.split("\n") if clean else [])
    seen = [each for each in text if each.isalnum() and each not in UNSEEN]
    assert [each for each in clean if each.isalnum()] == seen


def test_what_is_a_record_a_line_is_never_cut_where_only_python_sees_the_end_of_a_line() -> None:
    """`str.splitlines` and its like cut at U+2028, form feeds and more, which may stand within a record."""
    of_machines = {  # what a child, the kernel or SQLite says, and bytes, which are cut at line feeds and returns only
        "bot/cli/comparison.py", "bot/cli/write.py", "bot/learning/trainer_process.py", "bot/sandbox/bot_process.py",
        "bot/serving/base_model.py", "bot/serving/usable_models.py", "benchmarks/training.py", "engine/cgroups.py",
        "engine/process.py", "engine/data/dataset.py", "engine/data/trl_format.py", "storage/backup/integrity.py",
        "storage/db/schema.py",
    }  # fmt: skip
    root = Path(__file__).parents[3]
    found = {
        str(file.relative_to(root))
        for package in ("bot", "engine", "storage", "recipes", "benchmarks")
        for file in (root / package).rglob("*.py")
        if ".splitlines(" in file.read_text(encoding="utf-8")
    }
    assert found == of_machines


@pytest.mark.parametrize("text", ["a" * 5000, "😀" * 3000, "茶" * 4097, "a😀" * 2000])
def test_a_long_text_is_cut_to_what_telegram_can_show(text: str) -> None:
    cut = truncate(text, 4096)
    assert 4090 <= utf16_length(cut) <= 4096 and cut.endswith("…") and text.startswith(cut[:-1])


def test_a_text_that_fits_is_left_alone() -> None:
    assert truncate("😀" * 2048, 4096) == "😀" * 2048


def test_a_long_text_is_broken_between_paragraphs_else_sentences_else_words() -> None:
    paragraphs = "\n\n".join(["A sentence. " * 5] * 4)
    pieces = split(paragraphs, 130, last=70, most=9)
    assert all(piece.startswith("A sentence.") and utf16_length(piece) <= 130 for piece in pieces)
    assert utf16_length(pieces[-1]) <= 70 and " ".join(pieces).split() == paragraphs.split()
    assert split("😀" * 100, 100, last=100, most=9) == ("😀" * 50, "😀" * 50)
    assert split("word " * 50, 100, last=50, most=2)[1].endswith("…")
    assert split("short", 100, last=50, most=2) == ("short",)
    assert split("x" * 80, 100, last=50, most=3) == ("x" * 50, "x" * 30)


def test_of_a_text_that_is_too_long_the_beginning_ends_well() -> None:
    assert beginning("One.\n\nTwo is longer. And more", 20) == "One.\n\nTwo is longer."
    assert beginning("One two. Three\n\nfour five", 18) == "One two. Three"
    assert beginning("绿茶很好。喝一杯吧。再来", 10) == "绿茶很好。喝一杯吧。"
    assert beginning("short", 10) == "short" and beginning("x" * 30, 10) == "x" * 10


def shown(markdown: str) -> tuple[str, list[tuple[str, str]]]:
    """The text, and what of it looks how."""
    text, spans = parse_markdown(markdown)
    units = text.encode("utf-16-le")
    return text, [
        (span.kind, units[2 * span.offset : 2 * (span.offset + span.length)].decode("utf-16-le")) for span in spans
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Dear <name>, thank you for your <thing>.",
        "<div>\nHello <b>you</b>\n</div>",
        "a <!-- note --> b",
        "<?php echo 1 ?> <!DOCTYPE html> <![CDATA[x]]>",
        "Write to <press@tea.example> or see <https://tea.example/a?b=c>",
        "<script>alert(1)</script>",
        "1 < 2 > 0, a<b and c>d",
        "[Chorus]: Hello there",
        '[1]: https://tea.example "Tea"',
        "[words][1] and [words][] and [words]",
        "[^1]: the note[^1]",
        "items[0](name) and call[]() and f[x]()",
        "![note] and [a](javascript:alert)",
        "2*3*4 = 24, 2**3**4, 10*x*3",
        "$5 and $6, $x^2$, ||hidden|| a || b",
        "Name: ____ Date: ____",
        "snake_case_name, 5 * 4 * 3",
        "10. ten\n9. nine\n8. eight\n1. one\n1. one",
        "1) first\n2) second",
        "&bogus; &#8238;turned &#x202e; &zwnj",
        "R&D; Q&A",
        "a^b^ H~2~O x~y",
        ":smile: :::note",
        "line one\nline two",
        "#hashtag and #1",
    ],
)
def test_what_is_no_mark_to_people_stands_as_it_was_written(text: str) -> None:
    assert shown(text) == (text, [])


@pytest.mark.parametrize(
    ("markdown", "text", "looks"),
    [
        ("这是**“重点”**内容", "这是“重点”内容", [("bold", "“重点”")]),
        ("他**“甲”**和**“乙”**好", "他“甲”和“乙”好", [("bold", "“甲”"), ("bold", "“乙”")]),
        ("**重点：**内容", "重点：内容", [("bold", "重点：")]),
        ("请看*（一）*这里", "请看（一）这里", [("italic", "（一）")]),
        ("这是__“重点”__内容", "这是“重点”内容", [("bold", "“重点”")]),
        ("~~“删”~~后", "“删”后", [("strikethrough", "“删”")]),
        ("한국어**(중요)**입니다", "한국어(중요)입니다", [("bold", "(중요)")]),
        ('the **"word"**s', 'the "word"s', [("bold", '"word"')]),
        ("**Note:**now", "Note:now", [("bold", "Note:")]),
        ("the **3**rd", "the 3rd", [("bold", "3")]),
        ("🍵 **茶😀** `c😀`", "🍵 茶😀 c😀", [("bold", "茶😀"), ("code", "c😀")]),
        ("***both***", "both", [("italic", "both"), ("bold", "both")]),
        ("one<br>two<BR/>three<br />four", "one\ntwo\nthree\nfour", []),
        ("hard  \nbreak\\\nhere", "hard\nbreak\nhere", []),
        ("Tom &amp; Jerry &lt;both&gt; &copy;", "Tom & Jerry <both> ©", []),
        ("\\*not bold\\* \\<x\\>", "*not bold* <x>", []),
        ("[tea](https://tea.example)", "tea (https://tea.example)", []),
        ('[tea](https://tea.example "Tea & cup")', 'tea (https://tea.example "Tea & cup")', []),
        ("[https://tea.example](https://tea.example)", "https://tea.example", []),
        ("[](https://tea.example)", "https://tea.example", []),
        ("![a cup](https://tea.example/cup.png)", "a cup (https://tea.example/cup.png)", []),
        ("[tea](https://t.e/&#8238;x)", "tea (https://t.e/x)", []),
        (
            "# Tea *time*\n\ntext",
            "Tea time\n\ntext",
            [("bold", "Tea time"), ("underline", "Tea time"), ("italic", "time")],
        ),
        ("### Tea", "Tea", [("bold", "Tea")]),
        ("- a\n- b\n\n\n", "• a\n• b", []),
        ("- a\n  - b\n    - c\n- d\n\nend", "• a\n  • b\n    • c\n• d\n\nend", []),
        ("* a\n\n* b\n", "• a\n\n• b", []),
        ("1. a\n   - b\n2. c", "1. a\n  • b\n2. c", []),
        ("- [ ] buy\n- [x] **done**", "• [ ] buy\n• [x] done", [("bold", "done")]),
        ("> a\n> > b\n\nc", "a\n\nb\n\nc", [("blockquote", "a\n\nb")]),
        ("    Dear Ada", "Dear Ada", []),
        ("one\n***\ntwo", "one\n\n————————\n\ntwo", []),
        ("```\na <b>\n  **c**\n```\nend", "a <b>\n  **c**\n\nend", [("pre", "a <b>\n  **c**")]),
        ("```Dear Ada, hello\nx\n```", "Dear Ada, hello\nx", [("pre", "Dear Ada, hello\nx")]),
        ("~~~\nleft open", "left open", [("pre", "left open")]),
        (
            "| tea | **min** |\n|---|:-:|\n| 绿茶 | 2 | 70° |\n| a\\|b |\n",
            "tea  | min\n-----+-----+----\n绿茶 | 2   | 70°\na|b",
            [("pre", "tea  | min\n-----+-----+----\n绿茶 | 2   | 70°\na|b")],
        ),
    ],
)
def test_markdown_looks_as_people_mean_it(markdown: str, text: str, looks: list[tuple[str, str]]) -> None:
    found, spans = shown(markdown)
    assert (found, sorted(spans)) == (text, sorted(looks))


def test_the_language_of_a_program_is_told() -> None:
    text, (span,) = parse_markdown("```python\nprint(1)\n```")
    assert (text, span.kind, span.language) == ("print(1)", "pre", "python")


@pytest.mark.parametrize("depth", [30, 50, 1000])
@pytest.mark.parametrize("mark", ["> ", ">", "- ", "1. ", "*", "[", "`", "(", "![", "<", "&", "|", "~~", "_"])
def test_nothing_is_lost_however_deep_it_is(mark: str, depth: int) -> None:
    text, spans = parse_markdown(mark * depth + "deep")
    assert "deep" in text and len(spans) <= 2
    both, _ = parse_markdown(f"{mark}a " * depth + f"b{mark} " * depth)
    assert both.count("a") == both.count("b") == depth


WORDS = "word|Tea|7|x1|绿茶|重点|“|”|，|。|：|\"|'|é|😀|👍🏽|-|—|!|?|@ada|http://t.e|0|\u3000|\t|$|^|:|;|&|=".split("|")
MARKS = (
    r"* ** *** _ __ ~ ~~ ` `` # > >> - + [ ] ]( ](http://t.e/ ( ) ![ < > <name> </b> <!-- --> <a_href='x'> { } | --- \\"
    " === [a]: [^1] [x] [^1]: |---|---| 1. 12) ```"
).split()
PIECES = st.lists(
    st.sampled_from(
        [*WORDS, *MARKS, *(f"{mark} " for mark in MARKS), "\n", "\n\n", "  \n", "\\\n", "    ", "```\n", "\n```\n"]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(PIECES)
@example('1. a\n<b>\n2) [x](http://t.e/y "z") {q}')
def test_every_letter_figure_and_bracket_of_any_text_is_shown_in_its_order(markdown: str) -> None:
    text, spans = parse_markdown(markdown)
    length, units = utf16_length(text), text.encode("utf-16-le")
    for span in reversed(spans):  # the language of a program is told above it
        begin = 2 * span.offset
        units = units[:begin] + (span.language or "").encode("utf-16-le") + units[begin:]
    rest = iter(units.decode("utf-16-le"))
    for character in markdown:
        if character.isalnum() or character in "<{}":
            assert character in rest, (markdown, text, character)
    assert text.count(">") >= markdown.count("<name>") + markdown.count("</b>"), "others may be quotes"
    for span in spans:
        assert 0 <= span.offset < span.offset + span.length <= length
        text.encode("utf-16-le")[2 * span.offset : 2 * (span.offset + span.length)].decode(
            "utf-16-le"
        )  # halves no character
