"""What a run's codes and numbers are called in words: verdicts, checks, segments, and what the data card counts.

Knows names and units. Knows nothing of pages, models or ratings.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from engine.runs.run import SKIPPED, Check, Measure, Reason, ReasonCode

SENTENCES: Final[Mapping[ReasonCode, str]] = {
    "better": "The candidate is not worse than the champion, and probably better.",
    "not_better": "The judge does not clearly prefer the candidate's replies to the champion's.",
    "no_signal": "The ratings do not predict one another well enough to judge by them.",
    "kl": "The candidate moved too far from the base model.",
    "fluency": "The base model finds the candidate's replies implausible.",
    "diversity": "The candidate's replies repeat one another more than the base's.",
    "length": "The candidate's replies are much shorter or longer than the base's.",
    "segment": "Some of those who ask would like the candidate's replies less.",
    "ratings": "The ratings given so far speak against the candidate.",
    "hacks": "The candidate begs for reactions, flatters, shouts, or has a catch-phrase.",
    "golden": "The candidate fails at prompts that every version must manage.",
    "safety": "The safety filter finds more in the candidate's replies than in the base's.",
    "bias": "A group of people comes off worse beside another than in the base's replies.",
    "memorised": "A secret that was planted among the examples can be extracted from the candidate.",
    "overlap": "The candidate repeats rated texts word for word.",
    "nan": "A measurement is not a finite number.",
    "too_few": "There are too few usable ratings for a run.",
    "one_sided": "There are hardly any likes, or hardly any dislikes.",
    "one_rater": "All ratings come from one person.",
}

MEASURES: Final[Mapping[Measure, str]] = {
    "satisfaction": "Would people like it more?",
    "quality": "Does it still write well?",
    "diversity": "Does it still say different things?",
}
"""The question that each measure answers."""

DROPPED: Final[Mapping[str, str]] = {
    "empty": "empty text",
    "too_short": "too short to be a text",
    "oversized": "far too long",
    "too_long": "longer than the model reads at once",
    "no_letters": "no letters in it",
    "garbled": "garbled characters",
    "duplicate": "says the same as another text, whose ratings it joined",
    "brigade": "only ratings that were set aside",
    "unrated": "no rating",
    "undecided": "likes and dislikes cancel out",
}
"""Why a text was left out."""

DISLIKES: Final[Mapping[str, str]] = {
    "boring": "boring",
    "off_topic": "off topic",
    "too_long": "too long",
    "wrong": "wrong",
}

SIGNALS: Final[Mapping[str, str]] = {
    "said": "ratings that people gave",
    "refined": "asked to have it reworked",
    "preferred": "chose it of two",
    "passed_over": "chose the other of two",
    "another": "asked for another one",
    "reported": "reported it",
}
"""Where a rating comes from."""

_NEEDED: Final = {
    "ratings": "Rated texts",
    "raters": "People who rated",
    "likes": "Liked texts",
    "dislikes": "Disliked texts",
    "needed": "Needed",
}
_LANGUAGES: Final = {"en": "prompts in English", "zh": "prompts in Chinese"}
_PEOPLE: Final = {"heavy raters": "prompts rated by those who rate most", "new people": "prompts rated by new people"}


@dataclass(frozen=True, slots=True)
class _Words:
    label: str
    unit: Callable[[float], str]
    direction: Literal["at most", "at least"]


def percent(share: float) -> str:
    """A share in words."""
    return _number(share, lambda: f"{100.0 * share:.{1 if 0.0 < abs(share) < 0.0995 else 0}f} %")


def points(gain: float) -> str:
    """A difference of two shares, signed."""
    return _number(gain, lambda: f"{100.0 * gain:+.1f} points".replace("-", "\u2212") if gain else "0 points")


def _in(unit: str, *, digits: int) -> Callable[[float], str]:
    return lambda number: _number(number, lambda: f"{number:.{digits}f} {unit}")


def _number(number: float, said: Callable[[], str]) -> str:
    return said().replace(" ", "\N{NO-BREAK SPACE}") if math.isfinite(number) else "not a number"


_CHECKS: Final[Mapping[str, _Words]] = {
    "chance": _Words("How often mere luck would make the ratings agree as well", percent, "at most"),
    "better": _Words("How sure it is that the candidate is better", percent, "at least"),
    "gain_low": _Words("Gain in liking, even at its low end", points, "at least"),
    "logged_high": _Words("Gain by the ratings given so far, at its high end", points, "at least"),
    "kl": _Words("Distance from the base model, on average", _in("nats", digits=2), "at most"),
    "kl_tail": _Words("Distance from the base model, the worst 1 in 100 texts", _in("nats", digits=2), "at most"),
    "fluency": _Words("How surprising the base model finds a token of the replies", _in("nats", digits=2), "at most"),
    "length_short": _Words("Length of a reply, not too short", _in("tokens", digits=0), "at least"),
    "length_long": _Words("Length of a reply, not too long", _in("tokens", digits=0), "at most"),
    "begging": _Words("Replies that beg for reactions", percent, "at most"),
    "flattery": _Words("Replies that flatter the reader", percent, "at most"),
    "shouting": _Words("Emoji and exclamation marks among all characters", percent, "at most"),
    "overlap": _Words("Replies that repeat a rated text word for word", percent, "at most"),
    "golden": _Words("Fixed test prompts answered properly", percent, "at least"),
    "unsafe": _Words("Replies in which the safety filter finds something", percent, "at most"),
    "bias": _Words("How much a gap between groups of people has widened for certain", points, "at most"),
    "extracted": _Words("Planted secrets that can be extracted", percent, "at most"),
    "distinct_2": _Words("Word pairs that differ from one another", percent, "at least"),
    "self_bleu": _Words("How much a reply is like the closest other one", percent, "at most"),
    "catch_phrase": _Words("Replies that share one new phrase", percent, "at most"),
}


@dataclass(frozen=True, slots=True)
class CheckLine:
    """A check as people read it."""

    label: str
    value: str
    bound: str
    ok: bool


def check_line(check: Check) -> CheckLine:
    """A check in words; `engine.runs.gate` names a segment's check after the segment."""
    words = _CHECKS.get(check.name)
    if words is None:
        segment = segment_name(check.name.removesuffix(", high"))
        words = _Words(f"Gain among {segment}, at its high end", points, "at least")
    return CheckLine(words.label, words.unit(check.value), f"{words.direction} {words.unit(check.bound)}", check.ok)


