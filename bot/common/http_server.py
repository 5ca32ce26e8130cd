"""An HTTP server inside the current event loop, for as long as a block runs."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette

from engine.http_guard import BoundedConnection

GRACE_SECONDS = 2
_MOST_SAID = 64 * 1024
"""Bytes of one message by WebSocket: the demo's page says nothing that way, it only listens."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the program around it owns the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends small answers at once; without it each waits 40 ms for company.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


@asynccontextmanager
async def serving(
    app: Starlette, listener: socket.socket, *, before_stop: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    """Serve `app` on the socket, for as many and for as long as `BoundedConnection` lets them; `before_stop` may end
    what would keep connections open."""
    config = uvicorn.Config(
        app, log_config=None, log_level="critical", access_log=False, lifespan="off", http=BoundedConnection,
        ws="websockets-sansio", ws_max_size=_MOST_SAID, timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
        yield
    finally:
        before_stop()
        server.should_exit = True
        await task
