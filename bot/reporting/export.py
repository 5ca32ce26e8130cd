"""`ovation export`: the facts as JSON lines, one object a line, read beside a running bot.

Choices between two texts are in the format that TRL's DPO learns from, with more keys. Ratings also leave as what a run
would make of them now, in the format that TRL's KTO learns from.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum

from bot.learning.dataset import dataset_of
from bot.moderation.provenance import aigc
from engine.data.dataset import examples_of, json_line
from engine.data.trl_format import kto_lines
from storage.db.records import Generation, Rating, Run
from storage.tables import generations, ratings, runs
from storage.tables.generations import DuelChoice


class What(StrEnum):
    """What can be exported."""

    RATINGS = "ratings"
    GENERATIONS = "generations"
    RUNS = "runs"
    DUELS = "duels"


class Format(StrEnum):
    """How it is printed."""

    JSONL = "jsonl"
    KTO = "kto"


def lines(connection: sqlite3.Connection, what: What, *, producer: str) -> Iterator[str]:
    """Every row of a kind, oldest first, as JSON. `producer` answers for the texts."""
    for row in _rows(connection, what, producer):
        yield json_line(row)


def kto(connection: sqlite3.Connection, *, tenure_days: float) -> Iterable[str]:
    """What may be learned from now, labelled: one text a line."""
    rows = dataset_of(ratings.consented(connection), now=datetime.now(UTC), tenure_days=tenure_days)
    examples, _ = examples_of(tuple(rows))
    return kto_lines(examples)


def run_object(run: Run) -> dict[str, object]:
    """A run as it leaves in JSON."""
    return {
        "run": run.id,
        "slot": run.slot,
        "verdict": run.verdict,
        "reason": run.reason,
        "numbers": run.numbers,
        "ratings": run.ratings,
        "version": run.version,
        "started_at": run.started_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
    }


def _rows(connection: sqlite3.Connection, what: What, producer: str) -> Iterable[dict[str, object]]:
    if what is What.RATINGS:
        return map(_rating, ratings.current(connection))
    if what is What.RUNS:
        return map(run_object, runs.ended(connection))
    texts = generations.delivered(connection)
    if what is What.GENERATIONS:
        return (_generation(text, producer) for text in texts)
    by_number = {text.id: text for text in texts}
    return (_duel(choice, by_number) for choice in generations.duel_choices(connection))


def _rating(rating: Rating) -> dict[str, object]:
    return {
        "generation": rating.generation,
        "kind": rating.kind,
        "version": rating.version,
        "value": rating.value,
        "emoji": rating.emoji,
        "reason": rating.reason,
        "rater": rating.rater,
        "at": rating.at.isoformat(),
        "consented": rating.consented,
    }


def _generation(generation: Generation, producer: str) -> dict[str, object]:
    return {
        "generation": generation.id,
        "kind": generation.kind,
        "version": generation.version,
        "author": generation.author,
        "chat": generation.chat,
        "parent": generation.parent,
        "best_of": generation.best_of,
        "finish_reason": generation.finish_reason,
        "messages": [asdict(message) for message in generation.messages],
        "text": generation.text,
        "at": generation.created_at.isoformat(),
        "AIGC": aigc(producer, generation.id),
    }


def _duel(choice: DuelChoice, texts: Mapping[int, Generation]) -> dict[str, object]:
    chosen, rejected = texts[choice.chosen], texts[choice.rejected]
    return {
        "prompt": [asdict(message) for message in chosen.messages],
        "chosen": [{"role": "assistant", "content": chosen.text}],
        "rejected": [{"role": "assistant", "content": rejected.text}],
        "generations": [chosen.id, rejected.id],
        "kind": chosen.kind,
        "rater": choice.rater,
        "at": choice.at.isoformat(),
        "consented": choice.consented,
    }
