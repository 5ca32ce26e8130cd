"""A fresh database file for each test."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.db.database import Database
from storage.db.records import ChatMessage, Delivery, Generation, NewGeneration
from storage.tables import generations, ratings
from tests.support.stored.keys import keyring_in

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    yield database
    await database.close()


def new_generation(update_id: int, *, author: str = "ada", chat: str = "tea") -> NewGeneration:
    return NewGeneration(
        update_id=update_id,
        kind="slogan",
        chat=chat,
        author=author,
        messages=(ChatMessage("user", f"green tea {update_id}"),),
        seed=1,
        created_at=NOON + timedelta(seconds=update_id),
        delivery=Delivery(chat_id=-100, reply_to=update_id, language="en"),
    )


async def delivered(db: Database, update_id: int, *, author: str = "ada", chat: str = "tea") -> Generation:
    accepted = await generations.accept(db, new_generation(update_id, author=author, chat=chat))
    assert accepted is not None
    await ratings.record_placeholder(db, accepted.id, message_id=1000 + update_id)
    await generations.write_text(db, accepted.id, text=f"Tea, greener by {update_id}.", version="starter")
    await generations.end(db, accepted.id, delivered=True, at=NOON)
    finished = await generations.by_id(db, accepted.id)
    assert finished is not None
    return finished
