"""What a reaction is worth, how much each vote weighs, and what a text's votes add up to. Pure arithmetic.

**Value.** A reaction is mapped to [-1, 1]; ambiguous and ironic ones have no value at all and are left out
rather than counted as indifference (silence and irony are not dislike). An operator may set other values.

**Weight** of a vote: the controls against few people, or many fresh accounts, who steer what everybody reads
(Community-Notes style poisoning: arXiv 2511.02615)::

    w = signal x tenure x (1/2 if the rater wrote the prompt) x cap of the rater x cap of the chat
    signal: 1 for a rating that was given, less for what somebody only did (`SIGNAL_WEIGHTS`)
    tenure: min(1, t / t*), t from 0.1 to 1 by the days since the rater's first reaction
    cap: no rater holds more than tenure x max(2 %, 2 / R) of the run's weight, no chat more than max(25 %, 2 / C)

t* is the median of the raters' t, each counted t times: half of all tenure is held by people with no more than t*. So
where everybody is new everybody counts fully, and twenty fresh accounts among two hundred people stay at 0.1. Counted
by heads, fresh accounts would be the measure themselves as soon as they are the majority; counted by tenure, they have
to be ten for each person they outvote. R counts raters by tenure, so twenty fresh accounts at 0.1 are two people
however much they rate, and do not loosen the cap. The 2 / R keeps small groups trainable: of six people each may hold a
third; from a hundred on, 2 %. C counts chats.

**Offset** of a rater (empirical Bayes, shrunken mean; k = 4 pseudo-ratings, m the weighted mean of all values)::

    o_u = (sum_i r_ui + k m) / (n_u + k) - m

It is taken from each of the rater's values, so that a like from somebody who likes everything says little. An offset
may weaken a vote to nothing but never turn it round. What people only did has a fixed value: it neither makes an
offset nor loses one.

**Label** of a text, shrunk to indifference by 2 pseudo-votes::

    value  = sum_u w_u a_u / sum_u w_u        in [-1, 1]
    weight = sum_u w_u / (sum_u w_u + 2)      in [0, 1)
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from engine.errors import RunError

UP, DOWN = 1.0, -1.0  # what the two buttons are worth
_BY_VALUE = {
    1.0: "❤ 👍 🔥 🥰 👏 🎉 🤩 😍 ❤‍🔥 💯 🏆 💘",
    0.9: "😘",
    0.8: "👌 🍾 💋 🤗 🆒 😎",
    0.7: "😁 ⚡ 🤝",
    0.6: "🙏 🫡 😇 🦄",
    0.5: "🤯",
    0.4: "🕊 ✍",
    -0.3: "🤷 🤷‍♂ 🤷‍♀",
    -0.4: "🤨",
    -0.5: "😐",
    -0.6: "💔",
    -0.8: "🥱 😴",
    -0.9: "😡",
    -1.0: "👎 🤬 🤮 💩 🖕",
}
_AMBIGUOUS = "🤔 😱 😢 🤡 🥴 🐳 🌚 🌭 🤣 🍌 🍓 😈 😭 🤓 👻 👨‍💻 👀 🎃 🙈 😨 🎅 🎄 ☃ 💅 🤪 🗿 🙉 💊 🙊 👾"
_VARIATION = "\N{VARIATION SELECTOR-16}"

REACTION_VALUES: Mapping[str, float | None] = {
    **{emoji: value for value, row in _BY_VALUE.items() for emoji in row.split()},
    **dict.fromkeys(_AMBIGUOUS.split()),
}
"""All 73 reaction emoji, without U+FE0F; None marks an ambiguous or ironic one."""

Signal = Literal["said", "another", "refined", "reported", "preferred", "passed_over"]
"""Where a vote comes from: said by a reaction or a button; or what somebody did with the text instead."""

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
OFFSET_PSEUDO_RATINGS = 4.0
LABEL_PSEUDO_VOTES = 2.0


@dataclass(frozen=True, slots=True)
class Vote:
    """What one person thinks of one text at present."""

    generation: str
    rater: str
    chat: str
    value: float  # in [-1, 1]
    tenure: float = 1.0  # from 0.1 for a newcomer to 1
    is_own: bool = False  # the rater wrote the prompt
    signal: Signal = "said"
    at: float | None = None  # seconds since the epoch, where it is known


@dataclass(frozen=True, slots=True)
class Label:
    """What a text's votes add up to; `value * weight` is the mean shrunk by two indifferent pseudo-votes."""

    value: float  # in [-1, 1]
    weight: float  # in [0, 1): how much the votes outweigh the pseudo-votes


