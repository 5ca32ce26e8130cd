"""The grammar recognises what it writes, and texts whose topic is left open."""

from random import Random

import pytest

from engine.latent.slots import SLOTS, lift, slots
from recipes import corpus, grammar
from recipes.grammar import LANGUAGES, TOPIC_KINDS, Language, is_well_formed, style_of
from recipes.latent.skeletons import CorpusSpec, check_text, skeletons


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", TOPIC_KINDS)
def test_whatever_the_grammar_writes_is_well_formed(kind: str, language: Language) -> None:
    random = Random(f"{kind} {language}")
    for style in grammar.styles(kind, language):
        for _ in range(10):
            text = grammar.skeleton(kind, style, corpus.topic(language, random), language, random)
            assert is_well_formed(text, kind, language), text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", TOPIC_KINDS)
def test_a_text_with_two_words_exchanged_hardly_ever_is(kind: str, language: Language) -> None:
    random = Random(f"{kind} {language}")
    between = " " if language == "en" else ""
    tried = accepted = 0
    for _ in range(120):
        text = grammar.skeleton(
            kind, random.choice(grammar.styles(kind, language)), corpus.topic(language, random), language, random
        )
        words = text.split(between) if between else list(text)
        place = random.randrange(max(1, len(words) - 1))
        words[place : place + 2] = reversed(words[place : place + 2])
        if (other := between.join(words)) != text:
            tried += 1
            accepted += is_well_formed(other, kind, language)
    assert tried > 40
    assert accepted <= 0.03 * tried


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "\ue002",  # a title, but no slogan
        "\ue000: simply good.",  # no capital
        "Choose \ue002.",  # a capital in the middle
        "\ue002: simply good",  # no end
        "\ue002 are here to stay.",
        "Come home to \ue000. Come home to \ue000.",
    ],
)
def test_near_misses_are_told_from_slogans(wrong: str) -> None:
    assert not is_well_formed(wrong, "slogan", "en")


def test_one_person_keeps_name_and_pronoun() -> None:
    found = next(t for t in grammar.templates("en")["character"].values() for t in t if "{name}" in t and "{she}" in t)
    assert found, "the grammar has such a template"
    random = Random(0)
    written = (grammar.skeleton("story", "plain", corpus.topic("en", random), "en", random) for _ in range(200))
    text = next(t for t in written if " she " in t)
    assert is_well_formed(text, "story", "en")
    assert not is_well_formed(text.replace(" she ", " he "), "story", "en")


def test_the_style_is_told() -> None:
    assert style_of("Keep calm and blame \ue000.", "slogan", "en") == "playful"
    assert style_of("Keep calm and blame me.", "slogan", "en") is None


def test_a_lifted_topic_is_filled_in_again() -> None:
    drawn = list(skeletons(CorpusSpec(TOPIC_KINDS, texts=3000), seed=5))
    filled = [each.text.translate(slots(each.topic)) for each in drawn]
    lifted = [lift(text, each.topic) for text, each in zip(filled, drawn, strict=True)]
    assert sum(text == each.text for text, each in zip(lifted, drawn, strict=True)) > 0.98 * len(drawn)
    again = [text.translate(slots(each.topic)) for text, each in zip(lifted, drawn, strict=True)]
    assert sum(one == other for one, other in zip(again, filled, strict=True)) > 0.98 * len(drawn)
    assert all(any(slot in text for slot in SLOTS) for text in lifted)


def test_skeletons_come_again_by_the_seed() -> None:
    spec = CorpusSpec(TOPIC_KINDS, themed=False, texts=50)
    assert list(skeletons(spec, seed=1)) == list(skeletons(spec, seed=1)) != list(skeletons(spec, seed=2))


def test_the_grammar_says_of_a_text_whether_it_could_have_written_it_and_whether_a_model_has_learned_it() -> None:
    known = next(each for each in skeletons(CorpusSpec(("slogan",)), seed=0) if each.language == "en")
    text = known.text.translate(slots("green tea"))
    assert check_text(text, "green tea", "slogan", "en", model="starter") == (known.text, True, True)
    assert check_text("Say to yes green tea.", "green tea", "slogan", "en", model="starter")[1:] == (False, False)
