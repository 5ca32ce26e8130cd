"""Rated texts: the rows of dataset.jsonl, the training examples that the label model makes of them, and the data card.

A row is one generation with its current ratings. People, chats and versions are opaque names: the bot gives pseudonyms
and decides who has consented.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from engine.api.thoughts import without_thoughts
from engine.api.types import Message, group_of
from engine.data.cleaning import fault_of, first_alike
from engine.data.rewards import SIGNAL_WEIGHTS, Signal, Vote, label_generations, rating_weights, relative_tenures
from engine.data.vote_rings import in_vote_rings
from engine.errors import RunError, first_problem
from engine.safety.filter import Findings

HEAVY_SHARE = 0.1  # the tenth of the raters who rate most
_NEW_RATINGS = 3
_MOST_NAMED = 10
_PSEUDONYM_LETTERS = 8  # enough of a pseudonym to find it again
_CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Rating:
    """What one person thinks of one generation at present."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    rater: str
    value: float  # in [-1, 1]
    tenure: float = 1.0  # from 0.1 for a newcomer to 1
    at: str = ""  # ISO 8601, UTC; of two ratings by one rater on the same text the later one stands
    signal: Signal = "said"
    """Where it comes from. What was said stands against whatever the same person did; then what counts more stands."""
    reason: str = ""  # why it is a dislike, where they told: boring, off_topic, too_long, wrong


@dataclass(frozen=True, slots=True)
class RatedGeneration:
    """One text the model wrote, what it was asked, and what people thought of it."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    id: str
    kind: str
    chat: str
    author: str  # who wrote the prompt, by the same pseudonym as among the raters
    version: str
    messages: tuple[Message, ...]  # what the model was sent, in order
    text: str
    ratings: tuple[Rating, ...]
    best_of: int = 1  # it was the best of so many by the preferences of the moment; 1 is as the model wrote it
    is_cut: bool = False  # it ran out of tokens before it came to an end


@dataclass(frozen=True, slots=True)
class Example:
    """One text with its label, ready to train on."""

    messages: tuple[Message, ...]
    text: str
    value: float  # in [-1, 1]; never 0
    weight: float  # in (0, 1): how much the votes outweigh the prior
    group: str  # the same for all texts that answer the same messages; folds never divide a group
    raters: tuple[str, ...] = ()  # who is counted in the label, in order
    author: str = ""
    chat: str = ""
    kind: str = ""
    version: str = ""
    at: str = ""  # when the latest counted rating was given, ISO 8601, UTC
    best_of: int = 1
    is_cut: bool = False  # nobody said that the text ends where it does


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """What a dataset holds, who it comes from, and what was left out and why. People and chats by short pseudonyms."""

    generations: int
    ratings: int  # counted in labels, or on texts that were dropped
    raters: int
    chats: int
    prompts: int
    likes: int  # examples with a positive label
    dislikes: int
    newcomers: int  # raters with less than their full weight
    set_aside: int  # ratings that came from a vote ring
    like_share: float
    """Of the examples' |value| x weight; training balances it (`engine.training.kto.balanced_weights`)."""
    kinds: dict[str, int]
    versions: dict[str, int] = field(default_factory=dict)
    by_chat: dict[str, int] = field(default_factory=dict)  # texts
    best_of: dict[str, int] = field(default_factory=dict)  # n -> texts chosen out of n
    signals: dict[str, int] = field(default_factory=dict)  # ratings by where they come from
    reasons: dict[str, int] = field(default_factory=dict)
    """Why people disliked what they disliked, where they told."""
    rater_shares: dict[str, float] = field(default_factory=dict)
    """Of all ratings' weight: the ten who hold most, and the others together."""
    brigades: dict[str, int] = field(default_factory=dict)  # rater -> ratings set aside
    dropped: dict[str, int] = field(default_factory=dict)
    """Reason -> texts: those of `engine.data.cleaning`, `unsafe_` and a category of `engine.safety`, `duplicate`
    (merged into the first that says the same), `brigade` (only set-aside ratings), `unrated`, `undecided` (votes
    cancel)."""


_ROW = TypeAdapter(RatedGeneration)


def json_line(value: object) -> str:
    """A value as JSON that is one line to every reader, `str.splitlines` too, without the line's end."""
    return json.dumps(value, ensure_ascii=False).translate(_ESCAPED)


_ESCAPED = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}
"""What JSON leaves as it is and readers take for the end of a line."""


