"""Parse modes and the measuring of text."""

import pytest

from bot.sandbox.api.markup import parse
from bot.sandbox.world.errors import ApiError
from bot.sandbox.world.text import Formatted, trimmed, utf16_length


def marks(formatted: Formatted) -> list[tuple]:
    return [(entity.kind, entity.offset, entity.length) for entity in formatted.entities]


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("plain &amp; &lt;simple&gt; &#33;", "plain & <simple> !", []),
        ("<b>bold <i>both</i></b>", "bold both", [("bold", 0, 9), ("italic", 5, 4)]),
        ("😀 <strong>x</strong>", "😀 x", [("bold", 3, 1)]),
        (
            "<u>u</u><s>s</s><del>d</del>",
            "usd",
            [("underline", 0, 1), ("strikethrough", 1, 1), ("strikethrough", 2, 1)],
        ),
        ('<a href="https://example.org/?a=1&amp;b=2">x</a>', "x", [("text_link", 0, 1)]),
        ('<a href="javascript:alert(1)">x</a>', "x", []),
        ('<span class="tg-spoiler">x</span><tg-spoiler>y</tg-spoiler>', "xy", [("spoiler", 0, 1), ("spoiler", 1, 1)]),
        ("<blockquote expandable>x</blockquote>", "x", [("expandable_blockquote", 0, 1)]),
        ('<pre><code class="language-py">x=1</code></pre>', "x=1", [("pre", 0, 3)]),
        ("<b></b>empty", "empty", []),
    ],
)
def test_html(source, text, expected):
    parsed = parse(source, "HTML")
    assert (parsed.text, marks(parsed)) == (text, expected)


def test_html_keeps_addresses_and_languages():
    link = parse('<a href="https://example.org/?a=1&amp;b=2">x</a>', "html").entities[0]
    code = parse('<pre><code class="language-py">x</code></pre>', "html").entities[0]
    person = parse('<a href="tg://user?id=42">Ada</a>', "html").entities[0]
    assert (link.url, code.language, person.kind, person.user_id) == (
        "https://example.org/?a=1&b=2",
        "py",
        "text_mention",
        42,
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("é<b>x</i>", 'Unmatched end tag at byte offset 6, expected "</b>", found "</i>"'),
        ("<h1>x</h1>", 'Unsupported start tag "h1" at byte offset 0'),
        ("1 < 2 and 3", 'Unsupported start tag "" at byte offset 2'),
        ("ends with <b", "Unclosed start tag at byte offset 10"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
def test_html_refuses_in_telegrams_words(source, reason):
    with pytest.raises(ApiError) as refusal:
        parse(source, "HTML")
    assert refusal.value.description == f"Bad Request: can't parse entities: {reason}"


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        (r"plain\. 1\-2", "plain. 1-2", []),
        ("*bold _both_*", "bold both", [("bold", 0, 9), ("italic", 5, 4)]),
        ("__u__ ~s~ ||p||", "u s p", [("underline", 0, 1), ("strikethrough", 2, 1), ("spoiler", 4, 1)]),
        ("`a.b` ", "a.b ", [("code", 0, 3)]),
        ("```py\nx = 1```", "x = 1", [("pre", 0, 5)]),
        ("[x](https://example.org)", "x", [("text_link", 0, 1)]),
        (">quoted\nnot", "quoted\nnot", [("blockquote", 0, 6)]),
    ],
)
def test_markdown(source, text, expected):
    parsed = parse(source, "MarkdownV2")
    assert (parsed.text, marks(parsed)) == (text, expected)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("so.", "Character '.' is reserved and must be escaped with the preceding '\\'"),
        ("*x", "Can't find end of Bold entity at byte offset 0"),
        ("é `x", "Can't find end of Code entity at byte offset 3"),
    ],
)
def test_markdown_refuses_in_telegrams_words(source, reason):
    with pytest.raises(ApiError) as refusal:
        parse(source, "MarkdownV2")
    assert refusal.value.description == f"Bad Request: can't parse entities: {reason}"


def test_ends_are_trimmed_and_entities_move_along():
    content = parse("  <b>x </b>\n", "HTML")
    assert trimmed(content) == Formatted("x", (content.entities[0].__class__("bold", 0, 1),))


def test_characters_outside_the_basic_plane_count_twice():
    assert [utf16_length(text) for text in ("", "aé字", "😀", "👨‍💻")] == [0, 3, 2, 5]
