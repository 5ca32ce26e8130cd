"""The way of updates from the world to the bot: a queue that is polled, or posted to the bot's own address.

As in Telegram: `allowed_updates` counts when an update is created, an offset confirms everything below it, an update
waits at most 24 hours, a second poller ends the first one's wait, and a webhook gets one update at a time, in order,
each until the bot answers 2XX.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx

from bot.sandbox.world.errors import conflict
from bot.sandbox.world.records import Json

DEFAULT_KINDS = frozenset(
    {"message", "channel_post", "inline_query", "chosen_inline_result", "callback_query", "my_chat_member"}
)
"""What a bot gets that never asked for anything, or asked for an empty list: no reactions."""

LIFETIME = timedelta(hours=24)

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
RETRY_SECONDS = 0.5
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An update that the bot has not confirmed yet."""

    update_id: int
    kind: str
    created_at: datetime
    payload: Json

    def json(self) -> Json:
        """The Update object of the Bot API."""
        return {"update_id": self.update_id, self.kind: self.payload}


class UpdateQueue:
    """Updates in order of creation; `pending` never holds a confirmed one."""

    def __init__(self, clock: Callable[[], datetime], first_id: int = 700_000_001) -> None:
        self.allowed: frozenset[str] = DEFAULT_KINDS
        self.pending: deque[Waiting] = deque()
        self.is_polled = False
        """Whether the bot has ever asked for updates; before that it has not told which kinds it wants."""
        self.is_closed = False
        """Whether a poll is answered at once, with nothing if nothing waits; see `close`."""
        self.changed = asyncio.Event()
        """Set by every new update; the webhook's."""
        self._clock = clock
        self._next_id = first_id
        self._poller: asyncio.Future[None] | None = None

    def allow(self, kinds: Iterable[str] | None) -> None:
        """Set the wanted kinds for updates from now on; None keeps the setting."""
        if kinds is not None:
            self.allowed = frozenset(kinds) or DEFAULT_KINDS

    def add(self, kind: str, payload: Json) -> bool:
        """Queue an update if the bot wants this kind; says whether it was queued."""
        if kind not in self.allowed:
            return False
        self.pending.append(Waiting(self._next_id, kind, self._clock(), payload))
        self._next_id += 1
        self._wake()
        return True

    def confirm(self, offset: int) -> None:
        """Forget everything below `offset`; a negative one keeps only that many from the end."""
        if offset < 0:
            while len(self.pending) > -offset:
                self.pending.popleft()
        while self.pending and self.pending[0].update_id < offset:
            self.pending.popleft()

    def first(self, limit: int) -> list[Waiting]:
        """The oldest waiting updates, at most `limit`, none older than 24 hours."""
        oldest = self._clock() - LIFETIME
        while self.pending and self.pending[0].created_at < oldest:
            self.pending.popleft()
        return [self.pending[index] for index in range(min(limit, len(self.pending)))]

    async def poll(self, offset: int, limit: int, timeout_seconds: float) -> list[Waiting]:
        """One getUpdates: confirm, then wait for the first update at most `timeout_seconds`.

        Raises:
            ApiError: 409 when another poll began while this one waited.
        """
        if self._poller is not None and not self._poller.done():
            self._poller.set_exception(
                conflict("terminated by other getUpdates request; make sure that only one bot instance is running")
            )
        self._poller = None
        self.is_polled = True
        self.confirm(offset)
        updates = self.first(limit)
        if updates or timeout_seconds <= 0 or self.is_closed:
            return updates
        mine = self._poller = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait_for(mine, timeout_seconds)
        except TimeoutError:
            return []
        finally:
            if self._poller is mine:
                self._poller = None
        return self.first(limit)

    def close(self) -> None:
        """Answer a waiting poll at once and let no other wait."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._poller is not None and not self._poller.done():
            self._poller.set_result(None)
        self.changed.set()


class WebhookSender:
    """Posts what waits while an address is set. The secret, if any, goes along in a header."""

    def __init__(self, updates: UpdateQueue) -> None:
        self.url = ""
        self._secret = ""
        self._updates = updates

    def set(self, url: str, secret: str = "") -> None:
        """Post to this address from now on; an empty one stops."""
        self.url, self._secret = url, secret
        self._updates.changed.set()

    async def run(self) -> None:
        """Post until cancelled."""
        while not self.url:
            await self._change()
        # Made only when needed, because it loads every certificate of the machine.
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            while True:
                while self.url and (waiting := self._updates.first(1)):
                    if await self._is_taken(client, waiting[0]):
                        self._updates.confirm(waiting[0].update_id + 1)
                    else:
                        await asyncio.sleep(RETRY_SECONDS)
                await self._change()

    async def _change(self) -> None:
        await self._updates.changed.wait()
        self._updates.changed.clear()

    async def _is_taken(self, client: httpx.AsyncClient, update: Waiting) -> bool:
        headers = {SECRET_HEADER: self._secret} if self._secret else {}
        try:
            return (await client.post(self.url, json=update.json(), headers=headers)).is_success
        except httpx.HTTPError:
            return False
