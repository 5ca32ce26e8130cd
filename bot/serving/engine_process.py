"""The engine as a child process: started, watched, and started again when it dies or hangs.

While it is away callers get `EngineUnavailable`: at once where it has died, and a moment later where it hangs, for its
connections end with it. `begin_engine` opens the engine that the settings want, ours or the server at ENGINE_URL.
"""

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from bot.common.child_process import describe_end, kill_child, ran_out_of_memory, stop_child
from bot.common.errors import StartError
from bot.common.keys import Keys
from bot.common.settings import DataSettings, Settings, computing_environment, proxies
from bot.common.tasks import cancel
from engine.api.client import EngineClient
from engine.api.models import Quantize, resolve_model
from engine.errors import EngineError, ModelError
from engine.process import NO_MEMORY, Secrets
from storage.db.errors import StorageError
from storage.db.keyring import WATERMARK

logger = logging.getLogger(__name__)

START_SECONDS = 600.0
"""A large model may take this long to load for the first time."""
PULSE_SECONDS = 1.0
MISSED_PULSES = 5
"""An engine that misses so many health checks in a row hangs. An unanswered one takes `HEALTH_SECONDS` by itself, so a
silent engine is given 15 seconds. Checks are counted, not time, for a machine may sleep."""
LONGEST_PAUSE_SECONDS = 3.0
"""Before it is started again. Short, because people wait: a crash loop costs a core, a long pause minutes."""

_FIRST_PAUSE_SECONDS = 0.5
_STEADY_SECONDS = 60.0
"""An engine that has run for so long is not in a crash loop when it ends."""
_RESTART_SECONDS = 60.0
_RESTART_FACTOR = 4.0
"""To load again may take a minute, and so many times as long as the first time."""
_POLL_SECONDS = 0.1
_OWN_ROOT = "http://127.0.0.1"
_KEY_BYTES = 32


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _OwnPort:
    """A port of the loopback that is ours for as long as this lives, whether an engine listens on it or none does.

    Between two engines another user's process could listen in their place, and would be sent the key with people's
    prompts. So each engine is given a socket that is bound beside one which stays open: several on one port is what
    SO_REUSEPORT allows, and only to the same user.
    """

    def __init__(self) -> None:
        self._kept = self._bound(0)
        self.number = int(self._kept.getsockname()[1])

    def another(self) -> socket.socket:
        """Another socket on the port, which nobody listens on yet."""
        return self._bound(self.number)

    def close(self) -> None:
        """Leave the port to others."""
        self._kept.close()

    @staticmethod
    def _bound(number: int) -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", number))
        return made


async def _nothing() -> None:
    """For an engine that needs no preparation, or has had it."""