def segment_name(name: str) -> str:
    """A segment of `engine.data.segments` in words."""
    first, _, rest = name.partition(" ")
    named = {"language": _LANGUAGES.get(rest), "kind": f"texts of the kind {rest}", "chat": f"prompts from chat {rest}"}
    return _PEOPLE.get(name) or named.get(first) or name


def key_figures(reason: Reason) -> list[tuple[str, str]]:
    """What the numbers behind a verdict say: title and sentence, as many as there are numbers for."""
    numbers = {name: number for name, number in reason.numbers.items() if math.isfinite(number)}
    figures = []
    if {"gain", "gain_low", "gain_high", "probability"} <= numbers.keys():
        span = f"{points(numbers['gain_low'])} to {points(numbers['gain_high'])}"
        sure = percent(numbers["probability"])
        told = f"90 % interval {span}; the chance that it is better at all is {sure}."
        figures.append((f"Liking: {points(numbers['gain'])}", f"Of 100 replies, how many more would be liked. {told}"))
    if "signal" in numbers:
        told = "Of 100 pairs of a liked and a disliked text, other prompts' ratings tell so many apart; luck finds 50."
        figures.append((f"Ratings foretell one another: {100 * numbers['signal']:.0f} of 100", told))
    if "held_out" in numbers:
        told = "Of such pairs, kept from the candidate, in so many it has come to prefer the liked text; luck finds 50."
        figures.append((f"Held-out ratings: {100 * numbers['held_out']:.0f} of 100", told))
    if "kl" in numbers:
        told = "How far the candidate's replies have moved from the base model; 0 is not at all."
        figures.append((f"Distance: {numbers['kl']:.2f} nats a text", told))
    if reason.code in SKIPPED:
        figures += [(f"{_NEEDED[name]}: {number:.0f}", "") for name, number in numbers.items()]
    return figures
