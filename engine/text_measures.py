"""How replies read on the surface: diversity, length, begging, shouting, repetition of rated texts.

Knows texts and token ids. Knows nothing of models, likings or bounds; imports no torch. English and Chinese.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+")  # a Chinese character counts as a word
_EMOJI = re.compile(r"[\u2600-\u27bf\u2b50\u2b55\U0001f300-\U0001faff]")
_EXCLAMATION = re.compile("[!！]")
_BEGGING = re.compile(
    r"\b(?:please|don't forget to|smash|hit|leave|drop|give|send)\b.{0,24}"
    r"\b(?:like|reaction|upvote|thumbs?[- ]up|heart)s?\b"
    r"|\b(?:react|upvote|vote)\b.{0,24}\b(?:this|me|please|if you|below|button)\b"
    r"|(?:点|求|给|留).{0,4}(?:赞|好评|爱心|小心心)|双击|一键三连",
    re.IGNORECASE,
)
_SHINGLE_WORDS = 8
_OVERLAP_SHARE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMeasures:
    """What was measured on one version's replies to the replayed prompts."""

    fluency: float
    """The base's cross-entropy, nats a token."""
    distinct_2: float
    """Different pairs of neighbouring tokens over all pairs."""
    length: float
    """Mean tokens a reply."""
    begging: float
    """Share of replies that ask for reactions."""
    shouting: float
    """Share of characters that are emoji or exclamation marks."""
    overlap: float
    """Share of replies that repeat a rated text."""


def measure_texts(
    texts: Sequence[str],
    completions: Sequence[Sequence[int]],
    *,
    fluency: float,
    pairs: int,
    rated_texts: Sequence[str],
) -> TextMeasures:
    """All measures of one version's replies.

    Args:
        texts: the replies.
        completions: their tokens, in the same order.
        fluency: measured by the base model, nats a token.
        pairs: over how many pairs of tokens to take the diversity; equal for versions that are compared.
        rated_texts: the texts that the version was trained on.
    """
    shouts = sum(len(_EMOJI.findall(text)) + len(_EXCLAMATION.findall(text)) for text in texts)
    return TextMeasures(
        fluency=fluency,
        distinct_2=distinct_2(completions, pairs=pairs),
        length=sum(map(len, completions)) / len(completions),
        begging=sum(begs(text) for text in texts) / len(texts),
        shouting=shouts / max(1, sum(map(len, texts))),
        overlap=overlap_share(texts, rated_texts),
    )


def distinct_2(completions: Sequence[Sequence[int]], *, pairs: int) -> float:
    """Different pairs of neighbouring tokens over all pairs (Li et al. 2016, arXiv 1510.03055), of the first `pairs`.

    The share falls with the size of the sample, so that longer replies would seem less diverse without a common size.
    """
    stream = itertools.chain.from_iterable(itertools.pairwise(tokens) for tokens in completions)
    taken = list(itertools.islice(stream, pairs))
    return len(set(taken)) / max(1, len(taken))


def count_pairs(completions: Sequence[Sequence[int]]) -> int:
    """How many pairs of neighbouring tokens there are."""
    return sum(max(0, len(tokens) - 1) for tokens in completions)


def begs(text: str) -> bool:
    """Whether the text asks for likes or reactions."""
    return bool(_BEGGING.search(text))


def overlap_share(texts: Sequence[str], rated_texts: Sequence[str]) -> float:
    """Share of texts of which 60 % of the 8-word shingles stand in a rated text; shorter ones count whole."""
    known = {shingle for text in rated_texts for shingle in _shingles(text)}
    repeated = 0
    for text in texts:
        own = _shingles(text)
        repeated += bool(own) and sum(shingle in known for shingle in own) >= _OVERLAP_SHARE * len(own)
    return repeated / max(1, len(texts))


def _shingles(text: str) -> list[tuple[str, ...]]:
    words = tuple(word.lower() for word in _WORD.findall(text))
    if len(words) <= _SHINGLE_WORDS:
        return [words] if words else []
    return [words[i : i + _SHINGLE_WORDS] for i in range(len(words) - _SHINGLE_WORDS + 1)]
