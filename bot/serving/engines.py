"""The engine as the settings want it: which server is asked, with which key, or how our own is started and begins.

Knows settings and keys. Knows no version, no Telegram type.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx

from bot.common.errors import StartError
from bot.common.keys import Keys
from bot.common.settings import Settings
from bot.serving.engine_process import EngineProcess, free_port
from engine.api.client import EngineClient
from engine.api.sources import find_source
from engine.errors import ModelError
from storage.db.keyring import WATERMARK

_TIMEOUT = httpx.Timeout(10.0, read=300.0, pool=None)


@dataclass(frozen=True, slots=True)
class EngineLink:
    """The way to the engine."""

    client: EngineClient
    process: EngineProcess | None
    """Our own, which has begun; None: the server at ENGINE_URL."""


async def begin_engine(settings: Settings, stack: AsyncExitStack, keys: Keys) -> EngineLink:
    """Let our own engine begin to load, unless ENGINE_URL names another."""
    http = await stack.enter_async_context(engine_http(settings))
    (settings.data_dir / "versions").mkdir(exist_ok=True)
    if settings.engine_url is not None:
        return EngineLink(EngineClient(str(settings.engine_url).rstrip("/"), http=http), None)
    port = free_port()
    client = EngineClient(f"http://127.0.0.1:{port}", http=http)
    process = own_engine(settings, client, port, lambda: keys)
    stack.push_async_callback(process.stop)
    await process.begin()
    return EngineLink(client, process)


def engine_http(settings: Settings) -> httpx.AsyncClient:
    """What speaks to the engine, with the key that opens its door if it has a lock."""
    key = settings.engine_key
    headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
    return httpx.AsyncClient(timeout=_TIMEOUT, limits=limits, headers=headers)


def with_model(settings: Settings, model: str) -> Settings:
    """The same settings with another base model, in an engine of our own.

    Raises:
        StartError: there is no such model.
    """
    try:
        find_source(model)
    except ModelError as error:
        raise StartError(str(error)) from error
    return settings.model_copy(update={"model": model, "engine_url": None, "engine_key": None})


def own_engine(settings: Settings, client: EngineClient, port: int, keys: Callable[[], Keys]) -> EngineProcess:
    """Our own engine, not started yet; `keys` is asked for only where texts are to be marked."""
    return EngineProcess(
        model=settings.model,
        quantize=settings.quantize,
        port=port,
        versions=settings.data_dir / "versions",
        client=client,
        options=() if settings.guard_model is None else ("--guard", settings.guard_model),
        watermark_key=keys().keyring.key(WATERMARK).hex() if settings.watermark == "on" else None,
    )
