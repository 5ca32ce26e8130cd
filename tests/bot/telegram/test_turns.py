"""Whoever has sent little is handled before what others have sent too much of; and each one's own stays in order."""

import asyncio
import random
from collections import defaultdict

import pytest

from bot.telegram.turns import Turn, Turns, give_way, sender
from tests.support.virtual_time import in_virtual_time

FLOODER, STRANGER = 1, 2


class Hall:
    """Updates that are handled for one step each, unless they wait; what began and ended, in order."""

    def __init__(self, *, at_once: int = 4, of_sender: int = 2) -> None:
        self.turns = Turns(at_once=at_once, of_sender=of_sender)
        self.begun: list[tuple[int, int | None, int]] = []
        self.running: set[tuple[int, int | None, int]] = set()
        self.most = 0
        self._tasks: list[asyncio.Task[None]] = []

    def send(self, who: int, chat: int | None, number: int = 0, *, waits: float = 0.0, gives_way: bool = True) -> None:
        async def handle() -> None:
            async with self.turns.begun(self.turns.enter(who, chat)):
                assert sender() == who
                name = (who, chat, number)
                self.begun.append(name)
                self.running.add(name)
                await asyncio.sleep(1.0)
                self.most = max(self.most, len(self.running))
                if waits:
                    if gives_way:
                        self.running.discard(name)
                        give_way()
                    await asyncio.sleep(waits)
                self.running.discard(name)

        self._tasks.append(asyncio.ensure_future(handle()))

    async def end(self) -> None:
        await asyncio.gather(*self._tasks)
        assert len(self.turns) == 0 and not self.turns._senders and not self.turns._chats

    def began(self, who: int) -> int:
        """Before how many others somebody's first began."""
        return next(place for place, (name, _, _) in enumerate(self.begun) if name == who)


@pytest.mark.parametrize("chats", [1, 3, 300])
@in_virtual_time
async def test_a_stranger_begins_within_a_few_steps_however_many_one_person_has_sent(chats: int) -> None:
    for count in (10, 300):
        hall = Hall()
        for number in range(count):
            hall.send(FLOODER, -(number % chats) - 1, number)
        await asyncio.sleep(3.5)
        before = len(hall.begun)
        hall.send(STRANGER, STRANGER)
        hall.send(3, -1)
        await hall.end()
        assert hall.began(STRANGER) - before <= 2 and hall.began(3) - before <= 3


@in_virtual_time
async def test_many_who_flood_one_group_hold_up_a_stranger_by_one_turn_of_each_at_most() -> None:
    hall = Hall()
    for number in range(100):
        for who in range(10, 20):
            hall.send(who, -1, number, waits=3.0)
    await asyncio.sleep(20.5)
    before = len(hall.begun)
    hall.send(STRANGER, -1)
    hall.send(3, 3)
    await asyncio.sleep(15)
    assert hall.began(3) - before <= 1 and hall.began(STRANGER) - before <= 11


@in_virtual_time
async def test_who_waits_for_telegram_holds_no_slot_and_no_chat_but_their_own_next() -> None:
    hall = Hall(at_once=2, of_sender=2)
    for number in range(6):
        hall.send(FLOODER, -number - 1, waits=100.0)
    hall.send(FLOODER, -1, 1)
    hall.send(STRANGER, -1)
    await asyncio.sleep(10)
    assert {name[:2] for name in hall.begun} == {(FLOODER, -number - 1) for number in range(6)} | {(STRANGER, -1)}
    assert (FLOODER, -1, 1) not in hall.begun
    await hall.end()
    assert hall.begun[-1] == (FLOODER, -1, 1)


@in_virtual_time
async def test_one_sender_never_takes_all_slots_even_with_what_never_gives_way() -> None:
    hall = Hall()
    for number in range(50):
        hall.send(FLOODER, -number - 1, waits=1000.0, gives_way=False)
    await asyncio.sleep(2)
    hall.send(STRANGER, STRANGER)
    await asyncio.sleep(2)
    assert len(hall.begun) == 3 and (STRANGER, STRANGER, 0) in hall.begun
    await hall.end()


@pytest.mark.parametrize("seed", range(5))
def test_each_ones_updates_stay_in_order_in_each_chat_and_no_chat_has_two_at_once(seed: int) -> None:
    @in_virtual_time
    async def shuffled() -> None:
        rng = random.Random(seed)
        hall = Hall()
        sent: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number in range(300):
            who, chat = rng.randrange(1, 6), -rng.randrange(1, 5)
            sent[who, chat].append(number)
            hall.send(who, chat, number, waits=rng.choice([0.0, 0.0, 5.0]))
            await asyncio.sleep(rng.choice([0.0, 0.3]))
            by_chat = [chat for _, chat, _ in hall.running]
            assert len(by_chat) == len(set(by_chat))
        await hall.end()
        assert hall.most <= 4
        for (who, chat), numbers in sent.items():
            assert [n for a, b, n in hall.begun if (a, b) == (who, chat)] == numbers

    shuffled()


@in_virtual_time
async def test_what_is_called_off_or_cancelled_leaves_the_line_and_holds_up_nobody() -> None:
    turns = Turns(at_once=1, of_sender=1)
    done: list[int] = []

    async def handle(number: int, who: int, chat: int) -> None:
        turn = waiting[number] = turns.enter(who, chat)
        async with turns.begun(turn):
            if number not in called_off:
                await asyncio.sleep(1)
                done.append(number)

    waiting: dict[int, Turn] = {}
    called_off: set[int] = set()
    tasks = [asyncio.ensure_future(handle(n, n % 3, -(n % 2))) for n in range(30)]
    await asyncio.sleep(0.5)
    for number in range(1, 30, 3):
        called_off.add(number)
        waiting[number].call_off()
    for number in range(2, 30, 3):
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(done) == list(range(0, 30, 3)) and len(turns) == 0 and not turns._senders


@in_virtual_time
async def test_reactions_wait_for_none_of_the_same_person() -> None:
    hall = Hall(at_once=8, of_sender=8)
    hall.send(FLOODER, -1, waits=50.0, gives_way=False)
    for number in range(1, 5):
        hall.send(FLOODER, None, number)
    await asyncio.sleep(0.5)
    assert len(hall.begun) == 5
    await hall.end()
