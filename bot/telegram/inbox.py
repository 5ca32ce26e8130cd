"""Updates on their way in: polled or posted, committed before Telegram may forget them, and handled once.

What a crash leaves behind is queued again at the next start, and what the disk refuses a little later. An update that
cannot be read, or whose handling ends the process again and again, is given up and the admins are told. The library
calls `do_process_update` for what was queued.
"""

import asyncio
import hmac
import inspect
import json
import logging
import time
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote
from weakref import WeakValueDictionary

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from telegram import Update
from telegram.ext import BaseUpdateProcessor, ExtBot

from bot.common.errors import StartError
from bot.common.metrics import BotMetrics
from bot.common.timing import USUAL, Timing
from bot.messaging.alerts import AdminAlerts
from bot.messaging.messenger import Urgency
from bot.telegram.allow_list import AllowList
from engine.foreign_json import read_json
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.tables import inbox as stored_updates

logger = logging.getLogger(__name__)

ALLOWED_UPDATES = (
    "message", "channel_post", "callback_query", "message_reaction", "message_reaction_count", "my_chat_member",
    "inline_query", "chosen_inline_result",
)  # fmt: skip
"""Asked for by name: Telegram leaves reactions out of its default."""

LONG_POLL_SECONDS = 10
"""Telegram answers an idle poll after this long; a broken connection is noticed a little later."""
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
MAX_BODY_BYTES = 1_000_000
"""Telegram's updates are far smaller."""

_SILENCE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 3.0
_MAX_PENDING = 2_000
_AT_ONCE = 64
_EVERYBODY = 1 << 30
_RETRY_SECONDS = 2.0
_MAX_ID = 1 << 63
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, RecursionError)
"""What the library raises over updates that are not as Telegram's are."""


