"""The grammar and the corpus of the starter."""

import re
from pathlib import Path
from random import Random

import pytest

from bot.common.kinds import load_kinds
from engine.api.types import Message
from recipes import corpus, grammar
from recipes.grammar import KINDS, LANGUAGES, Language, Topic

OCCASIONS = [form for form in corpus.requests("en") if form not in KINDS]


def conversations(count: int, seed: int = 0) -> list[corpus.Conversation]:
    return list(corpus.conversations(count, seed=seed))


def test_two_corpora_of_one_seed_are_byte_identical(tmp_path: Path) -> None:
    for name in ("one", "two"):
        corpus.write_corpus(tmp_path / name, corpus.conversations(300, seed=7))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_seed_gives_another_corpus() -> None:
    assert conversations(50, seed=1) != conversations(50, seed=2)


def test_every_kind_is_written_in_both_languages() -> None:
    found = {(c.kind, c.language) for c in conversations(600)}
    assert found == {(kind, language) for kind in KINDS for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", [*(k for k in KINDS if k != "write"), *OCCASIONS])
def test_every_kind_and_occasion_has_at_least_eight_styles(form: str, language: Language) -> None:
    assert len(grammar.styles(form, language)) >= 8
    assert grammar.MORE in grammar.templates(language)[form]


def test_the_corpus_knows_every_kind_and_instruction_of_the_bot() -> None:
    kinds = load_kinds(model=["starter"]).by_name
    for name in KINDS:
        for language in LANGUAGES:
            asked = kinds[name].messages("green tea", language=language)
            said = corpus.instructions(name, language)[0]
            assert asked == (Message("system", said), Message("user", "green tea"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_becomes_a_text_without_traces_of_the_notation(language: Language) -> None:
    random = Random(0)
    for topic in (Topic("Zorvex"), Topic("autumn rain", "nature"), Topic("our nurses", "people", True, True)):
        for form, by_style in grammar.templates(language).items():
            for style in by_style:
                for _ in range(6):
                    text = grammar.write(form, style, topic, language, random)
                    assert text == text.strip()
                    assert not re.search(r"[{}\[\]|\ue000-\uf8ff]", text), text
                    assert "  " not in text, text


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_of_the_kinds_hold_their_topic_word_for_word(language: Language) -> None:
    random = Random(0)
    for kind in (k for k in KINDS if k != "write"):
        for style in grammar.styles(kind, language):
            topic = corpus.topic(language, random)
            text = grammar.write(kind, style, topic, language, random)
            assert topic.text.casefold() in text.casefold(), (kind, style)


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_hardly_ever_the_same_twice(language: Language) -> None:
    random = Random(0)
    for kind in ("story", "post", "poem", "pitch", "character"):
        texts = {
            grammar.write(kind, random.choice(grammar.styles(kind, language)), Topic("X1"), language, random)
            for _ in range(300)
        }
        assert len(texts) >= 0.85 * 300, kind


def test_held_out_topics_never_enter_the_corpus() -> None:
    said = "\n".join(m.content for c in conversations(4000) for m in c.messages).casefold()
    latin_words = set(re.findall(r"[a-z]+", said))
    random = Random(0)
    for language in LANGUAGES:
        names = {corpus.held_out_topic(language, random) for _ in range(400)}
        real = {name.text.casefold() for name in names if name.text in corpus.held_out_names(language)}
        assert len(real) >= 25
        assert [name for name in real if name in said] == []
    invented = {corpus.invented_topic("en", random, held_out=True).text.casefold() for _ in range(300)}
    assert [name for name in invented if name in latin_words] == []


def test_english_agrees_in_number_and_article() -> None:
    random = Random(0)
    one, many = Topic("tea", "drink"), Topic("bees", "animal", plural=True)
    ones = {grammar.write("slogan", "rhyme", one, "en", random) for _ in range(60)}
    manies = {grammar.write("slogan", "rhyme", many, "en", random) for _ in range(60)}
    assert any("tea is here to stay" in text for text in ones)
    assert any("bees are here to stay" in text for text in manies)
    texts = [m.content for c in conversations(1500) if c.language == "en" for m in c.messages if m.role == "assistant"]
    assert not [t for t in texts if re.search(r"\ba (apple|honest thief|umbrella|old|unlocked)\b", t) and "a old" in t]


def test_latin_words_stand_apart_in_chinese_text() -> None:
    random = Random(0)
    texts = [grammar.write("slogan", "rhyme", Topic("Zorvex 3000"), "zh", random) for _ in range(40)]
    assert not [text for text in texts if re.search(r"[\u4e00-\u9fff]Zorvex|3000[\u4e00-\u9fff]", text)]


def follow(change: str, language: Language, form: str, seed: int) -> tuple[str, str, str]:
    """The text before, the text after the wish, and the topic after it."""
    random = Random(seed)
    topic, other = corpus.topic(language, random), corpus.topic(language, random)
    style = random.choice([style for style in grammar.styles(form, language) if style != "quiet"])
    before = corpus.Draft(form, style, topic, grammar.write(form, style, topic, language, random))
    new = other if change == "topic" else topic
    after = corpus.follow(change, before, new, language, random)
    return before.text, after.text, new.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", ["poem", "story", "post", "slogan"])
def test_refined_texts_follow_the_wish(form: str, language: Language) -> None:
    for seed in range(30):
        before, after, _ = follow("longer", language, form, seed)
        assert after.startswith(before)
        assert len(after) > len(before)
        assert not grammar.has_emoji(follow("without_emoji", language, form, seed)[1])
        assert grammar.has_emoji(follow("with_emoji", language, form, seed)[1])
        _, after, topic = follow("topic", language, form, seed)
        assert topic.casefold() in after.casefold()
        before, after, _ = follow("shorter", language, "story", seed)
        assert len(after) < len(before)


def test_a_conversation_alternates_between_the_two_and_ends_with_the_assistant() -> None:
    for item in conversations(400):
        roles = [m.role for m in item.messages]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert len(turns) >= 2
        assert all(m.content.strip() for m in item.messages)
