"""The inbox: an update is committed before Telegram may forget it, and handled once, in order per chat.

Polling and webhook bring what they got; the library calls `do_process_update` for what was queued. What a crash leaves
behind is queued again at the next start, and what the disk refuses a little later. An update that cannot be read, or
whose handling ends the process again and again, is given up and the admins are told.
"""

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

from telegram import Update
from telegram.ext import BaseUpdateProcessor, ExtBot

from bot.common.metrics import BotMetrics
from bot.messaging.alerts import AdminAlerts
from bot.messaging.messenger import Urgency
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.tables import inbox

logger = logging.getLogger(__name__)

ALLOWED_UPDATES = (
    "message", "channel_post", "callback_query", "message_reaction", "message_reaction_count", "my_chat_member",
    "inline_query", "chosen_inline_result",
)  # fmt: skip
"""Asked for by name: Telegram leaves reactions out of its default."""

_MAX_PENDING = 2_000
_AT_ONCE = 64
_EVERYBODY = 1 << 30
_RETRY_SECONDS = 2.0
_MAX_ID = 1 << 63
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, OSError)
"""What the library raises over updates that are not as Telegram's are."""


class Inbox(BaseUpdateProcessor):
    """Accepts updates, and handles those of different chats side by side, those of one chat in order, and each once.

    Reactions wait for nobody: their order is decided by their dates, in the database.
    """

    def __init__(self, *, db: Database, bot: ExtBot[Urgency], metrics: BotMetrics, alerts: AdminAlerts) -> None:
        super().__init__(_EVERYBODY)  # who waits for a chat's turn must not take a slot; `_slots` is the bound
        self._db = db
        self._bot = bot
        self._metrics = metrics
        self._alerts = alerts
        self.queue: asyncio.Queue[object] = asyncio.Queue()
        """What the application is to handle."""
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._chats: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._claimed: set[int] = set()
        """Taken for handling by this process: one attempt is one process that tried, however often the disk refused."""
        self._deferred: set[int] = set()
        self._is_closing = False

    @property
    def pending(self) -> int:
        """Updates that wait or are being handled."""
        return len(self._tasks) + self.queue.qsize()

    @property
    def is_full(self) -> bool:
        """Whether no more updates should be fetched for the moment; Telegram keeps them."""
        return self.pending > _MAX_PENDING

    async def accept(self, raws: Sequence[object]) -> None:
        """Commit a batch of updates as Telegram sent them, all or none, and queue what is new; what is no update is
        dropped.

        Raises:
            StorageError: they cannot be stored; Telegram must not be told that they were.
        """
        updates = {id_: raw for raw in raws if (id_ := id_of(raw)) is not None}
        bodies = [(update_id, json.dumps(raw)) for update_id, raw in updates.items()]
        new = await inbox.accept(self._db, bodies, at=datetime.now(UTC))
        self._metrics.accepted.inc(len(new))
        self._metrics.duplicate_updates.inc(len(updates) - len(new))
        for update_id, raw in updates.items():
            if update_id in new:
                await self._enqueue(update_id, raw)

    async def resume(self) -> None:
        """Queue what the last process accepted and did not handle, oldest first."""
        for update_id, body in await inbox.unfinished(self._db):
            await self._enqueue(update_id, json.loads(body))

    async def _enqueue(self, update_id: int, raw: Any) -> None:  # noqa: ANN401 - whatever was sent
        try:
            update = Update.de_json(raw, self._bot)
            if update.update_id != update_id:
                raise ValueError("the body is another update's")
        except _UNREADABLE as error:
            await self._alerts.give_up(update_id, f"unreadable: {type(error).__name__}")
        else:
            await self.queue.put(update)

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Run the handlers for one update."""
        assert isinstance(update, Update) and inspect.iscoroutine(coroutine), "that is how the library calls this"
        task = asyncio.current_task()
        assert task is not None, "handlers run in tasks"
        self._tasks.add(task)
        try:
            async with self._turn(update), self._slots:
                if not self._is_closing:
                    await self._handle(update, coroutine)
        except StorageError as error:
            logger.warning("update %d is put off: %s", update.update_id, error)
            self.defer(update)
        finally:
            coroutine.close()  # does nothing to one that has run
            self._tasks.discard(task)
            if update.update_id in self._deferred:
                self._deferred.discard(update.update_id)
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.queue.put_nowait, update)

    def _turn(self, update: Update) -> AbstractAsyncContextManager[object]:
        """The lock of the update's chat, which lives as long as somebody holds it or waits for it."""
        chat = update.effective_chat
        if chat is None or update.message_reaction is not None or update.message_reaction_count is not None:
            return nullcontext()
        return self._chats.setdefault(chat.id, asyncio.Lock())

    async def _handle(self, update: Update, coroutine: Awaitable[Any]) -> None:
        number = update.update_id
        if number not in self._claimed:
            claim = await inbox.claim(self._db, number)
            if claim == "dead":
                self._alerts.given_up(number, "cut off too often")
            if claim != "claimed":
                return
            self._claimed.add(number)
        await coroutine
        if number not in self._deferred:
            await inbox.finish(self._db, number)
            self._claimed.discard(number)

    def defer(self, update: Update) -> None:
        """The disk refused something: handle this update again a little later. Handlers are safe to repeat."""
        self._deferred.add(update.update_id)

    def abandon(self) -> None:
        """Cancel every handler and skip what is queued; the next start resumes all of it."""
        self._is_closing = True
        for task in self._tasks:
            task.cancel()

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to release."""


def id_of(raw: object) -> int | None:
    """The number of an update; None for something that is none."""
    update_id = raw.get("update_id") if isinstance(raw, dict) else None
    if isinstance(update_id, int) and not isinstance(update_id, bool) and -_MAX_ID <= update_id < _MAX_ID:
        return update_id
    return None
