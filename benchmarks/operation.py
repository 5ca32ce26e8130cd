"""The bot as an operator meets it: seconds until it answers, its memory, seconds until it has stopped."""

import asyncio
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.tables import Table, middle
from bot.sandbox.bot_process import BotChild
from bot.sandbox.server import Sandbox

REPETITIONS = 5
PROMPTS = 16


def measure() -> Table:
    """Start, use and stop the bot a few times."""
    measured = [asyncio.run(_once()) for _ in range(REPETITIONS)]
    names = (
        "`ovation run` until ready, seconds",
        f"{PROMPTS} prompts by as many people at once, until the last is answered, seconds",
        "memory of the bot process, MiB",
        "memory of the engine process, MiB",
        "SIGTERM until exit, seconds",
    )
    note = (
        f"The starter, against the stand-in for Telegram on loopback; medians of {REPETITIONS}, with the range. A"
        " prompt takes two calls, and Telegram's limit of 30 calls a second is kept."
    )
    rows = [[name, middle([each[index] for each in measured])] for index, name in enumerate(names)]
    return Table("Operation", note, ["", ""], rows)


async def _once() -> tuple[float, ...]:
    with tempfile.TemporaryDirectory() as folder:
        async with Sandbox() as sandbox:
            bot = BotChild(sandbox, Path(folder), {"MODEL": "starter"})
            began = time.perf_counter()
            await bot.start()
            ready = time.perf_counter() - began
            began = time.perf_counter()
            await _ask(sandbox)
            answered = time.perf_counter() - began
            assert bot.process is not None
            process = psutil.Process(bot.process.pid)
            memory = process.memory_info().rss / 2**20
            engine = sum(child.memory_info().rss for child in process.children()) / 2**20
            began = time.perf_counter()
            await bot.stop()
            return ready, answered, memory, engine, time.perf_counter() - began


async def _ask(sandbox: Sandbox) -> None:
    world = sandbox.world
    people = [world.add_person(f"Person {number}") for number in range(PROMPTS)]
    asked = [world.say(person, world.private_chat(person), "/story a night train") for person in people]
    await world.until(lambda: all(any(each.button("up:") for each in world.answers(one)) for one in asked), 120)
