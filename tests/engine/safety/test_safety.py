"""One filter for prompts, texts and examples: what it finds, what it leaves alone, and what an operator changes."""

import pytest

from benchmarks.disguises import DISGUISES, sentences
from engine.errors import ModelError, RunError
from engine.models.guard import judgement
from engine.safety.filter import load_filter, normalize, personal_data
from recipes.corpus import conversations

FILTER = load_filter()
TOKEN = "123456789:AAE-this_is_a_token_of_35_characters"


def test_disguised_words_are_found():
    texts = [text for name in DISGUISES for text in sentences(name, seed=1)]
    found = [text for text in texts if FILTER.unsafe(text)]
    assert len(found) >= 0.95 * len(texts), sorted(set(texts) - set(found))


def test_what_the_starter_learns_from_passes():
    texts = [message.content for each in conversations(500, seed=3) for message in each.messages]
    assert sum(bool(FILTER.findings(text)) for text in texts) <= 0.01 * len(texts)


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe, Dickens and the cockpit: a classic assessment",
        "spicy grapes, therapist, raccoon, analysis, cocktails, titster",
        "a poem about suicide prevention and the memory of a genocide",
        "I. A. M. here, e.g. at 10 a.m. or 5 p.m.",
        "操作你的妈妈推荐的软件",
        "* * * and 3 * 4 = 12, see **bold**",
        "我们去做自己爱的视频吧",
        "路口交通，进出口交易额，港口交货，窗口交互，人群交流，一群交警，预约炮制",
        "他走到门口，交给她一封信",
        "这支那样的笔；沙比较细；抽血洗手；消灭门前的雪",
        "The cock crowed, a Maine Coon and two blue tits; fire-retarding rapeseed",
    ],
)
def test_ordinary_words_pass(text):
    assert FILTER.unsafe(text) == frozenset()


def test_phrases_are_found_in_whatever_disguise():
    for text in ("go and kill yourself", "KILL   YOURSELF!", "killyourself", "Ｈeil Hіtler", "white power now"):
        assert FILTER.unsafe(text), text
    assert not FILTER.unsafe("do not kill time, be yourself; white flour, power nap")


def test_many_starred_words_cost_no_more_than_a_few():
    text = " ".join(f"a*{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}" for i in range(800))
    assert FILTER.unsafe(text) == frozenset()
    assert len(normalize(text).masked) == 20


def test_categories_are_told_and_never_the_text():
    assert FILTER.findings("f.u.c.k, mail me at a@b.org") == {"insult", "personal_email"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ada@Example.org", {("email", "ada@example.org")}),
        ("+49 (30) 123-4567 89", {("phone", "+49301234" + "56789")}),
        ("打电话 13812345678", {("phone", "13812345678")}),
        ("4111 1111 1111 1111", {("card", "4111111111111111")}),
        ("4111 1111 1111 1112", set()),
        ("DE89 3704 0044 0532 0130 00 THANKS", {("bank_account", "DE89370400440532013000")}),
        ("DE88 3704 0044 0532 0130 00", set()),
        ("10.0.0.1, 2001:db8::1", {("ip_address", "10.0.0.1"), ("ip_address", "2001:db8::1")}),
        ("999.1.1.1 at 12:30:45 on 2026-11-27, version 1.2.3", set()),
        (f"it is {TOKEN}", {("secret", TOKEN)}),
        ("sk-proj-abcdefghijklmnopqrstuvwxyz", {("secret", "sk-proj-abcdefghijklmnopqrstuvwxyz")}),
        ("100 people, 25 % off, 1,000,000 stars", set()),
    ],
)  # fmt: skip
def test_personal_data_is_told_by_form_and_checksum(text, found):
    assert personal_data(text) == found


def test_a_text_leaks_only_what_its_prompt_did_not_tell():
    told = "A post: write to ada@example.org"
    assert FILTER.leaks("Write to ADA@example.org today!", told=told) == frozenset()
    assert FILTER.leaks("Write to bob@example.org today!", told=told) == {"personal_email"}


def test_an_operator_adds_words_and_takes_them_away(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text(
        "# ours\x0band\u2028theirs\nBazooka  # and why\n-bitch\n竞品\ngreen tea party\n-kill yourself\n",
        encoding="utf-8",
    )
    changed = load_filter(file)
    assert changed.unsafe("b-a-z-o-o-k-a") == {"house"} == changed.unsafe("试试竞 品")
    assert changed.unsafe("bitch") == frozenset() != changed.unsafe("cunt")
    assert changed.unsafe("our Green-Tea party!") == {"house"} and not changed.unsafe("green tea, then a party")
    assert not changed.unsafe("kill yourself") and not changed.unsafe("theirs")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("tea\n-nosuchword\n", "line 2: there is no 'nosuchword'"),
        ("ok\n\n-??\n", "line 3: '-[?][?]'"),
        ("C++\n", "line 1"),
        ("日本 car\n", "one script"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, lines, told):
    file = tmp_path / "words.txt"
    file.write_text(lines)
    with pytest.raises(RunError, match=told):
        load_filter(file)
    with pytest.raises(RunError, match="write one word a line"):
        load_filter(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("Safety: Safe\nCategories: None", set()),
        ("Safety: Unsafe\nCategories: Violent, Non-violent Acts", {"guard_violent", "guard_non_violent_acts"}),
        ("safety: Controversial", {"guard_unsafe"}),
    ],
)  # fmt: skip
def test_a_guards_answer_is_read(answer, found):
    assert judgement(answer) == found


def test_an_answer_that_says_nothing_of_safety_is_an_error():
    with pytest.raises(ModelError, match="cannot be read"):
        judgement("The weather is fine.")
