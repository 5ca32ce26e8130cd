"""The program `python -m engine.serve`: one model behind an OpenAI-compatible HTTP API.

Wrong use ends with one sentence and status 2 before torch is imported, which takes seconds; the socket is bound by then
and listens when the model is loaded.
"""

import argparse
import contextlib
import gc
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import get_args

from engine.api.models import Quantize, check_model
from engine.errors import EngineError
from engine.process import NO_MEMORY, OUT_OF_MEMORY, PRIVATE, Secrets, end_with_parent, is_out_of_memory

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 5
"""How long it may go on after its parent's end: longer than `engine.server` gives its answers."""
_MOST_SECRETS_BYTES = 1 << 20
_KEY = r"[!-~]{1,1000}"
_SPIN_COUNT = "1000"
"""How long GNU's OpenMP waits in a loop for its other threads. By default so long that two processes on two cores slow
each other down by a factor of ten and more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until SIGTERM or Ctrl-C; returns the exit status."""
    os.umask(PRIVATE)
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    if options.parent_pid is not None:
        end_with_parent(options.parent_pid, grace_seconds=_GRACE_SECONDS)
    try:
        for source in filter(None, (options.model, options.guard)):
            check_model(source)
        secrets = _secrets(options)
        with contextlib.closing(_listener(options)) as listener:
            _check_reach(listener, options, secrets)
            return _serve(options, secrets, listener)
    except EngineError as error:
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
    socket_ = "listen on this socket, which the parent has bound, in the place of host and port"
    parser.add_argument("--socket", type=_in_range(3, 1 << 20), metavar="DESCRIPTOR", help=socket_)
    parser.add_argument("--versions", type=Path, help="the only folder that adapters may be loaded from")
    parser.add_argument("--max-queue", type=_in_range(0, 1 << 20), default=256, help="requests that may wait (256)")
    parser.add_argument("--max-batch", type=_in_range(1, 4096), default=64, help="requests written at once (64)")
    kv_tokens = "tokens whose keys and values may be in memory (default: what a quarter of the free memory holds)"
    parser.add_argument("--kv-tokens", type=_in_range(1, 1 << 40), help=kv_tokens)
    quantize = (
        "bfloat16 and int8: faster, in less memory, no longer exactly the model's texts; auto: where it pays (none)"
    )
    parser.add_argument("--quantize", choices=get_args(Quantize), default="none", help=quantize)
    parser.add_argument("--guard", help="a model that judges texts at /v1/moderations: a folder, or a hub id")
    mark = "mark texts (SynthID-Text) by the first key of this file, a key a line, in hex"
    parser.add_argument("--watermark-key", type=Path, help=mark)
    key = "a file with the key that requests must bring, as Authorization: Bearer KEY; /dev/stdin is one (none)"
    parser.add_argument("--key-file", type=Path, help=key)
    parser.add_argument("--without-key", action="store_true", help="serve other machines without a key, too")
    names = "another name by which this machine is called, beside its addresses and localhost; may be repeated"
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=names)
    piped = "read the keys from standard input, in the place of both files, as engine.process.Secrets writes them"
    parser.add_argument("--secrets-on-stdin", action="store_true", help=piped)
    parser.add_argument(
        "--threads", type=_in_range(1, 1024), help="most CPU threads for the model (as many as it may use)"
    )
    parser.add_argument("--parent-pid", type=_in_range(1, 1 << 22), help="stop when this parent process has ended")
    return parser


def _in_range(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _listener(options: argparse.Namespace) -> socket.socket:
    if options.socket is None:
        return _bind(options.host, options.port)
    try:
        return socket.socket(fileno=options.socket)
    except OSError as error:
        raise EngineError(f"--socket {options.socket} is no socket: {error.strerror or error}.") from error


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: the port is ours, and clients are refused until we are ready."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise EngineError(f"Port {port} on {host} cannot be used: {error.strerror or error}.") from error
    return listener


def _secrets(options: argparse.Namespace) -> Secrets:
    """The key and the watermark's, wherever they are.

    Raises:
        EngineError: a file cannot be read, or holds no key.
    """
    file = None
    try:
        secrets = Secrets()
        if options.secrets_on_stdin:
            file = Path("/dev/stdin")
            secrets = Secrets.read(sys.stdin.buffer.read(_MOST_SECRETS_BYTES))
        if file := options.watermark_key:
            lines = [line.strip() for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
            if not lines:
                raise EngineError(f"The watermark's key {file} is empty: write a key in hex into it.")
            secrets = replace(secrets, watermark_keys=tuple(lines))
        if file := options.key_file:
            key = file.read_text(encoding="utf-8-sig").strip()
            if not re.fullmatch(_KEY, key):
                raise EngineError(f"The key in {file} must be letters, digits and signs without blanks, on one line.")
            secrets = replace(secrets, key=key)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds something else"
        raise EngineError(f"The key file {file} cannot be read: {why}.") from error
    return secrets


def _check_reach(listener: socket.socket, options: argparse.Namespace, secrets: Secrets) -> None:
    """Say who may use an engine without a key; EngineError where that would be other machines, unless it is wanted."""
    if secrets.key is not None:
        return
    if ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback:
        logger.warning("Without a key anybody on this machine can use the engine: --key-file FILE gives it one.")
    elif options.without_key:
        logger.warning("Without a key whoever reaches this machine can use the engine and have it load adapters.")
    else:
        raise EngineError(
            f"Whoever reaches {options.host} could use the engine: give it a key with --key-file FILE, or let everybody"
            " in with --without-key."
        )


def _serve(options: argparse.Namespace, secrets: Secrets, listener: socket.socket) -> int:
    """What needs torch."""
    os.putenv("GOMP_SPINCOUNT", _SPIN_COUNT)  # read when torch loads OpenMP
    gc.disable()  # of what is imported nothing is garbage, and looking for it takes a tenth of the time
    from engine.server.main import load_and_serve  # noqa: PLC0415 - the errors above must not wait for it

    gc.freeze()
    gc.enable()
    return load_and_serve(options, secrets, listener)


def _complain(sentence: str, *, status: int = 2) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    os._exit(status)  # nothing is left to save, and taking torch apart politely lasts as long as all the rest
