"""What live ratings do with a canary, in simulation: how often, how soon, and how often by mistake."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from benchmarks.tables import Table, percentile
from bot.learning.canary import DRIFT
from engine.runs.ab_test import LONGEST_RATINGS, Arm, Decision, LiveRating, arm_of, binomial_variance, decide

SIMULATIONS = 200
LIKING = 0.65
SHARES = (0.1, 0.5)
LEAST_RATINGS = 50
"""CANARY_RATINGS as it is by default; hours are not simulated."""
GAPS = (
    (-0.25, "25 points worse", 250),
    (-0.10, "10 points worse", 1500),
    (0.0, "equal", 1500),
    (0.10, "10 points better", 1500),
)
"""Of liking to the champion, and the ratings of the canary's texts within which it is to be decided."""

PEOPLE, RATERS_A_TEXT = 30, 4
LIKING_VARIES = 0.2
"""Standard deviation of the liking between texts, and between people: the overdispersed rows."""
REFERENCE_RATINGS = 300
"""Of the champion before, in the rows of a watch."""
_LOOK_EVERY = 5
"""Texts on the canary's arm between two looks, in those rows."""


def arm_of_counts(likes: int, ratings: int) -> Arm:
    """An arm with one rating a text, from its counts alone."""
    if not ratings:
        return arm_of(())
    liking = likes / ratings
    return Arm(likes, ratings, ratings, liking, binomial_variance(liking, ratings))


def fixed_size(liking: float, gap: float) -> int:
    """Ratings an arm that a fixed two-sided test needs for a gap: level 5 %, power 95 % (normal approximation)."""
    other = liking + gap
    spread = liking * (1 - liking) + other * (1 - other)
    return math.ceil((1.96 + 1.645) ** 2 * spread / gap**2)


@dataclass(frozen=True, slots=True)
class _End:
    decision: Decision
    ratings: int
    """On the canary's arm by then."""


def measure() -> Table:
    """Independent ratings with two shares, then ratings that hang together, then a watch."""
    rows = []
    for share in SHARES:
        for gap, name, within in GAPS:
            chance = Random(f"{share} {gap}")
            ends = [_independent(LIKING + gap, share, within, chance) for _ in range(SIMULATIONS)]
            rows.append(_row(name, f"{share:.0%}", gap, within, ends))
    for gap, name, within in GAPS:
        chance = Random(f"together {gap}")
        ends = [_together(gap, 0.5, within, chance) for _ in range(SIMULATIONS)]
        rows.append(_row(f"{name}, overdispersed", "50%", gap, within, ends, goal=""))
    for gap, name, within in GAPS[:3]:
        chance = Random(f"watch {gap}")
        ends = [_watched(LIKING + gap, within, chance) for _ in range(SIMULATIONS)]
        rows.append(_row(f"watch: {name}", "100%", gap, within, ends, goal=""))
    note = (
        f"{SIMULATIONS} simulated trials a row, the champion's liking {LIKING:.0%}, a look after every rating of the"
        " canary's texts; an mSPRT with level 2 % rolls back, the posterior promotes (`engine/runs/ab_test.py`)."
        f" Overdispersed: {RATERS_A_TEXT} of {PEOPLE} people rate each text, and texts and people differ in liking by"
        f" a standard deviation of {100 * LIKING_VARIES:.0f} points each, cut off at 0 and 1. The fixed test, of level"
        " 5 % and power 95 %, is for independent ratings and looked at once. Watch: a champion promoted at once,"
        f" against {REFERENCE_RATINGS} ratings of the one before and with {100 * DRIFT:.0f} points forgiven as drift."
    )
    until = "its ratings until rolled back (worse) or promoted: median (95 %)"
    fixed = "fixed test, ratings an arm"
    columns = ["canary", "share", "within", "rolled back", "promoted", until, fixed, "goal"]
    return Table("Canary", note, columns, rows)


def _row(name: str, share: str, gap: float, within: int, ends: list[_End], goal: str | None = None) -> list[str]:
    back, up = ([end.ratings for end in ends if end.decision == wanted] for wanted in ("roll_back", "promote"))
    decided = back if gap < 0 else up
    until = f"{statistics.median(decided):.0f} ({percentile(decided, 95):.0f})" if decided else "–"
    fixed = str(fixed_size(LIKING, gap)) if gap else "–"
    if goal is None:
        goal = "rolled back ≥ 95 %" if gap < 0 else "rolled back ≤ 5 %"
    return [name, share, str(within), f"{len(back) / len(ends):.1%}", f"{len(up) / len(ends):.1%}", until, fixed, goal]


def _independent(liking: float, share: float, within: int, chance: Random) -> _End:
    """Ratings one by one, each of another text."""
    arms = {True: [0, 0], False: [0, 0]}
    while True:
        is_canary = chance.random() < share
        arm = arms[is_canary]
        arm[0] += chance.random() < (liking if is_canary else LIKING)
        arm[1] += 1
        if is_canary:
            end = _end_of(arm_of_counts(*arms[True]), arm_of_counts(*arms[False]), within)
            if end is not None:
                return end


def _end_of(canary: Arm, champion: Arm, within: int) -> _End | None:
    decision = decide(canary, champion, may_promote=canary.ratings >= LEAST_RATINGS, is_over=False)
    if decision == "go_on" and canary.ratings < min(within, LONGEST_RATINGS):
        return None
    return _End(decision, canary.ratings)


def _watched(liking: float, within: int, chance: Random) -> _End:
    """Ratings one by one, against those of the champion before, which are no more than they were."""
    reference = arm_of_counts(sum(chance.random() < LIKING for _ in range(REFERENCE_RATINGS)), REFERENCE_RATINGS)
    likes = 0
    for ratings in range(1, within + 1):
        likes += chance.random() < liking
        decision = decide(
            arm_of_counts(likes, ratings), reference, margin=DRIFT, may_promote=False, is_over=ratings == within
        )
        if decision == "roll_back":
            break
    return _End(decision if decision == "roll_back" else "go_on", ratings)


def _together(gap: float, share: float, within: int, chance: Random) -> _End:
    """Several people a text, and people and texts that are liked more or less than others."""
    kindness = [chance.gauss(0, LIKING_VARIES) for _ in range(PEOPLE)]
    opinions: dict[bool, list[LiveRating]] = {True: [], False: []}
    text = 0
    while True:
        text += 1
        is_canary = chance.random() < share
        opinions[is_canary] += _opinions(text, LIKING + gap * is_canary, kindness, chance)
        if is_canary and text % _LOOK_EVERY == 0:
            end = _end_of(arm_of(opinions[True]), arm_of(opinions[False]), within)
            if end is not None:
                return end


def _opinions(text: int, liking: float, kindness: list[float], chance: Random) -> Iterator[LiveRating]:
    charm = chance.gauss(0, LIKING_VARIES)
    for person in chance.sample(range(PEOPLE), RATERS_A_TEXT):
        yield LiveRating(text, chance.random() < liking + charm + kindness[person])