class Inbox(BaseUpdateProcessor):
    """Accepts updates, and handles those of different chats side by side, those of one chat in order, and each once.

    Reactions wait for nobody: their order is decided by their dates, in the database.
    """

    def __init__(
        self, *, db: Database, bot: ExtBot[Urgency], metrics: BotMetrics, alerts: AdminAlerts, allow_list: AllowList
    ) -> None:
        super().__init__(_EVERYBODY)  # who waits for a chat's turn must not take a slot; `_slots` is the bound
        self._db = db
        self._bot = bot
        self._metrics = metrics
        self._alerts = alerts
        self._allow_list = allow_list
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
        dropped, and nothing is stored of what the allow list turns away.

        Raises:
            StorageError: they cannot be stored; Telegram must not be told that they were.
        """
        updates = {id_: raw for raw in raws if (id_ := id_of(raw)) is not None and await self._is_admitted(raw)}
        bodies = [(update_id, json.dumps(raw)) for update_id, raw in updates.items()]
        new = await stored_updates.accept(self._db, bodies, at=datetime.now(UTC))
        self._metrics.accepted.inc(len(new))
        self._metrics.duplicate_updates.inc(len(updates) - len(new))
        for update_id, raw in updates.items():
            if update_id in new:
                await self._enqueue(update_id, raw)

    async def resume(self) -> None:
        """Queue what the last process accepted and did not handle, oldest first."""
        for update_id, body in await stored_updates.unfinished(self._db):
            try:
                raw = read_json(body)
            except ValueError:  # accepted by an earlier version
                raw = None  # `_enqueue` gives it up
            if await self._is_admitted(raw):
                await self._enqueue(update_id, raw)
            else:
                await stored_updates.finish(self._db, update_id)

    async def _is_admitted(self, raw: Any) -> bool:  # noqa: ANN401 - whatever was sent
        try:
            update = Update.de_json(raw, self._bot)
        except _UNREADABLE:
            return True  # `_enqueue` gives it up
        try:
            return await self._allow_list.admits(update)
        except _UNREADABLE as error:
            logger.warning("an update is dropped that does not say who sent it: %s", type(error).__name__)
            return False

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
            claim = await stored_updates.claim(self._db, number)
            if claim == "dead":
                self._alerts.given_up(number, "cut off too often")
            if claim != "claimed":
                return
            self._claimed.add(number)
        await coroutine
        if number not in self._deferred:
            await stored_updates.finish(self._db, number)
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


class NotFetched(Exception):
    """No updates came; the sentence says why. `wait` is what Telegram asks for, in seconds."""

    def __init__(self, sentence: str, *, wait: float = 0.0, is_conflict: bool = False) -> None:
        super().__init__(sentence)
        self.wait = wait
        self.is_conflict = is_conflict


async def poll(http: httpx.AsyncClient, url: str, *, inbox: Inbox, metrics: BotMetrics, timing: Timing = USUAL) -> None:
    """Bring updates from getUpdates at `url` to the inbox until cancelled; those are confirmed by asking for more.

    Replaces the library's updater, which confirms what is only in memory, ends silently over an update that it cannot
    read, and waits ever longer (to half a minute) while the network is away.

    Raises:
        StartError: another program was polling with this token before us. One that was alone for `timing.conflict`
            seconds stays, whoever comes later.
    """
    offset, pause = 0, _FIRST_PAUSE_SECONDS
    began = alone_since = time.monotonic()
    was_first = False
    while True:
        if inbox.is_full:
            await asyncio.sleep(_FIRST_PAUSE_SECONDS)
            continue
        try:
            raws = await _fetch(http, url, offset)
            await inbox.accept(raws)
        except (NotFetched, StorageError) as error:
            logger.warning("no updates: %s", error)
            metrics.polling_errors.inc()
            metrics.poll_fault = str(error)
            if isinstance(error, NotFetched) and error.is_conflict:
                alone_since = time.monotonic()
                if not was_first and alone_since - began > timing.conflict:
                    raise StartError(
                        "Another program is polling with this TELEGRAM_BOT_TOKEN: stop it, or use another bot's token."
                    ) from error
            await asyncio.sleep(max(pause, getattr(error, "wait", 0.0)))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            continue
        metrics.polled_at, metrics.poll_fault = time.monotonic(), ""
        was_first = was_first or metrics.polled_at - alone_since > timing.conflict
        pause = _FIRST_PAUSE_SECONDS
        # Each offset is sent once: after a quiet week Telegram starts its numbers anew, perhaps below the last one.
        # 0, after an empty batch, confirms nothing.
        ids = [update_id for raw in raws if (update_id := id_of(raw)) is not None]
        offset = ids[-1] + 1 if ids else 0


async def _fetch(http: httpx.AsyncClient, url: str, offset: int) -> Sequence[object]:
    """One call of getUpdates.

    Raises:
        NotFetched: it failed; nothing was confirmed beyond what was committed before.
    """
    asked = {"offset": offset, "timeout": LONG_POLL_SECONDS, "allowed_updates": ALLOWED_UPDATES}
    timeout = httpx.Timeout(_SILENCE_SECONDS, read=LONG_POLL_SECONDS + _SILENCE_SECONDS)
    try:
        response = await http.post(url, json=asked, timeout=timeout)
        answer: Any = read_json(response.content)
        if response.is_success:
            return list(answer["result"])
        wait = float(answer.get("parameters", {}).get("retry_after", 0))
    except httpx.ProxyError as error:
        raise NotFetched(f"Telegram cannot be reached: {error}") from error
    except httpx.HTTPError as error:
        raise NotFetched(f"Telegram cannot be reached ({type(error).__name__}).") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotFetched("the answer is not Telegram's; is TELEGRAM_API_URL right?") from error
    is_conflict = response.status_code == HTTPStatus.CONFLICT
    why = "another program polls with this token; stop it" if is_conflict else f"status {response.status_code}"
    raise NotFetched(f"Telegram refuses ({why}).", wait=wait, is_conflict=is_conflict)


def webhook_app(path: str, *, inbox: Inbox, secret: str, metrics: BotMetrics) -> Starlette:
    """The application that Telegram posts updates to, at the `path` of a URL; they are acknowledged once they are here.

    Telegram repeats what is not answered by 2XX, so an update that cannot be stored is answered by 503 and comes again.
    """

    place = unquote(path)

    async def receive(request: Request) -> Response:
        if request.scope["path"] != place:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        given = request.headers.get(SECRET_HEADER, "").encode()
        if not hmac.compare_digest(given, secret.encode()):
            return PlainTextResponse("The secret is wrong.", status_code=403)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return PlainTextResponse("The body is too large.", status_code=413)
        try:
            raw = read_json(body, max_bytes=MAX_BODY_BYTES)
        except ValueError:
            raw = None
        if id_of(raw) is None:
            return PlainTextResponse("The body is not an update.", status_code=400)
        not_now = PlainTextResponse("Not now.", status_code=503, headers={"Retry-After": "5"})
        if inbox.is_full:
            return not_now
        try:
            await inbox.accept([raw])
        except StorageError:
            logger.exception("an update cannot be stored; Telegram sends it again")
            return not_now
        metrics.polled_at = time.monotonic()
        return Response()

    # Any path, and no pattern of the operator's: braces in one would be a parameter's.
    return Starlette(routes=[Route("/{anything:path}", receive, methods=["POST"])])


def id_of(raw: object) -> int | None:
    """The number of an update; None for something that is none."""
    update_id = raw.get("update_id") if isinstance(raw, dict) else None
    if isinstance(update_id, int) and not isinstance(update_id, bool) and -_MAX_ID <= update_id < _MAX_ID:
        return update_id
    return None
