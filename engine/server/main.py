"""The part of `engine.serve` that needs torch: load the model, and serve it until a signal comes."""

import argparse
import asyncio
import contextlib
import logging
import resource
import signal
import socket
import sys
from collections.abc import Generator

import torch
import uvicorn
from starlette.types import ASGIApp
from transformers.utils.logging import disable_progress_bar

from engine.api.types import Message
from engine.errors import ModelError
from engine.http_guard import BoundedConnection
from engine.inference.batch import can_write
from engine.inference.engine import Engine
from engine.inference.watermark import Watermark, read_secret
from engine.models.architectures import is_batched
from engine.models.guard import Guard
from engine.models.loader import Base, load_to_serve
from engine.process import Secrets, processors
from engine.server.app import build_app, guarded

logger = logging.getLogger(__name__)

GRACE_SECONDS = 2
"""After SIGTERM, answers in hand may take so long to finish; then they are told that the engine stops."""
_KEEP_ALIVE_SECONDS = 30
"""Longer than clients keep idle connections (httpx: 5 s), so that none is closed while a request is on its way."""
_FLUSH_SECONDS = 0.5
"""Time for the last bytes to leave."""
_BACKLOG = 2048
"""Connections that may wait to be accepted, as many as uvicorn allows."""
_SPARE_FILES = 128
"""So many files are for other things than connections."""
_SWITCH_SECONDS = 0.001
"""How long the model's thread may keep the interpreter while HTTP waits; Python's own 5 ms delay first tokens."""


def load_and_serve(options: argparse.Namespace, secrets: Secrets, listener: socket.socket) -> int:
    """Load the model, then serve it; returns the exit status.

    Raises:
        ModelError: the model or the watermark's key cannot be had, or the model cannot write.
        MemoryError, RuntimeError: as torch has them.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    threads = options.threads or processors()
    torch.set_num_threads(threads)
    disable_progress_bar()
    base = load_to_serve(options.model, quantize=options.quantize)
    if not is_batched(base.model):
        try_out(base)
    guard = None if options.guard is None else Guard(options.guard)
    watermarks = [Watermark(read_secret(key), base.model.device) for key in secrets.watermark_keys]

    async def run() -> int:
        async with Engine(
            base,
            max_queue=options.max_queue,
            max_batch=options.max_batch,
            kv_tokens=options.kv_tokens,
            threads=threads,
            watermarks=watermarks,
        ) as engine:
            app = build_app(engine, versions_dir=options.versions, guard=guard)
            hosts = {*options.allow_host, options.host, socket.gethostname()}
            return await _serve(engine, guarded(app, hosts=hosts, key=secrets.key), listener)

    return asyncio.run(run())


def try_out(base: Base) -> None:
    """Let a model of an architecture that nobody has tried here write a little; ModelError if it cannot."""
    kind = base.model.config.model_type
    if not can_write(base.model, base.template.encode((Message("user", "Hello"),)), tokens=2):
        raise ModelError(f"The model {base.name} ({kind}) cannot write here; choose one of another architecture.")
    logger.warning("Models of the type %s are read one text at a time: many at once will be slow.", kind)


def _open_files() -> int:
    """How many files this process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if files == resource.RLIM_INFINITY else files


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: a signal must first reach the engine, which has answers in hand."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _Connection(BoundedConnection):
    """Every prompt that waits has a connection of its own: as many are allowed as there can be open files."""

    most_connections = max(_open_files() - _SPARE_FILES, _open_files() // 2)


async def _serve(engine: Engine, app: ASGIApp, listener: socket.socket) -> int:
    """Answer requests until a signal comes (status 0) or the engine's thread dies (status 1)."""
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS + 2,
    )
    server = _Server(config)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    listener.listen(_BACKLOG)
    logger.info("Ready at http://%s:%d", *listener.getsockname()[:2])
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    ends = [serving, asyncio.create_task(stopping.wait()), asyncio.create_task(engine.ended.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    has_died = engine.ended.is_set()
    server.should_exit = True
    await engine.close(grace_seconds=GRACE_SECONDS)
    await asyncio.wait({serving}, timeout=_FLUSH_SECONDS)
    server.force_exit = True  # do not wait for clients that keep an idle connection open
    await serving
    for end in ends:
        end.cancel()
    return 1 if has_died else 0
