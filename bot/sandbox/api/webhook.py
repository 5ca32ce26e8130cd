"""Delivery of updates by POST to the bot's own address, as Telegram does with a webhook.

One update at a time, in order, repeated until the bot answers 2XX. Knows HTTP, not what an update says.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx

from bot.sandbox.world.state import State

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
RETRY_SECONDS = 0.5
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Hook:
    """Where to send updates and the secret to send along; the secret stays out of the repr."""

    url: str
    secret: str | None = None

    def __repr__(self) -> str:
        return f"Hook({self.url!r})"


class Webhook:
    """Sends while a hook is set; sleeps otherwise."""

    def __init__(self, state: State) -> None:
        self.hook: Hook | None = None
        self.last_error: tuple[datetime, str] | None = None
        self._state = state
        self._changed = asyncio.Event()
        state.updates.watch(self._changed.set)

    def set(self, hook: Hook | None) -> None:
        """Use this hook from now on; None stops."""
        self.hook = hook
        self.last_error = None
        self._changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block runs."""
        task = asyncio.create_task(self._deliver_all())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _deliver_all(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.hook is not None:
                # Made only when needed, because it loads every certificate of the machine.
                async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
                    await self._deliver_waiting(client)

    async def _deliver_waiting(self, client: httpx.AsyncClient) -> None:
        while (hook := self.hook) is not None:
            while waiting := self._state.updates.first(1):
                if await self._delivered(client, hook, waiting[0].on_the_wire()):
                    self._state.updates.confirm(waiting[0].update_id + 1)
                else:
                    await asyncio.sleep(RETRY_SECONDS)
                if self.hook is not hook:
                    break
            else:
                await self._changed.wait()
                self._changed.clear()

    async def _delivered(self, client: httpx.AsyncClient, hook: Hook, update: dict[str, object]) -> bool:
        headers = {SECRET_HEADER: hook.secret} if hook.secret else {}
        try:
            response = await client.post(hook.url, json=update, headers=headers)
        except httpx.HTTPError as error:
            self.last_error = (self._state.clock(), f"Connection failed: {error}")
            return False
        if not response.is_success:
            reason = f"Wrong response from the webhook: {response.status_code} {response.reason_phrase}"
            self.last_error = (self._state.clock(), reason)
        return response.is_success
