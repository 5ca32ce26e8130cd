"""Whose update is handled next: senders take turns, so that many of one hold up nobody else.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): each update gets a tag, one more than its sender's last and no
less than that of what began last, and the lowest tag goes first. Who has sent a hundred has a hundred tags in a row,
and whoever comes meanwhile is before all but the first few.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

AT_ONCE = 64
"""Updates that are handled side by side: enough to keep the disk busy."""
OF_SENDER = 8
"""Of them, of one sender; no chain of slow files or checks of one takes what others need."""


@dataclass(eq=False, slots=True)
class Turn:
    """One update's turn."""

    sender: int
    lane: Hashable
    chat: Hashable
    tag: int
    arrival: int
    turns: "Turns"
    task: "asyncio.Task[object] | None"
    begins: "asyncio.Future[None]"
    is_open: bool = False
    """One of its sender's `OF_SENDER`."""
    is_held: bool = False
    """It has a slot, and its chat."""

    def call_off(self) -> None:
        """It has nothing to do any more: whoever waits for it goes on at once."""
        if not self.begins.done():
            self.begins.set_result(None)


_current: ContextVar[Turn | None] = ContextVar("current", default=None)
"""The turn in which this code runs, or in which it was begun."""


def sender() -> int:
    """On whose behalf this code runs; 0 where nobody has asked for it just now."""
    turn = _current.get()
    return 0 if turn is None else turn.sender


def give_way() -> None:
    """Before waiting for something slow: let others have the slot, and the chat; the sender's next stays behind."""
    turn = _current.get()
    if turn is not None and turn.task is asyncio.current_task():  # else it waits for nobody
        turn.turns.release(turn)


@dataclass(slots=True)
class _Sender:
    last: int = -1
    """The tag that was given last."""
    lanes: int = 0
    open: int = 0
    parked: deque[Turn] = field(default_factory=deque)


@dataclass(slots=True)
class _Chat:
    waiting: list[tuple[int, int, Turn]] = field(default_factory=list)
    is_busy: bool = False


class Turns:
    """Lets updates begin: of a sender in a chat one after the other to the very end; in a chat one at a time, until the
    one that is handled waits for Telegram; and no more than so many at once."""

    def __init__(self, *, at_once: int = AT_ONCE, of_sender: int = OF_SENDER) -> None:
        self._free = at_once
        self._of_sender = of_sender
        self._now = 0
        """The tag of what began last."""
        self._arrivals = itertools.count()
        self._senders: dict[int, _Sender] = {}
        self._lanes: dict[Hashable, deque[Turn]] = {}
        self._chats: dict[Hashable, _Chat] = {}
        self._ready: list[tuple[int, int, Hashable]] = []
        """Tags of what may begin by its chat, with the chat; some of them are out of date."""

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def enter(self, sender: int, chat: int | None) -> Turn:
        """Stand in line; without a chat, for no other of the same sender."""
        arrival = next(self._arrivals)
        one = self._senders.setdefault(sender, _Sender())
        one.last = max(self._now, one.last + 1)
        lane: Hashable = ("alone", arrival) if chat is None else (chat, sender)
        begins = asyncio.get_running_loop().create_future()
        turn = Turn(
            sender, lane, lane if chat is None else chat, one.last, arrival, self, asyncio.current_task(), begins
        )
        waiting = self._lanes.get(lane)
        if waiting is None:
            self._lanes[lane] = deque([turn])
            one.lanes += 1
            self._open(turn)
        else:
            waiting.append(turn)
        return turn

    @asynccontextmanager
    async def begun(self, turn: Turn) -> AsyncIterator[None]:
        """Wait until a turn begins, or is called off, and leave the line in the end."""
        token = _current.set(turn)
        try:
            await turn.begins
            yield
        finally:
            _current.reset(token)
            self._leave(turn)

    def _open(self, turn: Turn) -> None:
        """The next of a lane: let it stand before its chat, unless its sender has enough of that."""
        sender = self._senders[turn.sender]
        if sender.open >= self._of_sender:
            sender.parked.append(turn)
            return
        sender.open += 1
        turn.is_open = True
        chat = self._chats.setdefault(turn.chat, _Chat())
        heapq.heappush(chat.waiting, (turn.tag, turn.arrival, turn))
        if not chat.is_busy:
            heapq.heappush(self._ready, (turn.tag, turn.arrival, turn.chat))
            self._begin()

    def _begin(self) -> None:
        """Let begin what may."""
        while self._free and self._ready:
            _, _, name = heapq.heappop(self._ready)
            chat = self._chats.get(name)
            if chat is None or chat.is_busy:
                continue
            while chat.waiting and chat.waiting[0][2].begins.done():  # called off
                heapq.heappop(chat.waiting)
            if not chat.waiting:
                del self._chats[name]
                continue
            _, _, turn = heapq.heappop(chat.waiting)
            chat.is_busy = turn.is_held = True
            self._free -= 1
            self._now = max(self._now, turn.tag)
            turn.begins.set_result(None)

    def release(self, turn: Turn) -> None:
        """Take from a turn what others may need."""
        if turn.is_held:
            turn.is_held = False
            self._free += 1
            chat = self._chats[turn.chat]
            chat.is_busy = False
            if chat.waiting:
                tag, arrival, _ = chat.waiting[0]
                heapq.heappush(self._ready, (tag, arrival, turn.chat))
            else:
                del self._chats[turn.chat]
        if turn.is_open:
            turn.is_open = False
            sender = self._senders[turn.sender]
            sender.open -= 1
            while sender.parked and sender.open < self._of_sender:
                parked = sender.parked.popleft()
                if not parked.begins.done():
                    self._open(parked)
        self._begin()

    def _leave(self, turn: Turn) -> None:
        turn.begins.cancel()  # does nothing to one that has begun
        self.release(turn)
        lane = self._lanes[turn.lane]
        was_first = lane[0] is turn
        lane.remove(turn)
        if lane:
            if was_first:
                self._open(lane[0])
            return
        del self._lanes[turn.lane]
        sender = self._senders[turn.sender]
        sender.lanes -= 1
        if not sender.lanes:
            del self._senders[turn.sender]