def dump_dataset(rows: Iterable[RatedGeneration]) -> bytes:
    """One JSON object a line, UTF-8."""
    return b"".join(_ROW.dump_json(row).decode().translate(_ESCAPED).encode() + b"\n" for row in rows)


def write_dataset(path: Path, rows: Iterable[RatedGeneration]) -> None:
    """`dump_dataset` into a file."""
    path.write_bytes(dump_dataset(rows))


def read_dataset(path: Path) -> tuple[RatedGeneration, ...]:
    """Read the rows in the order of the file.

    Raises:
        RunError: the file is missing, or a line is not a rated generation; the sentence gives its number.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RunError(f"{path.name} cannot be read: {error.strerror}.") from error
    return tuple(read_row(line, f"{path.name}, line {number}") for number, line in enumerate(lines, start=1))


def read_row(line: bytes, where: str) -> RatedGeneration:
    """Read one line; RunError with `where` in its sentence if it is not a rated generation."""
    try:
        row = _ROW.validate_json(line)
    except ValidationError as error:
        raise RunError(f"{where}: {first_problem(error, 'the line')}.") from error
    for rating in row.ratings:
        if not -1.0 <= rating.value <= 1.0:
            raise RunError(f"{where}: a rating of {rating.value} is not within -1 and 1.")
        try:
            _seconds(rating.at)
        except ValueError as error:
            raise RunError(f"{where}: {rating.at!r} is not a time in ISO 8601.") from error
    return row


def examples_of(
    rows: Sequence[RatedGeneration], findings: Findings = lambda _: frozenset()
) -> tuple[tuple[Example, ...], DataCard]:
    """Apply the label model of `engine.data.rewards` to the rows that are worth it, and in which nothing is found.

    The order of the rows does not matter: everything is sorted by id first, so that the same rows give the same
    examples, bit for bit, whoever else has been forgotten since.
    """
    dropped: Counter[str] = Counter()
    kept = _merge_duplicates(_sound(sorted(rows, key=lambda row: row.id), findings, dropped), dropped)
    pairs = [(row, rating) for row in kept for rating in row.ratings]
    all_votes = [_vote(row, rating) for row, rating in pairs]
    votes, counted, set_aside = [], defaultdict[str, list[Rating]](list), Counter[str]()
    for (row, rating), vote, is_aside in zip(pairs, all_votes, in_vote_rings(all_votes), strict=True):
        if is_aside:
            set_aside[vote.rater] += 1
        else:
            votes.append(vote)
            counted[row.id].append(rating)
    labels = label_generations(votes)
    examples = []
    for row in kept:
        label = labels.get(row.id)
        if label is None:
            dropped["brigade" if row.ratings else "unrated"] += 1
        elif label.value == 0.0:
            dropped["undecided"] += 1
        else:
            examples.append(_example(row, counted[row.id], value=label.value, weight=label.weight))
    likes, dislikes = (sum(abs(e.value) * e.weight for e in examples if e.value * side > 0.0) for side in (1, -1))
    card = DataCard(
        generations=len(rows),
        ratings=len(votes),
        raters=len({vote.rater for vote in votes}),
        chats=len({row.chat for row in kept}),
        prompts=len({group_of(row.messages) for row in kept}),
        likes=sum(example.value > 0.0 for example in examples),
        dislikes=sum(example.value < 0.0 for example in examples),
        newcomers=sum(tenure < 1.0 for tenure in relative_tenures(votes).values()),
        set_aside=set_aside.total(),
        like_share=likes / (likes + dislikes) if examples else 0.0,
        kinds=dict(Counter(row.kind for row in kept)),
        versions=dict(Counter(row.version for row in kept)),
        by_chat=dict(Counter(row.chat[:_PSEUDONYM_LETTERS] for row in kept)),
        best_of=dict(Counter(str(row.best_of) for row in kept)),
        signals=dict(Counter(vote.signal for vote in votes)),
        reasons=dict(Counter(rating.reason for ratings in counted.values() for rating in ratings if rating.reason)),
        rater_shares=shares(votes),
        brigades={rater[:_PSEUDONYM_LETTERS]: count for rater, count in sorted(set_aside.items())},
        dropped=dict(dropped),
    )
    return tuple(examples), card


def shares(votes: Sequence[Vote]) -> dict[str, float]:
    """Of all votes' weight, what the ten who hold most hold, the most first, and the others together."""
    weights: dict[str, float] = defaultdict(float)
    for vote, weight in zip(votes, rating_weights(votes), strict=True):
        weights[vote.rater] += weight
    total = sum(weights.values())
    ranked = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    named = {rater[:_PSEUDONYM_LETTERS]: weight / total for rater, weight in ranked[:_MOST_NAMED]}
    rest = sum(weight for _, weight in ranked[_MOST_NAMED:])
    return {**named, "others": rest / total} if rest else named


