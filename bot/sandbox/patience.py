"""Waiting for as long as something moves, never until a fixed time: beside other work all may take ten times as long.

Knows a world, and how to take a pulse. Knows nothing of what beats.
"""

from collections.abc import Callable
from typing import TypeVar

from bot.sandbox.world.errors import Standstill
from bot.sandbox.world.world import World

Found = TypeVar("Found")

PATIENCE_SECONDS = 900.0
"""How long nothing may move: longer than a bot needs to see that its engine does not start
(`bot.serving.engine_process`)."""


def unchanging() -> None:
    """The pulse of what gives no sign until it is there."""


async def while_moving(
    world: World,
    check: Callable[[], Found | None],
    *,
    pulse: Callable[[], object] = unchanging,
    patience_seconds: float = PATIENCE_SECONDS,
    still: str,
) -> Found:
    """The first truthy value of `check`, waited for as long as `pulse()` keeps changing; see `World.until`.

    Raises:
        Standstill: the pulse was the same after `patience_seconds`; `still` is the sentence for it, but for the time.
    """
    while True:
        before = pulse()
        try:
            return await world.until(check, patience_seconds)
        except TimeoutError:
            if pulse() == before:
                raise Standstill(f"{still} for {patience_seconds:.0f} seconds.") from None