class EngineProcess:
    """Keeps `python -m engine.serve` running on a port of the loopback; `client` speaks to it, nobody else can."""

    def __init__(
        self,
        *,
        model: str,
        versions: Path,
        http: httpx.AsyncClient,
        quantize: Quantize = "none",
        options: Sequence[str] = (),
        watermark_key: str | None = None,
    ) -> None:
        self._port = _OwnPort()
        marks = () if watermark_key is None else (watermark_key,)
        self._secrets = Secrets(secrets.token_urlsafe(_KEY_BYTES), marks)
        """They go through a pipe, for others may read command lines and environments."""
        self.client = EngineClient(f"{_OWN_ROOT}:{self._port.number}", http=http, key=self._secrets.key)
        self._command = (
            sys.executable, "-m", "engine.serve", "--model", model, "--versions", str(versions.absolute()),
            "--quantize", quantize, "--parent-pid", str(os.getpid()), *options, "--secrets-on-stdin",
        )  # fmt: skip
        self._child: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._last_lines: deque[str] = deque(maxlen=5)
        self._began_at = 0.0
        self.restarts = 0
        """How often it had to be started again."""
        self.is_healthy = False
        """Whether it answered when it was asked last, with its versions loaded."""

    async def begin(self) -> None:
        """Start the engine without waiting for it."""
        self._began_at = asyncio.get_running_loop().time()
        self._last_lines.clear()
        with self._port.another() as listener:  # the child's alone, so that it is closed when the child has ended
            number = listener.fileno()
            self._child = child = await asyncio.create_subprocess_exec(
                *self._command, "--socket", str(number), stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
                env=computing_environment(), pass_fds=(number,),
            )  # fmt: skip
        assert child.stdin is not None, "stdin is a pipe"
        child.stdin.write(self._secrets.as_text().encode())
        child.stdin.close()
        self._reader = asyncio.create_task(self._relay(child), name="engine log")

    async def start(self, on_ready: Callable[[], Awaitable[None]] = _nothing) -> None:
        """Start the engine if it has not begun, wait until it answers, and keep it running from then on.

        `on_ready` is awaited each time it has (re)started.

        Raises:
            StartError: it ended before it was ready, or was not ready in time.
        """
        if self._child is None:
            await self.begin()
        await self._answers(START_SECONDS)
        took = asyncio.get_running_loop().time() - self._began_at
        patience = min(_RESTART_SECONDS + _RESTART_FACTOR * took, START_SECONDS)
        try:
            await on_ready()
        except EngineError as error:
            raise StartError(f"The engine failed while it loaded the versions: {error}", exit_status=1) from error
        self.is_healthy = True
        self._keeper = asyncio.create_task(self._keep(on_ready, patience), name="engine keeper")

    async def stop(self) -> None:
        """End the engine and stop watching it."""
        self.is_healthy = False
        await cancel(self._keeper)
        if self._child is not None:
            await stop_child(self._child)
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=PULSE_SECONDS)  # for the last words
            self._reader.cancel()
        self._port.close()

    async def _answers(self, seconds: float) -> None:
        """Wait until the engine that has begun answers."""
        assert self._child is not None and self._reader is not None, "it has begun"
        child = self._child
        try:
            async with asyncio.timeout(seconds):
                while not await self.client.is_ready():
                    if child.returncode is not None:
                        await self._reader
                        raise self._start_error(child.returncode)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise StartError(f"The engine was not ready within {seconds:.0f} seconds.", exit_status=1) from error
        logger.info("the engine is ready")

    def _start_error(self, status: int) -> StartError:
        if ran_out_of_memory(status, list(self._last_lines)):
            return StartError(f"The engine did not start. {NO_MEMORY}", exit_status=1)
        said = self._last_lines[-1] if self._last_lines else f"status {status}"
        return StartError(f"The engine did not start: {said}", exit_status=2 if status == 2 else 1)

    async def _keep(self, on_ready: Callable[[], Awaitable[None]], patience: float) -> None:
        """Start the engine again however it ended, with a growing pause where it ends soon."""
        clock = asyncio.get_running_loop().time
        pause, began = _FIRST_PAUSE_SECONDS, clock()
        why = await self._watch(_nothing)
        while True:
            self.is_healthy = False
            if clock() - began >= _STEADY_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            logger.error("%s It is started again in %.1f seconds.", why, pause)
            assert self._child is not None, "it has run"
            await kill_child(self._child)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            self.restarts += 1
            began = clock()
            try:
                await self.begin()
                await self._answers(patience)
                why = await self._watch(on_ready)
            except (StartError, OSError) as error:
                why = str(error)

    async def _watch(self, on_ready: Callable[[], Awaitable[None]]) -> str:
        """Check the engine's health until it dies or hangs, and have it made ready meanwhile."""
        assert self._child is not None and self._reader is not None, "it has been started"
        child = self._child
        ending = asyncio.create_task(child.wait())  # waits for its pipe too, which something it started may hold open
        preparing = asyncio.create_task(_prepare(on_ready))
        missed = 0
        try:
            while missed < MISSED_PULSES:
                await asyncio.wait({ending}, timeout=PULSE_SECONDS)
                if child.returncode is not None:
                    await asyncio.wait({self._reader}, timeout=PULSE_SECONDS)  # for its last words
                    return f"The engine {describe_end(child.returncode, list(self._last_lines))}."
                is_answering = await self.client.is_ready()
                missed = 0 if is_answering else missed + 1
                self.is_healthy = is_answering and preparing.done()
            return f"The engine hangs: it has missed {missed} health checks."
        finally:
            await cancel(ending, preparing)

    async def _relay(self, child: asyncio.subprocess.Process) -> None:
        """Pass the engine's own log lines on; nothing may hold this up, or the engine would wait to be read."""
        assert child.stderr is not None, "stderr is a pipe"
        while True:
            try:
                line = await child.stderr.readline()
            except ValueError:  # longer than the reader's buffer, and gone from it
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._last_lines.append(text)
            logger.info("engine: %s", text)


async def _prepare(on_ready: Callable[[], Awaitable[None]]) -> None:
    """Call `on_ready` until it succeeds."""
    while True:
        try:
            await on_ready()
        except (EngineError, StorageError, OSError):
            logger.exception("the engine is not ready yet; trying again in %.0f s", LONGEST_PAUSE_SECONDS)
        else:
            return
        await asyncio.sleep(LONGEST_PAUSE_SECONDS)


async def begin_engine(settings: Settings, stack: AsyncExitStack, keys: Keys) -> EngineProcess | EngineClient:
    """Let our own engine begin to load, unless ENGINE_URL names another: then the client for it."""
    http = await stack.enter_async_context(engine_http(settings))
    settings.versions_path.mkdir(exist_ok=True)
    if settings.engine_url is not None:
        return EngineClient(str(settings.engine_url).rstrip("/"), http=http)
    process = own_engine(settings, http, lambda: keys)
    stack.push_async_callback(process.stop)
    await process.begin()
    return process


def engine_http(settings: DataSettings) -> httpx.AsyncClient:
    """The HTTP client for the engine, with ENGINE_KEY, through the proxy that applies: to one of ours, none ever."""
    key = settings.engine_key
    headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
    transport = proxies().transport(str(settings.engine_url or _OWN_ROOT), limits)
    return httpx.AsyncClient(timeout=httpx.Timeout(10.0, read=300.0, pool=None), transport=transport, headers=headers)


def own_engine(settings: Settings, http: httpx.AsyncClient, keys: Callable[[], Keys]) -> EngineProcess:
    """Our own engine, not started yet; `keys` is asked for only where texts are to be marked."""
    return EngineProcess(
        model=settings.model,
        quantize=settings.quantize,
        versions=settings.versions_path,
        http=http,
        options=() if settings.guard_model is None else ("--guard", settings.guard_model),
        watermark_key=keys().keyring.key(WATERMARK).hex() if settings.watermark == "on" else None,
    )


def with_model(settings: Settings, model: str) -> Settings:
    """The same settings with another base model, in an engine of our own; StartError where there is no such model."""
    try:
        resolve_model(model)
    except ModelError as error:
        raise StartError(str(error)) from error
    return settings.model_copy(update={"model": model, "engine_url": None, "engine_key": None})
