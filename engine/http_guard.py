"""What each HTTP server of Ovation holds against strangers, whatever it serves: half-sent requests that keep a
connection for ever, ever more connections, and web pages of others in a browser on this machine.

A server that listens on 127.0.0.1 is reached by every page that such a browser shows: by a form, by a request whose
answer the page may not read but which has its effect, by a WebSocket, or, once the page's own name resolves to this
machine, by anything. What no page can keep a browser from sending are `Host`, `Origin` and `Sec-Fetch-Site`.
"""

import asyncio
import socket
from collections.abc import Callable, Collection
from ipaddress import ip_address
from typing import ClassVar
from urllib.parse import urlsplit

import h11
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol


class BoundedConnection(H11Protocol):
    """A connection of uvicorn's (its `http=`) that is closed when a request does not become whole in time.

    Uvicorn itself bounds only the pause between two requests, and any single byte ends that pause. Answers may take as
    long as they take, and a WebSocket is no longer this class's once it is one.
    """

    head_seconds: ClassVar[float] = 10.0
    """From the connection's beginning, or the first byte of a later request, to the end of the request's head, which
    fits into a packet. A browser opens connections ahead of need and opens others when these are closed."""
    body_seconds: ClassVar[float] = 60.0
    """From the head to the end of the body: the largest that are taken (a few MB) over a slow line (1 Mbit/s)."""
    most_connections: ClassVar[int] = 256
    """At once, WebSockets among them, of each server: Telegram opens 100 at most, a page of the demo some six, and a
    process has 1,024 files where nobody has raised that."""

    unread_seconds: ClassVar[float] = 60.0
    """How long somebody may take nothing of an answer that waits for him; else those who ask for much, and read none of
    it, would hold every connection, also behind its close. The kernel counts it (Linux)."""

    _phase: object = None
    """"head", "answer", "idle", or the cycle of a request whose body is on its way."""
    _since: float = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Where there are too many, the one goes that has asked for nothing for longest; or this one, if all of them
        wait for answers. So whoever opens very many keeps nobody out."""
        super().connection_made(transport)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(1000 * self.unread_seconds)
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._enter("head", self.head_seconds)
        if len(self.connections) > self.most_connections:
            others = [each for each in self.connections if isinstance(each, BoundedConnection) and each is not self]
            asking_nothing = [each for each in others if each._phase != "answer" and not each.transport.is_closing()]
            min(asking_nothing, key=lambda each: each._since, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """No deadline any more."""
        self._enter(None)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what has come, or has been waiting behind an answer; and see what is still missing."""
        super().handle_events()
        their_state = self.conn.their_state
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._enter(None)
        elif their_state is h11.SEND_BODY:
            self._enter(self.cycle, self.body_seconds)
        elif their_state is not h11.IDLE:
            self._enter("answer")
        elif self._phase == "head" or self.conn.trailing_data[0]:
            self._enter("head", self.head_seconds)
        else:
            self._enter("idle")  # for as long as uvicorn lets it

    def _enter(self, phase: object, seconds: float = 0.0) -> None:
        """Begin a phase, which may take so long (0: as long as it takes) in however many pieces things come."""
        if phase == self._phase:
            return
        self._phase, self._since = phase, self.loop.time()
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort) if seconds else None


class OwnPagesOnly:
    """ASGI middleware that lets in programs, and of what browsers send only what the server's own pages ask for.

    Args:
        app: what is behind it, HTTP and WebSockets.
        hosts: names by which the server may be asked, beside `localhost` and the addresses of this machine, at any port
            (a tunnel or a proxy may have another). A name that is none of them belongs to somebody else's page.
        any_address: whether it answers to every IP address, as a server must that others of a network reach. A page has
            no address for a name unless it comes from there, and then `Origin` has another port.
        hint: what the operator can do whose name is refused.
        refuse: makes the answer of a sentence and a status.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] = (),
        any_address: bool = False,
        hint: str = "",
        refuse: Callable[[str, int], Response] = PlainTextResponse,
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._any_address = any_address
        self._hint = hint
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse: 400 for another's name, 403 for another's page."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = [(name, value.decode("latin-1").strip()) for name, value in scope["headers"]]
        hosts = [value.lower() for name, value in headers if name == b"host"]
        if not all(map(self._is_ours, hosts)):  # a program of HTTP/1.0 names none, a browser always does
            sentence = f"Nobody answers by that name here; ask localhost or 127.0.0.1. {self._hint}".rstrip()
            await self._turn_away(400, sentence, scope, receive, send)
        elif _is_of_another_page(scope, headers, hosts):
            await self._turn_away(403, "Pages of other sites may not ask here.", scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        name = name.removesuffix(".")
        return name in self._hosts or is_loopback(name) or (self._any_address and _is_address(name))

    async def _turn_away(self, status: int, sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the server answers 403
        else:
            await self._refuse(sentence, status)(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether a name or address, without brackets, can only be this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_of_another_page(scope: Scope, headers: list[tuple[bytes, str]], hosts: list[str]) -> bool:
    """Whether a browser sends it for a page of another origin; another port of this machine is another origin."""
    if any(_origin(value) not in hosts for name, value in headers if name == b"origin"):
        return True
    sent = {name: value.lower() for name, value in headers if name.startswith(b"sec-fetch-")}
    if sent.get(b"sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    # Somebody follows a link to a page here, which changes nothing, and which the page with the link cannot read.
    is_link = sent.get(b"sec-fetch-mode") == "navigate" and sent.get(b"sec-fetch-dest") == "document"
    return not (is_link and scope.get("method") in ("GET", "HEAD"))


def _origin(value: str) -> str | None:
    """Host and port of an origin as a browser writes them into `Host`; None for "null" and other things."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") and parts.netloc else None