def segments_of(examples: Sequence[Example]) -> dict[str, tuple[str, ...]]:
    """Each prompt's segments, by its group: language, kind, chat, and whether its raters rate much or little.

    A candidate must not be worse in any of them, whatever it is on the whole: training on feedback can learn to please
    a few while the mean rises (Williams et al. 2024, arXiv 2411.02306).
    """
    counts = Counter(rater for example in examples for rater in example.raters)
    ranked = [rater for rater, _ in counts.most_common()]
    heavy = set(ranked[: max(1, round(HEAVY_SHARE * len(ranked)))])
    new = {rater for rater, count in counts.items() if count <= _NEW_RATINGS}
    segments: dict[str, dict[str, None]] = defaultdict(dict)
    for example in examples:
        language = "zh" if _CHINESE.search(example.messages[-1].content) else "en"
        names = [f"language {language}", f"kind {example.kind}", f"chat {example.chat[:_PSEUDONYM_LETTERS]}"]
        if heavy & set(example.raters):
            names.append("heavy raters")
        if new & set(example.raters):
            names.append("new people")
        segments[example.group].update(dict.fromkeys(names))
    return {group: tuple(names) for group, names in segments.items()}


def _sound(rows: Iterable[RatedGeneration], findings: Findings, dropped: Counter[str]) -> list[RatedGeneration]:
    """The rows whose texts are worth learning from, and safe, their prompts included; without a model's thoughts."""
    sound = []
    for row in (replace(row, text=without_thoughts(row.text)) for row in rows):
        fault: str | None = fault_of(row.text)
        if fault is None:
            said = "\n".join([*(message.content for message in row.messages), row.text])
            fault = next((f"unsafe_{category}" for category in sorted(findings(said))), None)
        if fault is None:
            sound.append(row)
        else:
            dropped[fault] += 1
    return sound


def _merge_duplicates(rows: Iterable[RatedGeneration], dropped: Counter[str]) -> list[RatedGeneration]:
    """Join rows with the same messages and nearly the same text into the first; each rater's latest rating stands."""
    by_prompt: dict[str, list[RatedGeneration]] = defaultdict(list)
    for row in rows:
        by_prompt[group_of(row.messages)].append(row)
    merged: dict[str, RatedGeneration] = {}
    for group in by_prompt.values():
        for row, first in zip(group, first_alike([row.text for row in group]), strict=True):
            earlier = merged.setdefault(group[first].id, row)
            if earlier is not row:
                dropped["duplicate"] += 1
                merged[earlier.id] = replace(earlier, ratings=earlier.ratings + row.ratings)
    return [replace(merged[key], ratings=_latest(merged[key].ratings)) for key in sorted(merged)]


def _latest(ratings: Iterable[Rating]) -> tuple[Rating, ...]:
    """The rating of each rater that stands, by rater; of equally late ones the last given."""
    by_rater: dict[str, Rating] = {}
    for rating in ratings:
        earlier = by_rater.get(rating.rater)
        if earlier is None or _rank(rating) >= _rank(earlier):
            by_rater[rating.rater] = rating
    return tuple(by_rater[rater] for rater in sorted(by_rater))


def _rank(rating: Rating) -> tuple[float, str]:
    return SIGNAL_WEIGHTS[rating.signal], rating.at


def _vote(row: RatedGeneration, rating: Rating) -> Vote:
    return Vote(
        generation=row.id,
        rater=rating.rater,
        chat=row.chat,
        value=rating.value,
        tenure=rating.tenure,
        is_own=rating.rater == row.author,
        signal=rating.signal,
        at=_seconds(rating.at),
    )


def _seconds(at: str) -> float | None:
    """Seconds since the epoch; a time without a zone is UTC."""
    if not at:
        return None
    time = datetime.fromisoformat(at)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _example(row: RatedGeneration, counted: Sequence[Rating], *, value: float, weight: float) -> Example:
    return Example(
        messages=row.messages,
        text=row.text,
        value=value,
        weight=weight,
        group=group_of(row.messages),
        raters=tuple(rating.rater for rating in counted),
        author=row.author,
        chat=row.chat,
        kind=row.kind,
        version=row.version,
        at=max(rating.at for rating in counted),
        best_of=row.best_of,
        is_cut=row.is_cut,
    )
