"""A brigade of fresh accounts against the label model: how many of the bad texts that they push people's nights learn.

The people are simulated as in a group of strangers: each rates some of the texts and is right three times in four, and
so do honest newcomers, who must not be taken for a brigade. No model is trained.
"""

import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.tables import Table
from engine.api.types import Message
from engine.data.dataset import RatedGeneration, Rating, examples_of

SEEDS = 5
PEOPLE, NEWCOMERS = 200, 20
TEXTS, BAD_TEXTS = 300, 15
ACCURACY = 0.75
ACTIVITY, NEWCOMERS_ACTIVITY = 0.08, 0.3
"""The share of the texts that a person rates; newcomers are curious."""

_MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Brigade:
    """How the pushing is done."""

    accounts: int = 20
    tenure: float = 0.1
    minutes: float = 30.0
    """All of a text's pushes come within so long."""
    is_alone: bool = False
    """Nobody else gets to see the bad texts."""
    newcomers_own: int = 0
    """So many of the other texts are rated by newcomers only."""
    camouflage: float = 0.0
    """The share of the other texts that they rate as honest people do."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What a seed came to, each a share."""

    by_majority: float
    """Of the bad texts, those that most of their raters like, one voice each."""
    accepted: float
    """Of the bad texts, those that become liked examples."""
    brigade_aside: float
    """Of the brigade's ratings, those set aside."""
    honest_aside: float
    """Of the honest newcomers' ratings, those set aside."""


def measure() -> Table:
    """Every way of pushing over all seeds."""
    plans = [
        ("nobody pushes", Brigade(accounts=0), ""),
        ("… newcomers alone rate 100 of the texts", Brigade(accounts=0, newcomers_own=100), ""),
        (f"20 fresh accounts among {PEOPLE + 20} raters", Brigade(), "≤ 5 %"),
        ("… over a day", Brigade(minutes=24 * 60.0), "≤ 5 %"),
        ("… who rate 10 % of all other texts honestly", Brigade(camouflage=0.1), "≤ 5 %"),
        ("… on texts that nobody else rates", Brigade(is_alone=True), "≤ 5 %"),
        ("60 fresh accounts", Brigade(accounts=60), ""),
        ("… on texts that nobody else rates", Brigade(accounts=60, is_alone=True), ""),
        ("20 accounts that were known for long", Brigade(tenure=1.0), ""),
    ]
    rows = [_row(name, [damage(plan, seed=seed) for seed in range(SEEDS)], goal) for name, plan, goal in plans]
    note = (
        f"{PEOPLE} established people, each rating {ACTIVITY:.0%} of {TEXTS} texts and right in {ACCURACY:.0%}, and"
        f" {NEWCOMERS} honest newcomers, as right, rating {NEWCOMERS_ACTIVITY:.0%}, within one night's data; a brigade"
        f" likes each of {BAD_TEXTS} bad texts. Means over {SEEDS} seeds, range for the bad texts that become liked"
        " examples. The goal is the label model's; the plain majority has one voice a person and no memory."
    )
    columns = [
        "way", "accepted by plain majority", "accepted by the label model", "goal", "brigade's ratings set aside",
        "honest newcomers' ratings set aside",
    ]  # fmt: skip
    return Table("Brigades", note, columns, rows)


def damage(plan: Brigade, *, seed: int) -> Damage:
    """Simulate one night and label it."""
    rng = random.Random(seed)
    rows = [_text(number, plan, rng) for number in range(TEXTS)]
    bad = rows[:BAD_TEXTS]
    examples, card = examples_of(rows)
    liked = {example.text for example in examples if example.value > 0.0}
    caught = sum(count for name, count in card.brigades.items() if name.startswith("push"))
    everything = Counter(rating.rater[:3] for row in rows for rating in row.ratings)
    return Damage(
        by_majority=statistics.mean(sum(rating.value for rating in row.ratings) > 0.0 for row in bad),
        accepted=statistics.mean(row.text in liked for row in bad),
        brigade_aside=caught / max(1, everything["pus"]),
        honest_aside=(card.set_aside - caught) / everything["new"],
    )


def _text(number: int, plan: Brigade, rng: random.Random) -> RatedGeneration:
    """The first texts are bad, of the others half; ratings come within a day of the text, a push within its minutes."""
    is_bad = number < BAD_TEXTS or rng.random() < 0.5
    is_target = number < BAD_TEXTS
    crowd = [(f"old{n:03}", 1.0, ACTIVITY) for n in range(PEOPLE)]
    crowd += [(f"new{n:03}", 0.1 + 0.02 * n, NEWCOMERS_ACTIVITY) for n in range(NEWCOMERS)]
    ratings = []
    if number >= TEXTS - plan.newcomers_own:
        crowd = crowd[PEOPLE:]
    if not (is_target and plan.is_alone):
        ratings += [_honest(name, tenure, is_bad, rng) for name, tenure, share in crowd if rng.random() < share]
    for n in range(plan.accounts):
        if is_target:
            ratings.append(Rating(f"push{n:02}", 1.0, plan.tenure, _after(60 * plan.minutes, rng)))
        elif rng.random() < plan.camouflage:
            ratings.append(_honest(f"push{n:02}", plan.tenure, is_bad, rng))
    return RatedGeneration(
        id=f"{number:04}",
        kind="slogan",
        chat="group",
        author="author",
        version="starter",
        messages=(Message("user", f"topic {number}"),),
        text=f"A text about the topic {number}.",
        ratings=tuple(ratings),
    )


def _honest(name: str, tenure: float, is_bad: bool, rng: random.Random) -> Rating:
    is_right = rng.random() < ACCURACY
    return Rating(name, -1.0 if is_bad == is_right else 1.0, tenure, _after(86_400.0, rng))


def _after(seconds: float, rng: random.Random) -> str:
    return (_MONDAY + timedelta(seconds=rng.uniform(0.0, seconds))).isoformat()


def _row(name: str, seeds: Sequence[Damage], goal: str) -> list[str]:
    accepted = [one.accepted for one in seeds]
    return [
        name,
        f"{statistics.mean(one.by_majority for one in seeds):.1%}",
        f"{statistics.mean(accepted):.1%} ({min(accepted):.1%} to {max(accepted):.1%})",
        goal,
        f"{statistics.mean(one.brigade_aside for one in seeds):.1%}",
        f"{statistics.mean(one.honest_aside for one in seeds):.2%}",
    ]
