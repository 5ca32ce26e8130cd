"""What a reaction is worth, how much each rating weighs, and what a text's ratings add up to.

Pure arithmetic. Knows emoji, raters and chats by opaque names only; knows nothing of Telegram, files, tokens or models.

**Value.** A reaction is mapped to [-1, 1]; ambiguous and ironic ones have no value at all and are left out
rather than counted as indifference (silence and irony are not dislike).

**Weight** of a rating (the controls against brigades, Community-Notes style poisoning: arXiv 2511.02615)::

    w = tenure x (1/2 if the rater wrote the prompt) x cap of the rater x cap of the chat
    cap: no rater holds more than tenure x max(2 %, 2 / R) of the run's weight, no chat more than max(25 %, 2 / C)

R counts raters by tenure, so twenty fresh accounts at tenure 0.1 are two people however much they rate, and do not
loosen the cap. The 2 / R keeps small groups trainable: of six people each may hold a third; from a hundred on, 2 %.
C counts chats.

**Offset** of a rater (empirical Bayes, shrunken mean; k = 4 pseudo-ratings, m the weighted mean of all values)::

    o_u = (sum_i r_ui + k m) / (n_u + k) - m

It is taken from each of the rater's values, so that a like from somebody who likes everything says little.
An offset may weaken a verdict to nothing but never turn it round.

**Label** of a text (shrunk to indifference by 2 pseudo-votes)::

    value  = sum_u w_u a_u / sum_u w_u        in [-1, 1]
    weight = sum_u w_u / (sum_u w_u + 2)      in [0, 1)
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

UP = 1.0
DOWN = -1.0
"""What the two buttons are worth."""

RATER_SHARE = 0.02
CHAT_SHARE = 0.25
OWN_PROMPT_WEIGHT = 0.5
OFFSET_PSEUDO_RATINGS = 4.0
LABEL_PSEUDO_VOTES = 2.0
MIN_TENURE = 0.1

_BY_VALUE: tuple[tuple[float, str], ...] = (
    (1.0, "❤ 👍 🔥 🥰 👏 🎉 🤩 😍 ❤‍🔥 💯 🏆 💘"),
    (0.9, "😘"),
    (0.8, "👌 🍾 💋 🤗 🆒 😎"),
    (0.7, "😁 ⚡ 🤝"),
    (0.6, "🙏 🫡 😇 🦄"),
    (0.5, "🤯"),
    (0.4, "🕊 ✍"),
    (-0.3, "🤷 🤷‍♂ 🤷‍♀"),
    (-0.4, "🤨"),
    (-0.5, "😐"),
    (-0.6, "💔"),
    (-0.8, "🥱 😴"),
    (-0.9, "😡"),
    (-1.0, "👎 🤬 🤮 💩 🖕"),
)
_AMBIGUOUS = "🤔 😱 😢 🤡 🥴 🐳 🌚 🌭 🤣 🍌 🍓 😈 😭 🤓 👻 👨‍💻 👀 🎃 🙈 😨 🎅 🎄 ☃ 💅 🤪 🗿 🙉 💊 🙊 👾"

REACTION_VALUES: Mapping[str, float | None] = {
    **{emoji: value for value, row in _BY_VALUE for emoji in row.split()},
    **dict.fromkeys(_AMBIGUOUS.split()),
}
"""All 73 reaction emoji, without U+FE0F; None marks an ambiguous or ironic one."""


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


@dataclass(frozen=True, slots=True)
class Label:
    """What a text's votes add up to; `value * weight` is the mean shrunk by two indifferent pseudo-votes."""

    value: float
    """In [-1, 1]."""
    weight: float
    """In [0, 1): how much the votes outweigh the pseudo-votes."""


def value_of_reactions(emojis: Iterable[str]) -> float | None:
    """The mean value of one person's reactions to one text, in [-1, 1]; None if none of them says anything.

    Unknown emoji (custom ones, new ones) count as ambiguous. Compared without the variation selector U+FE0F.

    >>> value_of_reactions(["\N{THUMBS UP SIGN}", "\N{CLOWN FACE}"])
    1.0
    """
    values = [REACTION_VALUES.get(emoji.replace("\N{VARIATION SELECTOR-16}", "")) for emoji in emojis]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def rating_weights(votes: Sequence[Vote]) -> tuple[float, ...]:
    """The weight of each vote, in the order given: tenure, own prompt, then the caps of rater and chat."""
    weights = [min(max(vote.tenure, MIN_TENURE), 1.0) * (OWN_PROMPT_WEIGHT if vote.is_own else 1.0) for vote in votes]
    raters, chats = [vote.rater for vote in votes], [vote.chat for vote in votes]
    people = _tenures(votes)
    places = dict.fromkeys(chats, 1.0)
    rater_share = max(RATER_SHARE, 2.0 / max(1.0, sum(people.values())))
    chat_share = max(CHAT_SHARE, 2.0 / max(1.0, len(places)))
    # Capping chats lowers the total and so raises the raters' shares again; three rounds settle it.
    for _ in range(3):
        weights = _cap(weights, raters, people, rater_share)
        weights = _cap(weights, chats, places, chat_share)
    return tuple(_cap(weights, raters, people, rater_share))


def rater_offsets(votes: Sequence[Vote], weights: Sequence[float]) -> dict[str, float]:
    """How much kinder (positive) or stricter than the average each rater is, shrunk to 0 by four ratings."""
    total = sum(weights)
    if not total:
        return {}
    mean = sum(weight * vote.value for vote, weight in zip(votes, weights, strict=True)) / total
    values: dict[str, list[float]] = defaultdict(list)
    for vote in votes:
        values[vote.rater].append(vote.value)
    k = OFFSET_PSEUDO_RATINGS
    return {rater: (sum(own) + k * mean) / (len(own) + k) - mean for rater, own in values.items()}


def label_generations(votes: Sequence[Vote]) -> dict[str, Label]:
    """The label of each generation that has votes, in the order of its first vote."""
    weights = rating_weights(votes)
    offsets = rater_offsets(votes, weights)
    sums: dict[str, list[float]] = {}
    for vote, weight in zip(votes, weights, strict=True):
        entry = sums.setdefault(vote.generation, [0.0, 0.0])
        entry[0] += weight * _without_offset(vote.value, offsets.get(vote.rater, 0.0))
        entry[1] += weight
    return {
        generation: Label(value=weighted / total, weight=total / (total + LABEL_PSEUDO_VOTES))
        for generation, (weighted, total) in sums.items()
        if total > 0.0
    }


def _without_offset(value: float, offset: float) -> float:
    """The value less the offset, kept on its own side of 0 and within [-1, 1]."""
    settled = min(1.0, max(-1.0, value - offset))
    return settled if settled * value > 0.0 else 0.0


def _tenures(votes: Sequence[Vote]) -> dict[str, float]:
    """Each rater's highest tenure."""
    tenures: dict[str, float] = {}
    for vote in votes:
        tenures[vote.rater] = max(tenures.get(vote.rater, MIN_TENURE), min(vote.tenure, 1.0))
    return tenures


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
