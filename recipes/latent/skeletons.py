"""What the small generators learn from: texts of the grammar whose topic is left open, and what can be told by them.

A skeleton is one text for one topic, with a slot wherever the topic stands (`engine.latent.slots`). What a person asks
is turned into the same form by the model's chat template.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final, NamedTuple

from engine.latent.slots import lift
from recipes import corpus, grammar
from recipes.grammar import LANGUAGES, Language, Topic, words

CORPUS_TEXTS: Final = 40_000
_WORD = re.compile(r"[\u4e00-\u9fff]+|[^\W\d_]+(?:['’-][^\W\d_]+)*")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_SMALL = frozenset("a an the our my your of in on at for with and to by from no new old first last".split())


@dataclass(frozen=True, slots=True)
class CorpusSpec:
    """Which skeletons a generator is trained on."""

    kinds: tuple[str, ...]
    """It writes no others; the first stands in for them."""
    themed: bool = True
    """Whether the words of a text fit its topic's theme; the topic's words are part of the prompt then."""
    texts: int = CORPUS_TEXTS


CORPORA: Final[Mapping[str, CorpusSpec]] = {
    "vae": CorpusSpec(("slogan", "title", "poem")),
    "gan": CorpusSpec(("slogan",), themed=False, texts=20_000),
}


@dataclass(frozen=True, slots=True)
class Skeleton:
    """One text for one topic."""

    kind: str
    language: Language
    style: str
    topic: str
    text: str


def skeletons(spec: CorpusSpec, *, seed: int) -> Iterator[Skeleton]:
    """The corpus, in both languages; the same for the same seed on every machine."""
    random = Random(f"skeletons {seed}")
    for _ in range(spec.texts):
        kind, language = random.choice(spec.kinds), random.choice(LANGUAGES)
        drawn = corpus.topic(language, random)
        topic = Topic(drawn.text, drawn.theme if spec.themed else "", drawn.plural)
        style = random.choice(grammar.styles(kind, language))
        yield Skeleton(kind, language, style, topic.text, grammar.skeleton(kind, style, topic, language, random))


class GrammarCheck(NamedTuple):
    """What the grammar says of a text."""

    skeleton: str
    """The text with its topic left open."""
    is_well_formed: bool
    """Whether the grammar could have written the skeleton for this kind and language."""
    is_in_corpus: bool
    """Whether the skeleton stands word for word among those that the model has learned from."""


def check_text(text: str, topic: str, kind: str, language: Language, *, model: str) -> GrammarCheck:
    """Check a text by the grammar, its topic left open.

    A model that is no small generator is checked against the corpus that one of this kind would learn from.
    """
    skeleton = lift(text, topic)
    known = _texts_of(CORPORA.get(model) or CorpusSpec((kind,)))
    return GrammarCheck(skeleton, grammar.is_well_formed(skeleton, kind, language), skeleton in known)


@cache
def _texts_of(spec: CorpusSpec) -> frozenset[str]:
    return frozenset(each.text for each in skeletons(spec, seed=0))


def unseen_words(model: str, topic: str) -> list[str]:
    """The topic's words that the model's corpus never names, in order; none for a model that reads no topic."""
    spec = CORPORA.get(model)
    if spec is None or not spec.themed:
        return []
    return [word for word in dict.fromkeys(_WORD.findall(topic)) if not _is_known(word.casefold())]


def _is_known(word: str) -> bool:
    if _CHINESE.search(word):  # without blanks between words, what is known may stand anywhere in it
        return any(known in word for known in _known() if len(known) > 1 and _CHINESE.search(known))
    return word in _SMALL or word in _known()


@cache
def _known() -> frozenset[str]:
    """The words by which the grammar's themes are named."""
    lists = (lists for language in LANGUAGES for lists in words(language).values())
    named = (name for each in lists for table in ("one", "many", "adj") for name in each.get(table, ()))
    return frozenset(word.casefold() for name in named for word in _WORD.findall(name))
