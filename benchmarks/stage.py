"""The stand-in for Telegram, an engine and the bot as one set, to be watched and harmed from outside.

The engine stands beside the bot (ENGINE_URL), so that either can be ended alone.
"""

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bot.sandbox.api.faults import FloodLimits
from bot.sandbox.bot_process import BotChild
from bot.sandbox.server import Sandbox
from bot.sandbox.world.world import World
from bot.serving.engine_process import free_port

DISK = "/var/tmp"
"""Where the data lies: on a disk, which the folder for temporary files may not be."""

SETTINGS = {"MODEL": "starter", "PROMPTS_PER_HOUR": "0", "QUEUE_LIMIT": "100000"}
"""Few people ask as much as many do, and an outage makes a long queue."""

_PAUSE_SECONDS = 0.05


class Engine:
    """`python -m engine.serve`, always on the same port."""

    def __init__(self, model: str = "starter") -> None:
        self.model = model
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "engine.serve", "--port", str(self._port), "--parent-pid", str(os.getpid()),
            "--model", self.model, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with httpx.AsyncClient(trust_env=False) as http:
            while self._process.returncode is None:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"{self.url}/health")).is_success:
                        return
                await asyncio.sleep(_PAUSE_SECONDS)
        raise RuntimeError("the engine did not start")

    async def kill(self) -> None:
        """End it without a word, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs. The bot is started by whoever uses the stage, and ended with it."""

    sandbox: Sandbox
    engine: Engine
    bot: BotChild

    @property
    def process(self) -> psutil.Process:
        """The bot's process."""
        assert self.bot.process is not None, "it has been started"
        return psutil.Process(self.bot.process.pid)

    @property
    def memory_mib(self) -> float:
        """What the bot holds in memory."""
        return float(self.process.memory_info().rss) / 2**20

    @property
    def wal_bytes(self) -> int:
        """The size of the write-ahead log now."""
        log = self.bot.folder / "data" / "ovation.db-wal"
        return log.stat().st_size if log.exists() else 0

    async def metrics(self) -> Mapping[str, float]:
        """The bot's numbers; a label, such as the bound of a bucket, follows the name."""
        text = await self.health("metrics")
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        return {"".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}

    async def health(self, page: str) -> str:
        """What the bot says of itself: its `metrics`, or whether it is `live` or `ready`."""
        address = re.findall(r"health at (http://\S+)", self.bot.log)[-1]
        async with httpx.AsyncClient(timeout=30.0, trust_env=False) as http:
            return (await http.get(f"{address}/{page}")).text

    @asynccontextmanager
    async def without_network(self) -> AsyncIterator[None]:
        """For as long as the block runs, nobody listens where Telegram was; people go on all the same."""
        await self.sandbox.__aexit__(None, None, None)
        try:
            yield
        finally:
            await self.sandbox.__aenter__()

    @asynccontextmanager
    async def without_engine(self) -> AsyncIterator[None]:
        """For as long as the block runs there is no engine; then there is a new one, which answers already."""
        await self.engine.kill()
        try:
            yield
        finally:
            await self.engine.start()


@asynccontextmanager
async def staged(engine: Engine, *, flood_limits: FloodLimits | None = None) -> AsyncIterator[Stage]:
    """A fresh world and a bot that is not started yet, beside a running engine."""
    world = World(clock=lambda: datetime.now(UTC))  # to the microsecond, which the wire does not show
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        async with Sandbox(world=world, flood_limits=flood_limits) as sandbox:
            bot = BotChild(sandbox, Path(folder), {**SETTINGS, "ENGINE_URL": engine.url, "MODEL": engine.model})
            try:
                yield Stage(sandbox, engine, bot)
            finally:
                if bot.process is not None:
                    await bot.stop()


@asynccontextmanager
async def running_engine(model: str = "starter") -> AsyncIterator[Engine]:
    """An engine for a while."""
    engine = Engine(model)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.kill()
