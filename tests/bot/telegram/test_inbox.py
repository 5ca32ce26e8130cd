"""What is accepted is stored and handled once; what is dropped is counted; and whatever one person sends, the next
person's update is handled within a few steps. A step is one call to Telegram, or the handling of one update."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from telegram import Update

from bot.common.metrics import BotMetrics
from bot.telegram import inbox as module
from bot.telegram.admission import OF_SENDER
from bot.telegram.inbox import Inbox
from bot.telegram.rate_limiter import RateLimiter
from storage.db.database import Database
from storage.db.errors import DatabaseUnusable
from storage.tables import inbox as stored_updates
from tests.support.stored.keys import keyring_in
from tests.support.updates import (
    BOT,
    as_chat,
    asked_inline,
    counted,
    pressed,
    pressed_inline,
    reacted,
    said,
)
from tests.support.virtual_time import in_virtual_time

ADA, BOB, GROUP = 100, 200, -1001
STRANGER = 300


class Desk:
    """An inbox, and what stands behind it: handlers that do as the test says."""

    def __init__(self, db: Database, handle: Callable[[Update], Awaitable[None]] | None = None) -> None:
        self.metrics = BotMetrics()
        self.alerts = MagicMock(give_up=AsyncMock())
        allow_list = MagicMock(admits=AsyncMock(return_value=True))
        self.inbox = Inbox(db=db, bot=BOT, metrics=self.metrics, alerts=self.alerts, allow_list=allow_list)
        self.handled: list[int] = []
        self._handle = handle
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = 0

    async def send(self, *raws: dict[str, Any]) -> None:
        """As Telegram sends them, a hundred at a time."""
        numbered = [{"update_id": self._numbers + place} | raw for place, raw in enumerate(raws, 1)]
        self._numbers += len(raws)
        for begin in range(0, len(raws), 100):
            await self.inbox.accept(numbered[begin : begin + 100])

    def start(self) -> None:
        """Do as the library does with what is queued."""
        while not self.inbox.queue.empty():
            update = self.inbox.queue.get_nowait()
            assert isinstance(update, Update)
            work = self.inbox.do_process_update(update, self._run(update))
            self._tasks.append(asyncio.ensure_future(work))

    async def end(self) -> None:
        self.start()
        await asyncio.gather(*self._tasks)

    def dropped(self, reason: str) -> float:
        return float(self.metrics.dropped.labels(reason)._value.get())

    async def _run(self, update: Update) -> None:
        self.handled.append(update.update_id)
        if self._handle is not None:
            await self._handle(update)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    yield opened
    await opened.close()


async def states(db: Database) -> dict[int, str]:
    return await db.read(lambda c: dict(c.execute("SELECT update_id, state FROM inbox ORDER BY update_id").fetchall()))


async def test_what_is_dropped_is_counted_and_never_stored_and_the_rest_is_handled_in_order(db: Database) -> None:
    desk = Desk(db)
    await desk.send(*(said(ADA, GROUP, f"/slogan {n}") for n in range(40)), *[said(BOB, GROUP, "/help")] * 3)
    assert list(await states(db)) == [*range(1, OF_SENDER + 1), 41]
    assert (desk.dropped("sender"), desk.dropped("repeated")) == (40 - OF_SENDER, 2)
    await desk.end()
    assert [number for number in desk.handled if number != 41] == list(range(1, OF_SENDER + 1)) and 41 in desk.handled
    assert set((await states(db)).values()) == {"done"} and len(desk.inbox.admission) == 0


async def test_what_is_superseded_is_done_without_being_handled_also_for_the_next_process(db: Database) -> None:
    desk = Desk(db)
    await desk.send(*(reacted(ADA, GROUP, "👍", message=number) for number in range(OF_SENDER)))
    await desk.send(*(reacted(ADA, GROUP, "👍👎"[after % 2], message=0, after=after) for after in range(1, 301)))
    last = OF_SENDER + 300
    assert desk.dropped("superseded") == 300
    assert len(await states(db)) == OF_SENDER + 3, "of each hundred that came together the last is stored"
    assert {number for number, state in (await states(db)).items() if state == "new"} == {
        *range(2, OF_SENDER + 1),
        last,
    }
    again = Desk(db)
    await again.inbox.resume()
    await again.end()
    assert sorted(again.handled) == [*range(2, OF_SENDER + 1), last]
    await desk.end()
    assert desk.handled == [], "the other process has handled them"


async def test_what_is_superseded_between_its_turn_and_its_beginning_is_left_alone(db: Database) -> None:
    desk = Desk(db)
    await desk.send(*(reacted(ADA, GROUP, "👍", message=number) for number in range(OF_SENDER)))
    desk.start()
    moot = None
    while moot is None:
        await asyncio.sleep(0)
        moot = next((number for number, turn in desk.inbox._waiting.items() if turn.begins.done()), None)
    desk.inbox.admission.end(moot)
    await desk.end()
    assert sorted({*desk.handled, moot}) == list(range(1, OF_SENDER + 1)) and moot not in desk.handled


async def test_a_restart_drops_nothing_that_was_accepted_and_bounds_what_comes(db: Database) -> None:
    desk = Desk(db)
    desk.inbox.admission.admit = desk.inbox.admission.resume  # type: ignore[method-assign]
    await desk.send(*(said(ADA, GROUP, "/help") for _ in range(100)))
    again = Desk(db)
    await again.inbox.resume()
    again._numbers = 100
    await again.send(said(ADA, GROUP, "/slogan tea"), said(BOB, GROUP, "/slogan tea"))
    await again.end()
    assert sorted(again.handled) == [*range(1, 101), 102]


async def test_a_batch_that_cannot_be_stored_leaves_nothing_waiting_and_comes_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(db)
    with monkeypatch.context() as patched:
        patched.setattr(stored_updates, "accept", AsyncMock(side_effect=DatabaseUnusable("full")))
        with pytest.raises(DatabaseUnusable):
            await desk.send(said(ADA, GROUP, "/help"), said(BOB, BOB, "/slogan tea"))
    assert len(desk.inbox.admission) == 0
    desk._numbers = 0
    await desk.send(said(ADA, GROUP, "/help"), said(BOB, BOB, "/slogan tea"))
    await desk.send(said(ADA, GROUP, "/help"))
    desk._numbers = 0
    await desk.send(said(ADA, GROUP, "/help"), said(BOB, BOB, "/slogan tea"))
    await desk.end()
    assert sorted(desk.handled) == [1, 2] and desk.metrics.duplicate_updates._value.get() == 2


async def test_an_update_that_is_posted_again_while_it_waits_is_handled_all_the_same(db: Database) -> None:
    desk = Desk(db)
    presses = [pressed(ADA, GROUP, f"again:{n}") for n in range(OF_SENDER)]
    await desk.send(*presses)
    desk._numbers = 0
    await desk.send(*presses)
    await desk.end()
    assert sorted(desk.handled) == list(range(1, OF_SENDER + 1)) and desk.dropped("sender") == 0


async def test_an_update_that_is_posted_twice_at_once_is_handled_once(db: Database) -> None:
    desk = Desk(db)

    async def admits(_: Update) -> bool:
        await asyncio.sleep(0)  # the database is asked whether there is anything of this person
        return True

    desk.inbox._allow_list.admits = admits  # type: ignore[method-assign]
    raw = {"update_id": 1} | said(ADA, ADA, "/forget")
    await asyncio.gather(desk.inbox.accept([raw]), desk.inbox.accept([raw]))
    await desk.end()
    assert desk.handled == [1] and len(desk.inbox.admission) == 0 and not desk.inbox.admission._of_sender


async def test_what_the_disk_refuses_is_put_off_and_still_counts_as_waiting(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    fails = [True]

    async def handle(_: Update) -> None:
        if fails.pop() if fails else False:
            raise DatabaseUnusable("full")

    desk = Desk(db, handle)
    await desk.send(said(ADA, ADA, "/help"))
    await desk.end()
    assert 1 in desk.inbox.admission
    await asyncio.sleep(0.01)
    await desk.end()
    assert desk.handled == [1, 1] and await states(db) == {1: "done"} and len(desk.inbox.admission) == 0


async def test_what_follows_something_that_is_put_off_is_handled_after_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    done: list[int] = []

    async def handle(update: Update) -> None:
        if desk.handled == [1]:
            raise DatabaseUnusable("full")
        done.append(update.update_id)

    desk = Desk(db, handle)
    await desk.send(said(ADA, ADA, "/optin"), said(ADA, ADA, "/optout"), said(ADA, ADA, "/forget"))
    while len(desk.inbox.admission):
        await desk.end()
        await asyncio.sleep(0.01)
    assert done == [1, 2, 3] and not desk.inbox._put_off


async def test_a_reaction_that_is_put_off_for_an_hour_holds_up_no_command(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 3600.0)
    done: list[int] = []

    async def handle(update: Update) -> None:
        if update.message_reaction is not None:
            desk.inbox.defer(update)
        else:
            done.append(update.update_id)

    desk = Desk(db, handle)
    await desk.send(reacted(ADA, GROUP, "👍"))
    await desk.end()
    await desk.send(said(ADA, GROUP, "/forget"))
    await desk.end()
    assert done == [2] and 1 in desk.inbox.admission


async def test_what_was_cut_off_more_than_once_is_handled_alone_and_holds_up_nobody_else(db: Database) -> None:
    await Desk(db).send(*(said(who, who, "/help") for who in range(1, 4)), said(BOB, BOB, "/help"))
    for number in (1, 2, 3) * stored_updates.SUSPICIOUS_ATTEMPTS:
        assert await stored_updates.claim(db, number) == "claimed"
    under_way, at_once = set[int](), dict[int, set[int]]()

    async def handle(update: Update) -> None:
        number = update.update_id
        under_way.add(number)
        await asyncio.sleep(0.01)
        at_once[number] = under_way & {1, 2, 3}
        under_way.remove(number)

    desk = Desk(db, handle)
    await desk.inbox.resume()
    await desk.end()
    assert [at_once[number] for number in (1, 2, 3)] == [{1}, {2}, {3}], "which process ends by one counts for that one"
    assert desk.handled.index(4) < desk.handled.index(2) and not desk.inbox._suspects


FLOODS: dict[str, Callable[[int], dict[str, Any]]] = {
    "one command": lambda n: said(ADA, GROUP, "/help"),
    "other commands": lambda n: said(ADA, GROUP, f"/nothing{n}@ovation_bot"),
    "prompts": lambda n: said(ADA, ADA, f"/slogan {n}"),
    "duels": lambda n: said(ADA, GROUP, f"/duel {n}"),
    "reports": lambda n: said(
        ADA, GROUP, "/report", reply_to_message=said(7, GROUP, "")["message"] | {"message_id": n}
    ),
    "settings": lambda n: pressed(ADA, ADA, f"set:length:{'long' if n % 2 else 'short'}:0123456789ab"),
    "foreign data": lambda n: pressed(ADA, GROUP, f"again:{n}"),
    "ratings": lambda n: pressed(ADA, GROUP, "up:1", message=n),
    "inline ratings": lambda n: pressed_inline(ADA, "up:1:token", message=str(n)),
    "reactions": lambda n: reacted(ADA, GROUP, "👍", message=n),
    "flip-flops": lambda n: reacted(ADA, GROUP, "👍👎"[n % 2]),
    "totals": lambda n: counted(GROUP, n),
    "inline queries": lambda n: asked_inline(ADA, f"tea {n}"),
    "consents": lambda n: said(ADA, GROUP, "/optin" if n % 2 else "/optout"),
    "confirmations": lambda n: pressed(ADA, ADA, f"yes:{n:016}", message=n),
    "many groups": lambda n: said(ADA, -n - 1, "/help"),
    "an admin without a name": lambda n: as_chat(GROUP, f"/slogan {n}"),
    "ten people": lambda n: said(1000 + n % 10, GROUP, f"/nothing{n}@ovation_bot"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_whatever_one_sender_floods_with_a_strangers_answer_waits_for_a_few_steps_only(
    flood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is answered as the costliest are: by a call that belongs to no chat, and a message in the chat."""

    async def of_stranger(events: int) -> int:
        limiter, sent = RateLimiter(), list[int]()

        async def handle(update: Update) -> None:
            async def call() -> None:
                sent.append(update.update_id)

            chat = update.effective_chat or update.effective_user
            if update.message_reaction or update.message_reaction_count or chat is None:
                return  # which are never answered
            await limiter.process_request(call, (), {}, "answerCallbackQuery", {}, None)
            await limiter.process_request(call, (), {}, "sendMessage", {"chat_id": chat.id}, None)

        stored = {"accept": lambda _, bodies, at: {number for number, _ in bodies}, "claim": lambda *_: "claimed"}
        for name in ("accept", "claim", "finish", "supersede"):
            monkeypatch.setattr(stored_updates, name, AsyncMock(side_effect=stored.get(name, lambda *_: None)))
        desk = Desk(MagicMock(), handle)
        await desk.send(*(FLOODS[flood](number) for number in range(events)))
        desk.start()
        await asyncio.sleep(1.0)
        before = len(sent)
        assert not desk.inbox.is_full, "the stranger's update is fetched"
        await desk.send(said(STRANGER, STRANGER, "/slogan tea"))
        desk.start()
        number = desk._numbers
        while sent.count(number) < 2:
            await asyncio.sleep(0.01)
        steps = len(sent) - before
        for task in desk._tasks:
            task.cancel()
        await asyncio.gather(*desk._tasks, return_exceptions=True)
        return steps

    found: dict[int, int] = {}

    @in_virtual_time
    async def measured(events: int) -> None:
        found[events] = await of_stranger(events)

    for events in (50, 600):
        measured(events)
    assert found[600] <= max(found[50], 4) + 8, found
