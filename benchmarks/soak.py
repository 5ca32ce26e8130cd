"""`make soak`: what takes hours, and is promised all the same. Prints each part, and writes it into RESULTS.md.

`python -m benchmarks.soak kills 50` tries one part with a smaller count (kills, updates, or seconds of absence), and
writes nothing.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from benchmarks import flood, outages
from benchmarks.kills import kill_again_and_again
from benchmarks.stage import DISK, SETTINGS, Engine, Stage, running_engine
from benchmarks.tables import Row, Table, write_results
from bot.sandbox.bot_process import BotChild
from bot.sandbox.server import Sandbox


@dataclass(frozen=True, slots=True)
class Part:
    """One long run."""

    title: str
    count: int
    run: Callable[[Engine, int], Awaitable[list[Row]]]


async def kills(engine: Engine, count: int) -> list[Row]:
    """End the bot at random moments; the engine stays, so that the bot lives long enough to do something."""
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        async with Sandbox() as sandbox:
            bot = BotChild(sandbox, Path(folder), {**SETTINGS, "ENGINE_URL": engine.url})
            try:
                toll = await kill_again_and_again(sandbox, bot, kills=count, seed=1, size=96, groups=4)
            finally:
                await bot.stop()
    return [*toll.rows(f"{count:,} kills"), ("… placeholders that stand doubled", str(toll.placeholders), "")]


async def updates(engine: Engine, count: int) -> list[Row]:
    """A day's updates at full speed."""
    return await flood.measure(engine, updates=count)


async def absence(engine: Engine, count: int) -> list[Row]:
    """The network is gone for so many seconds."""
    recovery = await outages.suffer(engine, Stage.without_network, seconds=count)
    return recovery.rows(f"the network gone for {count} s")


PARTS = {
    "kills": Part("Soak: kill -9", 1_000, kills),
    "updates": Part("Soak: a day's updates", 1_000_000, updates),
    "absence": Part("Soak: no network", 600, absence),
}


async def _measured(part: Part, count: int) -> Table:
    async with running_engine() as engine:
        rows = await part.run(engine, count)
    note = "The real bot with a real engine beside it, against the stand-in for Telegram on loopback. One run."
    return Table(part.title, note, ["", "measured", "goal"], rows)


def main() -> None:
    """One part after the other, or the one that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("name", nargs="?", choices=[*PARTS], help="one part; all of them by default")
    parser.add_argument("count", nargs="?", type=int, help="a smaller count than the part's own")
    asked = parser.parse_args()
    for part in [PARTS[asked.name]] if asked.name else PARTS.values():
        table = asyncio.run(_measured(part, asked.count or part.count))
        Console().print(Markdown(table.markdown()))
        if asked.count is None:
            write_results([table])


if __name__ == "__main__":
    main()
