"""`kill -9` at random moments under load, again and again: what is lost, what is doubled, which rating is wrong.

The bot and every process that it started die at once, also while starting. `make soak` does a thousand kills, the
tests do twenty.
"""

import asyncio
import contextlib
import random
import signal

import psutil

from benchmarks.crowd import Crowd, Toll
from bot.sandbox.bot_process import BotChild
from bot.sandbox.server import Sandbox

_LONGEST_LIFE_SECONDS = 2.5
_SETTLE_SECONDS = 300.0
_RATED_EVERY = 4


async def kill_again_and_again(
    sandbox: Sandbox, bot: BotChild, *, kills: int, seed: int, size: int = 24, groups: int = 1
) -> Toll:
    """Let a crowd use a bot that is killed `kills` times, then let it live, and reckon.

    Every fourth life lasts until one more rating stands, for on a slow machine the others are too short to answer.
    """
    rng = random.Random(seed)
    crowd = Crowd(sandbox, size, seed, groups)
    await bot.start()
    acting = asyncio.create_task(crowd.act(prompts_per_second=2.0, reactions_per_second=8.0))
    for life in range(1, kills + 1):
        await asyncio.sleep(rng.uniform(0.0, _LONGEST_LIFE_SECONDS))
        if life % _RATED_EVERY == 0:
            await crowd.rated(1 + life // _RATED_EVERY, seconds=_SETTLE_SECONDS)
        await kill_family(bot)
        await bot.spawn()
    acting.cancel()
    await asyncio.gather(acting, return_exceptions=True)
    await kill_family(bot)
    await bot.start()
    return await crowd.reckon(bot, seconds=_SETTLE_SECONDS)


async def kill_family(bot: BotChild) -> None:
    """SIGKILL to the bot and to all that it started, at once."""
    assert bot.process is not None, "killed only once it has been started"
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(bot.process.pid)
        for member in [family, *family.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)
    await bot.process.wait()
