"""The queue of updates between the world and the bot. Knows kinds and numbers, not what an update says.

As in Telegram: `allowed_updates` counts when an update is created, an offset confirms everything below it,
an update waits at most 24 hours, and a second poller ends the first one's wait.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.sandbox.world.errors import OTHER_POLLER, conflict

Payload = dict[str, object]

ALL_KINDS = frozenset(
    {
        "message",
        "edited_message",
        "channel_post",
        "edited_channel_post",
        "business_connection",
        "business_message",
        "edited_business_message",
        "deleted_business_messages",
        "guest_message",
        "message_reaction",
        "message_reaction_count",
        "inline_query",
        "chosen_inline_result",
        "callback_query",
        "shipping_query",
        "pre_checkout_query",
        "purchased_paid_media",
        "poll",
        "poll_answer",
        "my_chat_member",
        "chat_member",
        "chat_join_request",
        "chat_boost",
        "removed_chat_boost",
        "managed_bot",
    }
)
DEFAULT_KINDS = ALL_KINDS - {"chat_member", "message_reaction", "message_reaction_count"}
"""What a bot gets that never asked for anything, or asked for an empty list."""

LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An update that the bot has not confirmed yet."""

    update_id: int
    kind: str
    created_at: datetime
    payload: Payload

    def on_the_wire(self) -> Payload:
        """The Update object of the Bot API."""
        return {"update_id": self.update_id, self.kind: self.payload}


class UpdateQueue:
    """Updates in order of creation; `pending` never holds a confirmed one."""

    def __init__(self, clock: Callable[[], datetime], first_id: int = 700_000_001) -> None:
        self.allowed: frozenset[str] = DEFAULT_KINDS
        self.pending: deque[Waiting] = deque()
        self.is_polled = False
        """Whether the bot has ever asked for updates; before that it has not told which kinds it wants."""
        self._clock = clock
        self._next_id = first_id
        self._poller: asyncio.Future[None] | None = None
        self._closed = False
        self._watchers: list[Callable[[], None]] = []

    def allow(self, kinds: Iterable[str] | None) -> None:
        """Set the wanted kinds for updates from now on; None keeps the setting, unknown names are ignored."""
        if kinds is not None:
            self.allowed = frozenset(kinds) & ALL_KINDS or DEFAULT_KINDS

    def add(self, kind: str, payload: Payload) -> bool:
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
            return
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
        self._end_other_poll()
        self.is_polled = True
        self.confirm(offset)
        updates = self.first(limit)
        if updates or timeout_seconds <= 0 or self._closed:
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

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back after every new update; the way a webhook learns of them."""
        self._watchers.append(callback)

    def close(self) -> None:
        """Answer a waiting poll at once and let no other wait."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._poller is not None and not self._poller.done():
            self._poller.set_result(None)
        for callback in self._watchers:
            callback()

    def _end_other_poll(self) -> None:
        if self._poller is not None and not self._poller.done():
            self._poller.set_exception(conflict(OTHER_POLLER))
        self._poller = None
