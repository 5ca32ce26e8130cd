"""The whole sandbox on one loopback address: Bot API, web chat, and the world behind them."""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from starlette.applications import Starlette
from starlette.middleware import Middleware

from bot.common.http_server import listen, serving
from bot.common.tasks import cancel
from bot.sandbox.api.faults import Faults, FloodGate, FloodLimits
from bot.sandbox.api.methods import Methods
from bot.sandbox.api.server import BotApi, Call
from bot.sandbox.web.app import WebChat
from bot.sandbox.world.errors import AddressError
from bot.sandbox.world.records import Chat
from bot.sandbox.world.updates import WebhookSender
from bot.sandbox.world.world import World
from engine.http_guard import OwnPagesOnly, is_loopback


class Sandbox:
    """A world with a server around it, in the current event loop.

    Args:
        host: a loopback address; others are refused, because nobody here is asked for a password.
        port: 0 takes a free one; `url` tells which.
        world: the world to serve; a new one by default.
        admin_id: the id that "Open as admin" in the web chat acts under; None offers no admin.
        room: title of a group that everybody who opens the page joins, with the bot as an administrator.
        flood_limits: Telegram's limits; None lets everything pass.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        world: World | None = None,
        admin_id: int | None = None,
        room: str | None = None,
        flood_limits: FloodLimits | None = None,
    ) -> None:
        self.world = world or World()
        self.token = self.world.state.token
        self.room: Chat | None = self.world.add_group(room, bot_admin=True) if room else None
        self._host = host
        self._port = port
        self._webhook = WebhookSender(self.world.updates)
        methods = Methods(self.world.state, self._webhook)
        gate = FloodGate(flood_limits) if flood_limits else None
        self._api = BotApi(self.token, self.world.state, methods, gate)
        self._web_chat = WebChat(self.world, admin_id=admin_id, room=self.room)
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """The root of the Bot API (TELEGRAM_API_URL) and of the web chat, without a slash at its end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def calls(self) -> Sequence[Call]:
        """Every answered request of the bot, oldest first, as far as they are kept."""
        return self._api.calls

    @property
    def faults(self) -> Faults:
        """Faults to come."""
        return self._api.faults

    def calls_of(self, method: str) -> list[Call]:
        """The calls of one method."""
        return [call for call in self.calls if call.method.lower() == method.lower()]

    def keep_calls(self, count: int) -> None:
        """Keep only so many of the newest calls from now on; a day's worth would fill the memory."""
        self._api.calls = deque(self._api.calls, maxlen=count)

    def publish_panel(self, panel: Mapping[str, object]) -> None:
        """Show this in the web chat's side panel instead of what was there; see `WebChat` for the fields it draws."""
        self._web_chat.publish_panel(panel)

    async def __aenter__(self) -> Self:
        listener = _listen(self._host, self._port)
        self._port = int(listener.getsockname()[1])
        self.world.updates.is_closed = False  # it may have run before
        await self._stack.enter_async_context(in_background(self._webhook.run()))
        server = serving(self._app(), listener, before_stop=self.world.updates.close)
        await self._stack.enter_async_context(server)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _app(self) -> Starlette:
        routes = [*self._api.routes(), *self._web_chat.routes()]
        return Starlette(routes=routes, middleware=[Middleware(OwnPagesOnly)])


@asynccontextmanager
async def in_background(work: Coroutine[object, object, object]) -> AsyncIterator[None]:
    """Let something run for as long as the block does."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await cancel(task)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address.

    Raises:
        AddressError: another host than this machine, or a port that is taken.
    """
    address = "127.0.0.1" if host == "localhost" else host
    if not is_loopback(host):
        raise AddressError(f"The sandbox asks for no password, so it listens on 127.0.0.1 only, not on {host}.")
    try:
        return listen(address, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressError(f"Port {port} on {host} is taken; choose another one, or 0 for a free one.") from error
        raise AddressError(f"The sandbox cannot listen on {host}:{port}: {error.strerror}.") from error
