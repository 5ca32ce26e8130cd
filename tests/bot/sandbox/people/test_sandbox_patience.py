"""Waiting goes on for as long as anything moves, and no longer."""

import itertools

import pytest

from bot.sandbox.bot_process import while_moving
from bot.sandbox.world.errors import Standstill
from bot.sandbox.world.world import World


async def test_what_moves_is_waited_for_however_long_it_takes() -> None:
    beats = itertools.count()
    taken: list[int] = []

    def pulse() -> int:
        taken.append(next(beats))
        return taken[-1]

    found = await while_moving(
        World(), lambda: "there" if len(taken) > 8 else None, pulse=pulse, patience_seconds=0.01, still="Nothing moved"
    )
    assert found == "there"


async def test_what_stands_still_is_told() -> None:
    with pytest.raises(Standstill, match=r"^Nothing has moved for 0 seconds\.$"):
        await while_moving(World(), lambda: None, pulse=lambda: 1, patience_seconds=0.01, still="Nothing has moved")