def value_of_reactions(emojis: Iterable[str], values: Mapping[str, float | None] = REACTION_VALUES) -> float | None:
    """The mean value of one person's reactions to one text, in [-1, 1]; None if none of them says anything.

    Unknown emoji (custom ones, new ones) count as ambiguous. Compared without the variation selector U+FE0F.

    >>> value_of_reactions(["\N{THUMBS UP SIGN}", "\N{CLOWN FACE}"])
    1.0
    """
    found = [values.get(emoji.replace(_VARIATION, "")) for emoji in emojis]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None


def read_reaction_values(toml: str) -> Mapping[str, float | None]:
    """The table with an operator's own values in it, written as TOML: `"🤡" = -0.5`, `"🔥" = "none"`.

    Raises:
        RunError: it is not TOML, or an emoji is no reaction of Telegram's, or a value is neither a number from -1 to 1
            nor "none"; the sentence names the line.
    """
    try:
        own = tomllib.loads(toml)
    except (ValueError, RecursionError) as error:  # of a number or a nest that is too large as well
        raise RunError(f'{error}: write one emoji a line, like "🤡" = -0.5 or "🤡" = "none".') from error
    values = dict(REACTION_VALUES)
    for emoji, value in own.items():
        name, line = emoji.replace(_VARIATION, ""), 1 + toml[: max(toml.find(emoji), 0)].count("\n")
        if name not in values:
            raise RunError(f"line {line}: {emoji!r} is not a reaction of Telegram's; copy one from a message.")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value != "none" and not (is_number and -1.0 <= value <= 1.0):
            raise RunError(f'line {line}: {emoji} must be a number from -1 to 1, or "none", not {value!r}.')
        values[name] = None if value == "none" else float(value)
    return values


def label_generations(votes: Sequence[Vote]) -> dict[str, Label]:
    """The label of each generation that has votes, in the order of its first vote."""
    weights = rating_weights(votes)
    offsets = rater_offsets(votes, weights)
    sums: dict[str, list[float]] = {}
    for vote, weight in zip(votes, weights, strict=True):
        offset = offsets.get(vote.rater, 0.0) if vote.signal == "said" else 0.0
        value = min(1.0, max(-1.0, vote.value - offset))
        entry = sums.setdefault(vote.generation, [0.0, 0.0])
        entry[0] += weight * (value if value * vote.value > 0.0 else 0.0)
        entry[1] += weight
    return {
        generation: Label(value=weighted / total, weight=total / (total + LABEL_PSEUDO_VOTES))
        for generation, (weighted, total) in sums.items()
        if total > 0.0
    }


def rater_offsets(votes: Sequence[Vote], weights: Sequence[float]) -> dict[str, float]:
    """How much kinder (positive) or stricter than the average each rater is, shrunk to 0 by four ratings."""
    said = [(vote, weight) for vote, weight in zip(votes, weights, strict=True) if vote.signal == "said"]
    total = sum(weight for _, weight in said)
    if not total:
        return {}
    mean = sum(weight * vote.value for vote, weight in said) / total
    values: dict[str, list[float]] = defaultdict(list)
    for vote, _ in said:
        values[vote.rater].append(vote.value)
    k = OFFSET_PSEUDO_RATINGS
    return {rater: (sum(own) + k * mean) / (len(own) + k) - mean for rater, own in values.items()}


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
