"""What is measured on texts: form, diversity, memory and liking. Pure numbers; knows no model and no engine."""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from bot.cli.comparison_asks import UNRATED, Ask
from bot.sandbox.people.tastes import Taste
from engine.latent.slots import lift
from engine.runs.text_measures import count_pairs, distinct_2, self_bleu, words_of
from recipes import grammar
from recipes.grammar import Topic
from recipes.latent.lessons import Lessons
from recipes.latent.skeletons import skeletons
from recipes.parser import is_well_formed

_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What texts are like, whoever likes them."""

    well_formed: float
    """Share that the grammar could have written."""
    distinct_2: float
    self_bleu: float
    different: float
    """Different texts among all, their topics left open."""
    memorised: float
    """Share that stand in the corpus word for word, their topics left open."""
    fluency: float
    """Nats a token, under the starter."""


@dataclass(frozen=True, slots=True)
class Liking:
    """The mean liking of texts by the hidden taste."""

    mean: float
    margin: float
    """Half of the 95 % interval."""
    unrated: float
    """The mean over topics on which nobody has rated anything."""


def quality(
    asks: Sequence[Ask], texts: Sequence[str], corpus: Collection[str], *, pairs: int, fluency: float
) -> Quality:
    """Measure texts; `pairs` as in `engine.runs.text_measures.distinct_2`."""
    lifted = lifted_texts(asks, texts)
    words = word_numbers(texts)
    return Quality(
        well_formed=_share([is_well_formed(a, b.asked.kind, b.language) for a, b in zip(lifted, asks, strict=True)]),
        distinct_2=distinct_2(words, pairs=pairs),
        self_bleu=self_bleu(words),
        different=len(set(lifted)) / len(lifted),
        memorised=_share([text in corpus for text in lifted]),
        fluency=fluency,
    )


def pairs_in(texts: Sequence[str]) -> int:
    """How many pairs of neighbouring words there are."""
    return count_pairs(word_numbers(texts))


def word_numbers(texts: Sequence[str]) -> list[list[int]]:
    """The words of each text as numbers, equal words as equal ones."""
    numbers: dict[str, int] = {}
    return [[numbers.setdefault(word, len(numbers)) for word in words_of(text)] for text in texts]


def lifted_texts(asks: Sequence[Ask], texts: Sequence[str]) -> list[str]:
    """The texts with what they were asked about left open."""
    return [lift(text, ask.asked.topic) for ask, text in zip(asks, texts, strict=True)]


@cache
def corpus_of(lessons: Lessons) -> frozenset[str]:
    """What a small generator learns from: texts of the grammar, their topics left open."""
    return frozenset(each.text for each in skeletons(lessons.texts, lessons.kinds, themed=lessons.themed, seed=0))


def by_grammar(asks: Sequence[Ask], chance: Random) -> tuple[str, ...]:
    """What the grammar itself writes for the asks."""
    return tuple(
        grammar.write(
            ask.asked.kind,
            chance.choice(grammar.styles(ask.asked.kind, ask.language)),
            Topic(ask.asked.topic),
            ask.language,
            chance,
        )
        for ask in asks
    )


def liking(taste: Taste, asks: Sequence[Ask], texts: Sequence[str]) -> Liking:
    """How the hidden taste likes the texts."""
    liked = [taste.liking(text, ask.asked) for ask, text in zip(asks, texts, strict=True)]
    unrated = [value for value, ask in zip(liked, asks, strict=True) if ask.half == UNRATED]
    spread = statistics.stdev(liked) if len(liked) > 1 else 0.0
    return Liking(statistics.fmean(liked), _Z * spread / math.sqrt(len(liked)), statistics.fmean(unrated or liked))


def best_by_topic(taste: Taste, asks: Sequence[Ask], texts: Sequence[str]) -> Mapping[str, float]:
    """The liking of the best text on each topic."""
    best: dict[str, float] = {}
    for ask, text in zip(asks, texts, strict=True):
        best[ask.asked.topic] = max(best.get(ask.asked.topic, 0.0), taste.liking(text, ask.asked))
    return best


def gain(before: float, after: float, reachable: float) -> float | None:
    """What was gained, as a share of what could be had; None where nothing could."""
    headroom = reachable - before
    return (after - before) / headroom if headroom > 1e-3 else None


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)
