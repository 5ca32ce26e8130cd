"""Rated texts: the rows of dataset.jsonl, and the training examples that the label model makes of them.

A row is one generation with its current ratings. Knows people, chats and versions only as opaque names (the bot
gives pseudonyms and decides who has consented); knows nothing of tokens or models.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from engine.chat import Message
from engine.errors import RunError
from engine.reward import Vote, label_generations


@dataclass(frozen=True, slots=True)
class Rating:
    """One person's current verdict on one generation."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    rater: str
    value: float
    """In [-1, 1]."""
    tenure: float = 1.0
    """From 0.1 for a newcomer to 1."""
    at: str = ""
    """ISO 8601, UTC; of two ratings by one rater on the same text the later one stands."""


@dataclass(frozen=True, slots=True)
class RatedGeneration:
    """One text the model wrote, what it was asked, and what people thought of it."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    id: str
    kind: str
    chat: str
    author: str
    """Who wrote the prompt, by the same pseudonym as among the raters."""
    version: str
    messages: tuple[Message, ...]
    """What the model was sent, in order."""
    text: str
    ratings: tuple[Rating, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One text with its label, ready to train on."""

    messages: tuple[Message, ...]
    text: str
    value: float
    """In [-1, 1]; never 0."""
    weight: float
    """In (0, 1): how much the votes outweigh the prior."""
    group: str
    """The same for all texts that answer the same messages; folds never divide a group."""


@dataclass(frozen=True, slots=True)
class DataCard:
    """What a dataset holds, and what was left out and why."""

    generations: int
    ratings: int
    raters: int
    chats: int
    prompts: int
    likes: int
    """Examples with a positive label."""
    dislikes: int
    kinds: dict[str, int]
    dropped: dict[str, int]
    """Reason -> generations: `duplicate` (merged into the first), `empty`, `unrated`, `undecided` (votes cancel)."""


_ROW = TypeAdapter(RatedGeneration)


def write_dataset(path: Path, rows: Iterable[RatedGeneration]) -> None:
    """Write one JSON object a line, UTF-8."""
    with path.open("wb") as file:
        for row in rows:
            file.write(_ROW.dump_json(row) + b"\n")


def read_dataset(path: Path) -> tuple[RatedGeneration, ...]:
    """Read the rows in the order of the file.

    Raises:
        RunError: the file is missing, or a line is not a rated generation; the sentence gives its number.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RunError(f"{path.name} cannot be read: {error.strerror}.") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = _ROW.validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "the line"
            raise RunError(f"{path.name}, line {number}: {field}: {first['msg']}.") from error
        for rating in row.ratings:
            if not -1.0 <= rating.value <= 1.0:
                raise RunError(f"{path.name}, line {number}: a rating of {rating.value} is not within -1 and 1.")
        rows.append(row)
    return tuple(rows)


def examples_of(rows: Sequence[RatedGeneration]) -> tuple[tuple[Example, ...], DataCard]:
    """Apply the label model of `engine.reward` to the rows.

    The order of the rows does not matter: everything is sorted by id first, so that the same rows give the same
    examples, bit for bit, whoever else has been forgotten since.
    """
    dropped: Counter[str] = Counter()
    kept = _merge_duplicates(sorted(rows, key=lambda row: row.id), dropped)
    votes = [
        Vote(row.id, rating.rater, row.chat, rating.value, rating.tenure, is_own=rating.rater == row.author)
        for row in kept
        for rating in row.ratings
    ]
    labels = label_generations(votes)
    examples = []
    for row in kept:
        label = labels.get(row.id)
        if not row.text.strip():
            dropped["empty"] += 1
        elif label is None:
            dropped["unrated"] += 1
        elif label.value == 0.0:
            dropped["undecided"] += 1
        else:
            group = group_of(row.messages)
            examples.append(Example(row.messages, row.text, label.value, label.weight, group))
    card = DataCard(
        generations=len(rows),
        ratings=len(votes),
        raters=len({vote.rater for vote in votes}),
        chats=len({row.chat for row in kept}),
        prompts=len({group_of(row.messages) for row in kept}),
        likes=sum(example.value > 0.0 for example in examples),
        dislikes=sum(example.value < 0.0 for example in examples),
        kinds=dict(Counter(row.kind for row in kept)),
        dropped=dict(dropped),
    )
    return tuple(examples), card


def group_of(messages: Sequence[Message]) -> str:
    """A short name for a prompt: equal messages, equal name."""
    parts = "\x1e".join(f"{message.role}\x1f{message.content}" for message in messages)
    return hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()[:16]


def _merge_duplicates(rows: Iterable[RatedGeneration], dropped: Counter[str]) -> list[RatedGeneration]:
    """Join rows with the same messages and text into the first; each rater's latest rating stands."""
    merged: dict[tuple[str, str], RatedGeneration] = {}
    for row in rows:
        key = (group_of(row.messages), row.text)
        earlier = merged.get(key)
        if earlier is None:
            merged[key] = row
        else:
            dropped["duplicate"] += 1
            merged[key] = replace(earlier, ratings=earlier.ratings + row.ratings)
    return [replace(row, ratings=_latest(row.ratings)) for row in merged.values()]


def _latest(ratings: Iterable[Rating]) -> tuple[Rating, ...]:
    """The latest rating of each rater, by rater; of equally late ones the last given."""
    by_rater: dict[str, Rating] = {}
    for rating in ratings:
        earlier = by_rater.get(rating.rater)
        if earlier is None or rating.at >= earlier.at:
            by_rater[rating.rater] = rating
    return tuple(by_rater[rater] for rater in sorted(by_rater))
