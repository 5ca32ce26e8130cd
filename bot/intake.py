"""Intake: an update is committed to the inbox before Telegram may forget it, and handled once, in order per chat.

`AcceptingBot` commits a whole batch before python-telegram-bot can confirm it; `InboxProcessor` runs the handlers and
marks the update as done. What a crash leaves behind is put back into the queue at the next start. Knows updates only
by id and chat.
"""

import asyncio
import inspect
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from telegram import Update
from telegram.error import NetworkError
from telegram.ext import BaseUpdateProcessor, ExtBot

from storage import inbox
from storage.database import Database
from storage.errors import StorageError

logger = logging.getLogger(__name__)

ALLOWED_UPDATES = ("message", "callback_query", "message_reaction", "my_chat_member")
"""Asked for by name: Telegram leaves reactions out of its default."""

_AT_ONCE = 64


class AcceptingBot(ExtBot[None]):
    """A bot whose updates are on disk before anybody sees them."""

    def __init__(self, db: Database, **options: Any) -> None:  # noqa: ANN401 - handed through to the library
        super().__init__(**options)
        self._db = db

    async def get_updates(self, *args: Any, **options: Any) -> tuple[Update, ...]:  # noqa: ANN401 - the library's own
        """As the library's, but the batch is committed first; a disk that refuses it counts as a lost connection."""
        updates = await super().get_updates(*args, **options)
        if updates:
            try:
                await accept(self._db, updates)
            except StorageError as error:
                logger.exception("%d updates cannot be stored; Telegram keeps them", len(updates))
                raise NetworkError("The updates cannot be stored now.") from error
        return updates


async def accept(db: Database, updates: Sequence[Update]) -> None:
    """Commit updates to the inbox, all of them or none.

    Raises:
        StorageError: they cannot be stored; Telegram must not be told that they were.
    """
    await inbox.accept(db, [(update.update_id, update.to_json()) for update in updates], at=datetime.now(UTC))


async def unhandled(db: Database, bot: ExtBot[None]) -> list[Update]:
    """The updates that the last process accepted and did not handle, oldest first."""
    bodies = await inbox.unfinished(db)
    updates = [Update.de_json(json.loads(body), bot) for body in bodies]
    return [update for update in updates if update is not None]


class InboxProcessor(BaseUpdateProcessor):
    """Handles updates of different chats side by side, those of one chat in order, and each one once."""

    __slots__ = ("_chats", "_db", "_is_closing", "_tasks")

    def __init__(self, db: Database) -> None:
        super().__init__(_AT_ONCE)
        self._db = db
        self._chats: dict[int, tuple[asyncio.Lock, int]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closing = False

    def abandon(self) -> None:
        """Cut off every handler and skip what is queued; the next start takes all of it up from the inbox."""
        self._is_closing = True
        for task in self._tasks:
            task.cancel()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Run the handlers for one update."""
        assert isinstance(update, Update) and inspect.iscoroutine(coroutine), "that is how the library calls this"
        task = asyncio.current_task()
        assert task is not None, "handlers run in tasks"
        self._tasks.add(task)
        try:
            await self._handle_in_turn(update, coroutine)
        finally:
            coroutine.close()  # does nothing to one that has run
            self._tasks.discard(task)

    async def _handle_in_turn(self, update: Update, coroutine: Awaitable[Any]) -> None:
        chat = update.effective_chat
        async with self._turn(0 if chat is None else chat.id):
            if not self._is_closing and await inbox.claim(self._db, update.update_id):
                await coroutine
                await inbox.finish(self._db, update.update_id)

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to release."""

    @asynccontextmanager
    async def _turn(self, chat: int) -> AsyncIterator[None]:
        """Wait for the chat's turn; its lock is dropped when nobody waits for it any more."""
        lock, waiting = self._chats.get(chat, (asyncio.Lock(), 0))
        self._chats[chat] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._chats.pop(chat)
            if waiting > 1:
                self._chats[chat] = (lock, waiting - 1)
