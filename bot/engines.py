"""The engine as the settings want it: which server is asked, with which key, or how our own is started.

Knows settings and keys. Knows no version, no Telegram type.
"""

from collections.abc import Callable

import httpx

from bot.engine_process import EngineProcess
from bot.errors import StartError
from bot.keys import Keys
from bot.settings import Settings
from engine.client import EngineClient
from engine.errors import ModelError
from engine.sources import find_source
from storage.keyring import WATERMARK

_TIMEOUT = httpx.Timeout(10.0, read=300.0, pool=None)


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
