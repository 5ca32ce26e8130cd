"""How much each vote weighs: the controls against few people, or many fresh accounts, who steer what everybody reads.

Pure arithmetic on opaque names (Community-Notes style poisoning: arXiv 2511.02615). The weight of a vote::

    w = signal x tenure x (1/2 if the rater wrote the prompt) x cap of the rater x cap of the chat
    signal: 1 for a rating that was given, less for what somebody only did (`SIGNAL_WEIGHTS`)
    tenure: min(1, t / t*), t from 0.1 to 1 by the days since the rater's first reaction
    cap: no rater holds more than tenure x max(2 %, 2 / R) of the run's weight, no chat more than max(25 %, 2 / C)

t* is the median of the raters' t, each counted t times: half of all tenure is held by people with no more than t*. So
where everybody is new everybody counts fully, and twenty fresh accounts among two hundred people stay at 0.1. Counted
by heads, fresh accounts would be the measure themselves as soon as they are the majority; counted by tenure, they have
to be ten for each person they outvote.

R counts raters by tenure, so twenty fresh accounts at 0.1 are two people however much they rate, and do not loosen
the cap. The 2 / R keeps small groups trainable: of six people each may hold a third; from a hundred on, 2 %. C counts
chats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Signal = Literal["said", "another", "refined", "reported", "preferred", "passed_over"]
"""Where an opinion comes from: said by a reaction or a button; or what somebody did with the text instead."""

SIGNAL_VALUES: Final[Mapping[Signal, float]] = {
    "another": -0.3, "refined": -0.2, "reported": -1.0, "preferred": 0.5, "passed_over": -0.5,
}  # fmt: skip
"""What doing a thing says of the text, in [-1, 1]: they asked for another one, for a changed one, reported it, or liked
it better or less than the other of two."""
SIGNAL_WEIGHTS: Final[Mapping[Signal, float]] = {
    "said": 1.0, "another": 0.2, "refined": 0.1, "reported": 0.5, "preferred": 0.5, "passed_over": 0.5,
}  # fmt: skip
"""How much it counts beside a rating: who wants another text may well have liked this one; a report is meant; the
better of two may still be poor (decision 23)."""

RATER_SHARE = 0.02
CHAT_SHARE = 0.25
OWN_PROMPT_WEIGHT = 0.5
MIN_TENURE = 0.1


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's current verdict on one text."""

    generation: str
    rater: str
    chat: str
    value: float
    """In [-1, 1]."""
    tenure: float = 1.0
    """From 0.1 for a newcomer to 1."""
    is_own: bool = False
    """The rater wrote the prompt."""
    signal: Signal = "said"
    at: float | None = None
    """Seconds since the epoch, where it is known."""


def relative_tenures(votes: Sequence[Vote]) -> dict[str, float]:
    """Each rater's highest tenure beside the median, min(1, t / t*), in the order of their first votes."""
    tenures: dict[str, float] = {}
    for vote in votes:
        tenures[vote.rater] = max(tenures.get(vote.rater, MIN_TENURE), min(vote.tenure, 1.0))
    held, half, median = 0.0, sum(tenures.values()) / 2.0, 1.0
    for median in sorted(tenures.values()):
        held += median
        if held >= half:
            break
    return {rater: min(1.0, tenure / median) for rater, tenure in tenures.items()}


def rating_weights(votes: Sequence[Vote]) -> tuple[float, ...]:
    """The weight of each vote, in the order given: signal, tenure, own prompt, then the caps of rater and chat."""
    people = relative_tenures(votes)
    weights = [
        SIGNAL_WEIGHTS[vote.signal] * people[vote.rater] * (OWN_PROMPT_WEIGHT if vote.is_own else 1.0) for vote in votes
    ]
    raters, chats = [vote.rater for vote in votes], [vote.chat for vote in votes]
    places = dict.fromkeys(chats, 1.0)
    rater_share = max(RATER_SHARE, 2.0 / max(1.0, sum(people.values())))
    chat_share = max(CHAT_SHARE, 2.0 / max(1.0, len(places)))
    # Capping chats lowers the total and so raises the raters' shares again; three rounds settle it.
    for _ in range(3):
        weights = _cap(weights, raters, people, rater_share)
        weights = _cap(weights, chats, places, chat_share)
    return tuple(_cap(weights, raters, people, rater_share))


def _cap(weights: Sequence[float], owners: Sequence[str], sizes: Mapping[str, float], share: float) -> list[float]:
    """Scale owners down until none holds more than `share` x its size of the total (water-filling).

    With c the ceiling of an owner of size 1, s the capped owners' sizes and rest what the others hold,
    c = share (c s + rest), so c = share rest / (1 - share s). Owners are capped in order of weight by size until nobody
    else exceeds the ceiling.
    """
    totals: dict[str, float] = dict.fromkeys(sizes, 0.0)
    for owner, weight in zip(owners, weights, strict=True):
        totals[owner] += weight
    rest, capped_size, ceiling = sum(totals.values()), 0.0, float("inf")
    for owner in sorted(totals, key=lambda owner: totals[owner] / sizes[owner], reverse=True):
        if capped_size * share >= 1.0:
            break
        ceiling = share * rest / (1.0 - capped_size * share)
        if totals[owner] <= ceiling * sizes[owner]:
            break
        rest -= totals[owner]
        capped_size += sizes[owner]
    return [
        weight * min(1.0, ceiling * sizes[owner] / totals[owner]) if totals[owner] > 0.0 else weight
        for owner, weight in zip(owners, weights, strict=True)
    ]
