"""The program `python -m engine.serve`: one model behind an OpenAI-compatible HTTP API.

Knows the command line, the socket, signals and the parent process. Wrong use ends with one sentence and status 2
before torch is imported, which takes seconds; the socket is bound by then and listens when the model is loaded.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from engine.errors import ModelError
from engine.memory import NO_MEMORY, OUT_OF_MEMORY, is_out_of_memory
from engine.parent import end_with_parent
from engine.sources import find_source

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from engine.batching import Engine

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 2
"""After SIGTERM, answers in hand may take so long to finish; then they are told that the engine stops."""
_KEEP_ALIVE_SECONDS = 30
"""Longer than clients keep idle connections (httpx: 5 s), so that none is closed while a request is on its way."""
_FLUSH_SECONDS = 0.5
"""Time for the last bytes to leave."""
_BACKLOG = 2048
"""Connections that may wait to be accepted, as many as uvicorn allows."""
_SPINS = "1000"
"""How long GNU's OpenMP waits in a loop for its other threads. By default so long that two processes on two cores slow
each other down by a factor of ten and more."""
_SWITCH_SECONDS = 0.001
"""How long the model's thread may keep the interpreter while HTTP waits; Python's own 5 ms delay first tokens."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until SIGTERM or Ctrl-C; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    if options.parent_pid is not None:
        end_with_parent(options.parent_pid, grace_seconds=_GRACE_SECONDS + 3)
    try:
        find_source(options.model)
        if options.guard is not None:
            find_source(options.guard)
        listener = _bind(options.host, options.port)
    except OSError as error:
        return _complain(f"Port {options.port} on {options.host} cannot be used: {error.strerror or error}.")
    except ModelError as error:
        return _complain(str(error))
    with contextlib.closing(listener):
        try:
            return _load_and_serve(options, listener)
        except ModelError as error:
            return _complain(str(error))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return _complain(NO_MEMORY, status=OUT_OF_MEMORY)
        except KeyboardInterrupt:
            return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.serve", description="Serve a model over OpenAI's HTTP API.")
    parser.add_argument("--model", default="starter", help="starter, a folder, or a hub id (default: starter)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=_in_range(0, 65535), default=8001, help="0 takes any free one (default: 8001)")
    parser.add_argument("--versions", type=Path, help="the only folder that adapters may be loaded from")
    parser.add_argument("--max-queue", type=_in_range(0, 1 << 20), default=256, help="requests that may wait (256)")
    parser.add_argument("--max-batch", type=_in_range(1, 4096), default=64, help="requests written at once (64)")
    parser.add_argument(
        "--kv-tokens",
        type=_in_range(1, 1 << 40),
        help="tokens whose keys and values may be in memory (default: what a quarter of the free memory holds)",
    )
    parser.add_argument(
        "--quantize", choices=("none", "int8"), default="none", help="int8: weights in a quarter of the memory"
    )
    parser.add_argument("--guard", help="a model that judges texts at /v1/moderations: a folder, or a hub id")
    parser.add_argument(
        "--watermark-key",
        type=Path,
        help="mark texts (SynthID-Text) by the first key of this file, a key a line, in hex",
    )
    parser.add_argument("--threads", type=_in_range(1, 1024), help="most CPU threads for the model (all)")
    parser.add_argument("--parent-pid", type=_in_range(1, 1 << 22), help="stop when this parent process has ended")
    return parser


def _in_range(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _lines(file: Path | None) -> list[str]:
    """The lines of a file of keys; ModelError if it cannot be read or has none."""
    if file is None:
        return []
    try:
        lines = [line for line in file.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The watermark's key {file} cannot be read: name a file with a key in hex.") from error
    if not lines:
        raise ModelError(f"The watermark's key {file} is empty: write a key in hex into it.")
    return lines


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: the port is ours, and clients are refused until we are ready."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _load_and_serve(options: argparse.Namespace, listener: socket.socket) -> int:
    """What needs torch: load the model, then serve it."""
    os.putenv("GOMP_SPINCOUNT", _SPINS)  # read when torch loads OpenMP
    import torch  # noqa: PLC0415 - the errors above must not wait for it
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

    from engine.batching import Engine  # noqa: PLC0415
    from engine.guard import Guard  # noqa: PLC0415
    from engine.http_app import build_app  # noqa: PLC0415
    from engine.model import load_to_serve  # noqa: PLC0415
    from engine.watermark import Watermark, read_secret  # noqa: PLC0415

    sys.setswitchinterval(_SWITCH_SECONDS)
    threads = options.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    disable_progress_bar()
    base = load_to_serve(options.model, in_int8=options.quantize == "int8")
    guard = None if options.guard is None else Guard(options.guard)
    secrets = _lines(options.watermark_key)
    watermarks = [Watermark(read_secret(line), base.model.device) for line in secrets]

    async def run() -> int:
        async with Engine(
            base,
            max_queue=options.max_queue,
            max_batch=options.max_batch,
            kv_tokens=options.kv_tokens,
            threads=threads,
            watermarks=watermarks,
        ) as engine:
            return await _serve(engine, build_app(engine, versions_dir=options.versions, guard=guard), listener)

    return asyncio.run(run())


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: a signal must first reach the engine, which has answers in hand."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _serve(engine: "Engine", app: "Starlette", listener: socket.socket) -> int:
    """Answer requests until a signal comes (status 0) or the engine's thread dies (status 1)."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS + 2,
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
    await engine.close(grace_seconds=_GRACE_SECONDS)
    await asyncio.wait({serving}, timeout=_FLUSH_SECONDS)
    server.force_exit = True  # do not wait for clients that keep an idle connection open
    await serving
    for end in ends:
        end.cancel()
    return 1 if has_died else 0


def _complain(sentence: str, *, status: int = 2) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    os._exit(status)  # nothing is left to save, and taking torch apart politely lasts as long as all the rest
