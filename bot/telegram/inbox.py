"""Updates on their way in: polled or posted, committed before Telegram may forget them, and handled once.

What is too much of one sender or chat is not let in (`bot.telegram.admission`), and who is handled next is a matter of
turns (`bot.telegram.turns`). What a crash leaves behind is queued again at the next start, and what the disk refuses a
little later. An update that cannot be read, or whose handling ends the process again and again, is given up and the
admins are told. The library calls `do_process_update` for what was queued.
"""

import asyncio
import hmac
import inspect
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

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
from bot.telegram.admission import Admission, Dropped
from bot.telegram.allow_list import AllowList
from bot.telegram.turns import Turn, Turns, give_way
from engine.data.rewards import REACTION_VALUES
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
_EVERYBODY = 1 << 30
_RETRY_SECONDS = 2.0
_MAX_ID = 1 << 63
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, RecursionError)
"""What the library raises over updates that are not as Telegram's are."""


Lane = tuple[int, int]
"""Sender and chat, whose updates are handled in order."""


class Inbox(BaseUpdateProcessor):
    """Accepts updates, and handles each once: those of different people side by side, those of one person in one chat
    in order.

    Reactions wait for nobody: their order is decided by their dates, in the database.
    """

    def __init__(
        self,
        *,
        db: Database,
        bot: ExtBot[Urgency],
        metrics: BotMetrics,
        alerts: AdminAlerts,
        allow_list: AllowList,
        reaction_values: Mapping[str, float | None] = REACTION_VALUES,
    ) -> None:
        super().__init__(_EVERYBODY)  # who waits for a turn must not take a slot of the library's
        self._db = db
        self._bot = bot
        self._metrics = metrics
        self._alerts = alerts
        self._allow_list = allow_list
        self.queue: asyncio.Queue[object] = asyncio.Queue()
        """What the application is to handle."""
        self.admission = Admission(bot, reaction_values)
        self._turns = Turns()
        self._waiting: dict[int, Turn] = {}
        """What has a task and has not begun."""
        self._moot: set[int] = set()
        """Superseded, and not stored as such yet."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._claimed: set[int] = set()
        """Taken for handling by this process: one attempt is one process that tried, however often the disk refused."""
        self._deferred: set[int] = set()
        self._put_off: Counter[Lane] = Counter()
        """How many of a lane come again a little later: what follows them there must not be handled before."""
        self._suspects: set[int] = set()
        self._alone = asyncio.Lock()
        """For those, which have been cut off more than once."""
        self._is_closing = False

    @property
    def is_full(self) -> bool:
        """Whether no more updates should be fetched for the moment; Telegram keeps them."""
        return self.admission.is_full

    async def accept(self, raws: Sequence[object]) -> None:
        """Commit a batch of updates as Telegram sent them, all or none, and queue what is new; what is no update is
        dropped, and nothing is stored of what the allow list turns away or of whom too much waits already.

        Raises:
            StorageError: they cannot be stored; Telegram must not be told that they were.
        """
        updates: dict[int, Update | None] = {}
        bodies: dict[int, str] = {}
        new: frozenset[int] = frozenset()
        try:
            for raw in raws:
                number = id_of(raw)
                if number is not None and await self._is_let_in(number, raw, updates):
                    bodies[number] = json.dumps(raw)
            for number in self.admission.moot_among(updates):
                self._drop(number, "superseded")
                del updates[number], bodies[number]
            new = await stored_updates.accept(self._db, list(bodies.items()), at=datetime.now(UTC))
        finally:
            for number in updates.keys() - new:
                self.admission.end(number)
        self._metrics.accepted.inc(len(new))
        self._metrics.duplicate_updates.inc(len(updates) - len(new))
        for number, update in updates.items():
            if number in new:
                await self._enqueue(number, update)
        await self._store_moot()

    async def resume(self) -> None:
        """Queue what the last process accepted and did not handle, oldest first.

        All of it: bounds are for what comes, and what was confirmed to Telegram is nowhere else.
        """
        for number, body, is_suspicious in await stored_updates.unfinished(self._db):
            if is_suspicious:
                self._suspects.add(number)
            try:
                update = self._read(number, read_json(body))
            except ValueError:  # accepted by an earlier version
                update = None
            if update is not None and not await self._is_allowed(update):
                await stored_updates.finish(self._db, number)
                continue
            if update is not None:
                self.admission.resume(update)
            await self._enqueue(number, update)

    def _read(self, number: int, raw: Any) -> Update | None:  # noqa: ANN401 - whatever was sent
        try:
            update = Update.de_json(raw, self._bot)
            return update if update.update_id == number else None
        except _UNREADABLE:
            return None

    async def _is_allowed(self, update: Update) -> bool:
        try:
            return await self._allow_list.admits(update)
        except _UNREADABLE as error:
            logger.warning("an update is dropped that does not say who sent it: %s", type(error).__name__)
            return False

    async def _is_let_in(self, number: int, raw: object, updates: dict[int, Update | None]) -> bool:
        """Whether an update is to be stored; `updates` are those of the same batch, and get it then."""
        if self._is_known(number, updates):  # asked first: what is dropped comes to its end, whoever let it in
            return False
        if self.admission.is_excess(raw):
            self._drop(number, "sender")
            return False
        update = self._read(number, raw)
        if update is not None:
            if not await self._is_allowed(update) or self._is_known(number, updates):  # posted again meanwhile
                return False
            dropped = self.admission.admit(update)
            if dropped is not None:
                self._drop(number, dropped)
                return False
        updates[number] = update
        return True

    def _is_known(self, number: int, updates: Mapping[int, Update | None]) -> bool:
        is_known = number in self.admission or number in updates
        self._metrics.duplicate_updates.inc(is_known)
        return is_known

    def _drop(self, number: int, reason: Dropped) -> None:
        self.admission.end(number)
        self._metrics.dropped.labels(reason).inc()

    async def _enqueue(self, number: int, update: Update | None) -> None:
        if update is None:
            await self._alerts.give_up(number, "unreadable")
            return
        await self.queue.put(update)
        for moot in self.admission.queue(number):
            self._drop(moot, "superseded")
            self._moot.add(moot)
            if (turn := self._waiting.get(moot)) is not None:
                turn.call_off()

    async def _store_moot(self) -> None:
        """Should that fail, it is tried with the next batch."""
        if not self._moot:
            return
        moot = tuple(self._moot)
        try:
            await stored_updates.supersede(self._db, moot)
        except StorageError as error:
            logger.warning("%d updates are superseded and not stored so: %s", len(moot), error)
        else:
            self._moot.difference_update(moot)

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Run the handlers for one update."""
        assert isinstance(update, Update) and inspect.iscoroutine(coroutine), "that is how the library calls this"
        task = asyncio.current_task()
        assert task is not None, "handlers run in tasks"
        number = update.update_id
        lane: Lane | None = None
        self._tasks.add(task)
        try:
            if number in self.admission:
                sender, chat = self.admission.parties(number)
                if update.message_reaction is None and update.message_reaction_count is None:
                    lane = sender, chat
                turn = self._waiting[number] = self._turns.enter(sender, None if lane is None else chat)
                async with self._turns.begun(turn):
                    del self._waiting[number]
                    if number in self.admission and not self._is_closing:  # else it was superseded meanwhile
                        self.admission.begin(number)
                        if lane is not None and self._put_off[lane]:
                            self.defer(update)
                        elif number in self._suspects:
                            give_way()
                            async with self._alone:
                                await self._handle(update, coroutine)
                        else:
                            await self._handle(update, coroutine)
        except StorageError as error:
            logger.warning("update %d is put off: %s", number, error)
            self.defer(update)
        finally:
            coroutine.close()  # does nothing to one that has run
            self._tasks.discard(task)
            self._waiting.pop(number, None)
            if number in self._deferred:
                self._deferred.discard(number)
                if lane is not None:
                    self._put_off[lane] += 1
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._again, update, lane)
            else:
                self.admission.end(number)
                self._suspects.discard(number)

    def _again(self, update: Update, lane: Lane | None) -> None:
        if lane is not None:
            self._put_off[lane] -= 1
            if not self._put_off[lane]:
                del self._put_off[lane]
        self.queue.put_nowait(update)

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
            metrics.poll_fault = "as many updates wait as there is room for"
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
