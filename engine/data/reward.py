"""What a reaction is worth, and what a text's ratings add up to.

Pure arithmetic. Knows emoji, raters and chats by opaque names only; knows nothing of Telegram, files, tokens or models.

**Value.** A reaction is mapped to [-1, 1]; ambiguous and ironic ones have no value at all and are left out
rather than counted as indifference (silence and irony are not dislike). An operator may think otherwise of any emoji.

**Offset** of a rater (empirical Bayes, shrunken mean; k = 4 pseudo-ratings, m the weighted mean of all values)::

    o_u = (sum_i r_ui + k m) / (n_u + k) - m

It is taken from each of the rater's values, so that a like from somebody who likes everything says little.
An offset may weaken a verdict to nothing but never turn it round. What people only did has a fixed value: it neither
makes an offset nor loses one.

**Label** of a text (weights from `engine.data.weights`; shrunk to indifference by 2 pseudo-votes)::

    value  = sum_u w_u a_u / sum_u w_u        in [-1, 1]
    weight = sum_u w_u / (sum_u w_u + 2)      in [0, 1)
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.data.weights import Vote, rating_weights
from engine.errors import RunError

UP = 1.0
DOWN = -1.0
"""What the two buttons are worth."""

OFFSET_PSEUDO_RATINGS = 4.0
LABEL_PSEUDO_VOTES = 2.0

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
_VARIATION = "\N{VARIATION SELECTOR-16}"

REACTION_VALUES: Mapping[str, float | None] = {
    **{emoji: value for value, row in _BY_VALUE for emoji in row.split()},
    **dict.fromkeys(_AMBIGUOUS.split()),
}
"""All 73 reaction emoji, without U+FE0F; None marks an ambiguous or ironic one."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a text's votes add up to; `value * weight` is the mean shrunk by two indifferent pseudo-votes."""

    value: float
    """In [-1, 1]."""
    weight: float
    """In [0, 1): how much the votes outweigh the pseudo-votes."""


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
    """The table with an operator's own opinions in it, written as TOML: `"🤡" = -0.5`, `"🔥" = "none"`.

    Raises:
        RunError: it is not TOML, or an emoji is no reaction of Telegram's, or a value is neither a number from -1 to 1
            nor "none"; the sentence names the line.
    """
    try:
        opinions = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise RunError(f'{error}: write one emoji a line, like "🤡" = -0.5 or "🤡" = "none".') from error
    values = dict(REACTION_VALUES)
    for emoji, opinion in opinions.items():
        name, line = emoji.replace(_VARIATION, ""), _line_of(emoji, toml)
        if name not in values:
            raise RunError(f"line {line}: {emoji!r} is not a reaction of Telegram's; copy one from a message.")
        is_number = isinstance(opinion, int | float) and not isinstance(opinion, bool)
        if opinion != "none" and not (is_number and -1.0 <= opinion <= 1.0):
            raise RunError(f'line {line}: {emoji} must be a number from -1 to 1, or "none", not {opinion!r}.')
        values[name] = None if opinion == "none" else float(opinion)
    return values


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


def label_generations(votes: Sequence[Vote]) -> dict[str, Label]:
    """The label of each generation that has votes, in the order of its first vote."""
    weights = rating_weights(votes)
    offsets = rater_offsets(votes, weights)
    sums: dict[str, list[float]] = {}
    for vote, weight in zip(votes, weights, strict=True):
        offset = offsets.get(vote.rater, 0.0) if vote.signal == "said" else 0.0
        entry = sums.setdefault(vote.generation, [0.0, 0.0])
        entry[0] += weight * _without_offset(vote.value, offset)
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


def _line_of(emoji: str, toml: str) -> int:
    """The number of the first line that names the emoji."""
    return 1 + toml[: max(toml.find(emoji), 0)].count("\n")
