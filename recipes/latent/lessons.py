"""What each small generator learns from, and which words it has never met. Knows the grammar's lists, and no model.

The part of the corpus that the small generators learn: one prompt, one text, and where the topic stands left open.

Knows the grammar. The topic is a slot in the text (`engine.latent.slots`). What a person asks is turned into the
same form by
the model's chat template. Knows nothing of tokens.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final

from recipes import corpus, grammar
from recipes.grammar import LANGUAGES, Language, Topic, words

_WORD = re.compile(r"[\u4e00-\u9fff]+|[^\W\d_]+(?:['’-][^\W\d_]+)*")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_SMALL = frozenset("a an the our my your of in on at for with and to by from no new old first last".split())


@dataclass(frozen=True, slots=True)
class Lessons:
    """The texts of `skeletons` that a generator is trained on."""

    kinds: tuple[str, ...]
    """It writes no others; the first stands in for them."""
    themed: bool = True
    """Whether the words of a text fit its topic's theme; the topic's words are part of the prompt then."""
    texts: int = 40_000


LESSONS: Final[Mapping[str, Lessons]] = {
    "vae": Lessons(("slogan", "title", "poem")),
    "gan": Lessons(("slogan",), themed=False, texts=20_000),
}


def unseen_words(model: str, topic: str) -> list[str]:
    """The topic's words that no lesson of the model names, in order; none of a model that reads no topic."""
    lessons = LESSONS.get(model)
    if lessons is None or not lessons.themed:
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


@dataclass(frozen=True, slots=True)
class Skeleton:
    """One text for one topic."""

    kind: str
    language: Language
    style: str
    topic: str
    text: str


def skeletons(count: int, kinds: tuple[str, ...], *, themed: bool, seed: int) -> Iterator[Skeleton]:
    """So many texts of these kinds in both languages; `themed` takes words that fit the topic, where it has a theme."""
    random = Random(f"skeletons {seed}")
    for _ in range(count):
        kind, language = random.choice(kinds), random.choice(LANGUAGES)
        drawn = corpus.topic(language, random)
        topic = Topic(drawn.text, drawn.theme if themed else "", drawn.plural)
        style = random.choice(grammar.styles(kind, language))
        yield Skeleton(kind, language, style, topic.text, grammar.skeleton(kind, style, topic, language, random))
