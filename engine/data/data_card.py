"""The data card of a run: what its dataset holds, who it comes from, and what was left out and why.

Knows counts, and people and chats by the first letters of their pseudonyms; nothing of what anybody wrote.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.data.weights import Vote, rating_weights

_MOST_NAMED = 10
_OTHERS = "others"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """What a dataset holds, who it comes from, and what was left out and why. People and chats by short pseudonyms."""

    generations: int
    ratings: int
    """Counted in labels, or on texts that were dropped."""
    raters: int
    chats: int
    prompts: int
    likes: int
    """Examples with a positive label."""
    dislikes: int
    newcomers: int
    """Raters with less than their full weight."""
    set_aside: int
    """Ratings that came from a brigade."""
    like_share: float
    """Of the examples' |value| x weight; training balances it (`engine.models.objectives.balanced_weights`)."""
    kinds: dict[str, int]
    versions: dict[str, int] = field(default_factory=dict)
    by_chat: dict[str, int] = field(default_factory=dict)
    """Texts."""
    best_of: dict[str, int] = field(default_factory=dict)
    """n -> texts chosen out of n."""
    signals: dict[str, int] = field(default_factory=dict)
    """Ratings by where they come from."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why people disliked what they disliked, where they told."""
    rater_shares: dict[str, float] = field(default_factory=dict)
    """Of all ratings' weight: the ten who hold most, and the others together."""
    brigades: dict[str, int] = field(default_factory=dict)
    """Rater -> ratings set aside."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Reason -> texts: those of `engine.data.tidying`, `unsafe_` and a category of `engine.safety`, `duplicate` (merged
    into the first that says the same), `brigade` (only set-aside ratings), `unrated`, `undecided` (votes cancel)."""


def shares(votes: Sequence[Vote]) -> dict[str, float]:
    """Of all votes' weight, what the ten who hold most hold, the most first, and the others together."""
    weights: dict[str, float] = defaultdict(float)
    for vote, weight in zip(votes, rating_weights(votes), strict=True):
        weights[vote.rater] += weight
    total = sum(weights.values())
    ranked = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    named = {short(rater): weight / total for rater, weight in ranked[:_MOST_NAMED]}
    rest = sum(weight for _, weight in ranked[_MOST_NAMED:])
    return {**named, _OTHERS: rest / total} if rest else named


def short(pseudonym: str) -> str:
    """Enough of a pseudonym to find it again."""
    return pseudonym[:8]
