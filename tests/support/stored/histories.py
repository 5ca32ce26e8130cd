"""Databases with a past: people whose words can be searched for in the bytes of every file, for they lie there as they
were before there was a keyring."""

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from storage.db.database import open_for_reading, set_up
from storage.db.schema import migrate
from tests.storage.conftest import NOON

PEOPLE = ("ada", "bob", "cyd", "dee", "eve", "fay")
_PRAGMAS = ("journal_mode = WAL", "synchronous = OFF", "foreign_keys = ON")


def words_of(person: str) -> bytes:
    return f"{person}-said-so".encode()


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        set_up(connection, None)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        yield connection


def write_history(path: Path, *, texts: int, seed: int, begin: datetime = NOON) -> None:
    """Prompts, answers that come in another order, replies in threads, ratings: pages split and are balanced."""
    rng = random.Random(seed)
    with opened(path) as connection:
        migrate(connection)
        open_texts: list[tuple[int, str]] = []
        for number in range(1, texts + 1):
            at = (begin + timedelta(seconds=number)).isoformat()
            author = rng.choice(PEOPLE)
            parent = rng.randrange(1, number) if number > 5 and rng.random() < 0.05 else None
            _prompt(connection, number, author, parent, at, said=rng.randint(1, 90))
            open_texts.append((number, author))
            while len(open_texts) > rng.randint(0, 6):
                answered, asker = open_texts.pop(rng.randrange(len(open_texts)))
                _answer(connection, answered, asker, at, said=rng.randint(1, 90))
            rater = rng.choice(PEOPLE)
            _rate(connection, rng.randint(1, number), rater, at, update_id=100_000 + number)


def rows_of(path: Path, person: str) -> int:
    """Rows that name a person, bans and the audit aside."""
    with closing(open_for_reading(path)) as connection:
        return sum(
            connection.execute(f"SELECT count(*) FROM {table} WHERE {column} = ?", (person,)).fetchone()[0]
            for table, column in (
                ("people", "person"), ("consents", "person"), ("generations", "author"), ("ratings", "rater"),
                ("rating_events", "rater"), ("early_reactions", "rater"), ("lineage", "rater"),
                ("reasons", "rater"), ("signals", "person"), ("reports", "reporter"), ("preferences", "person"),
                ("homes", "person"),
            )
        )  # fmt: skip


def files_with(folder: Path, words: bytes) -> list[str]:
    """The names of the files in a folder, however deep, that hold words; no database may be open."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and words in path.read_bytes())


def _prompt(
    connection: sqlite3.Connection, number: int, author: str, parent: int | None, at: str, *, said: int
) -> None:
    messages = json.dumps([{"role": "user", "content": f"{author}-said-so " * said}])
    if parent is not None:
        (quoted,) = connection.execute("SELECT messages FROM generations WHERE id = ?", (parent,)).fetchone()
        messages = json.dumps(json.loads(quoted)[-2:] + json.loads(messages))
    connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", (author, at))
    connection.execute(
        "INSERT INTO generations (id, update_id, kind, chat, author, messages, parent, seed, created_at)"
        " VALUES (?, ?, 'slogan', 'tea', ?, ?, ?, 1, ?)",
        (number, number, author, messages, parent, at),
    )
    connection.execute(
        "INSERT INTO deliveries (generation, chat_id, reply_to, message_id, language) VALUES (?, -100, ?, ?, 'en')",
        (number, number, 1000 + number),
    )


def _answer(connection: sqlite3.Connection, number: int, author: str, at: str, *, said: int) -> None:
    connection.execute(
        "UPDATE generations SET state = 'delivered', version = 'starter', text = ?, delivered_at = ? WHERE id = ?",
        (f"{author}-said-so, answered. " * said, at, number),
    )


def _rate(connection: sqlite3.Connection, number: int, rater: str, at: str, *, update_id: int) -> None:
    connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", (rater, at))
    values = (number, rater, "button", 1.0, "👍", at, update_id)
    connection.execute(
        "INSERT INTO rating_events (generation, rater, source, value, emoji, at, update_id) VALUES (?,?,?,?,?,?,?)",
        values,
    )
    connection.execute(
        "INSERT INTO ratings (generation, rater, source, value, emoji, at, update_id) VALUES (?,?,?,?,?,?,?)"
        " ON CONFLICT DO UPDATE SET at = excluded.at, update_id = excluded.update_id",
        values,
    )
    connection.execute(
        "INSERT INTO reasons VALUES (?, ?, ?, 'boring', ?) ON CONFLICT DO NOTHING", (number, rater, update_id, at)
    )
    connection.execute("INSERT INTO signals VALUES (?, ?, ?, 'another', ?)", (update_id, number, rater, at))
    connection.execute(
        "INSERT INTO preferences VALUES (?, 'tea', 'own_taste', 'on', ?) ON CONFLICT DO NOTHING", (rater, at)
    )
