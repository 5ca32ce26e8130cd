"""Exports: the facts as JSON lines, one object a line, read beside a running bot. Knows records and JSON, no model.

Choices between two texts are in the format that TRL's DPO learns from, with more keys. Ratings also leave as what a run
would make of them now, in the format that TRL's KTO learns from.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

from bot.learning.dataset import dataset_of
from bot.moderation.provenance import aigc
from engine.data.dataset import examples_of
from engine.data.trl_format import kto_lines
from storage.db.records import Run
from storage.tables import generations, ratings, runs


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
    rows: dict[What, Callable[[sqlite3.Connection], Iterator[dict[str, object]]]] = {
        What.RATINGS: _ratings,
        What.GENERATIONS: partial(_generations, producer=producer),
        What.RUNS: _runs,
        What.DUELS: _duels,
    }
    for row in rows[what](connection):
        yield json.dumps(row, ensure_ascii=False)


def kto(connection: sqlite3.Connection, *, tenure_days: float) -> Iterable[str]:
    """What may be learned from now, labelled: one text a line."""
    rows = dataset_of(ratings.consented(connection), now=datetime.now(UTC), tenure_days=tenure_days)
    examples, _ = examples_of(tuple(rows))
    return kto_lines(examples)


def _ratings(connection: sqlite3.Connection) -> Iterator[dict[str, object]]:
    for rating in ratings.current(connection):
        yield {
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


def _generations(connection: sqlite3.Connection, *, producer: str) -> Iterator[dict[str, object]]:
    for generation in generations.delivered(connection):
        yield {
            "generation": generation.id,
            "kind": generation.kind,
            "version": generation.version,
            "author": generation.author,
            "chat": generation.chat,
            "parent": generation.parent,
            "best_of": generation.best_of,
            "messages": [{"role": turn.role, "content": turn.content} for turn in generation.messages],
            "text": generation.text,
            "at": generation.created_at.isoformat(),
            "AIGC": aigc(producer, generation.id),
        }


def _runs(connection: sqlite3.Connection) -> Iterator[dict[str, object]]:
    for run in runs.ended(connection):
        yield run_object(run)


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


def _duels(connection: sqlite3.Connection) -> Iterator[dict[str, object]]:
    texts = {text.id: text for text in generations.delivered(connection)}
    for pair in generations.duel_choices(connection):
        chosen, rejected = texts[pair.chosen], texts[pair.rejected]
        yield {
            "prompt": [{"role": turn.role, "content": turn.content} for turn in chosen.messages],
            "chosen": [{"role": "assistant", "content": chosen.text}],
            "rejected": [{"role": "assistant", "content": rejected.text}],
            "generations": [chosen.id, rejected.id],
            "kind": chosen.kind,
            "rater": pair.rater,
            "at": pair.at.isoformat(),
            "consented": pair.consented,
        }
