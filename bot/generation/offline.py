"""Writing at the terminal, beside a running bot or without one: nothing is stored.

Asks the engine at ENGINE_URL, or starts one for as long as it writes. What may be asked and shown is as in chat.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from bot.common.errors import OvationError, StartError
from bot.common.keys import open_existing_keys
from bot.common.kinds import MIN_P, TEMPERATURE, TOP_P, Kind, language_of_topic
from bot.common.settings import Settings
from bot.common.text import sanitize
from bot.moderation.text_checks import COPY_CHECK_TEXTS, SafetyCheck, prompts_in
from bot.serving.engine_process import engine_http, own_engine
from engine.api.client import EngineClient
from engine.api.models import version_name
from engine.api.types import Message, Reply, Sampling
from engine.errors import EngineError, ModelError, NoAdapters
from engine.runs.versions import verify
from engine.safety.filter import load_filter
from engine.safety.near_copy import CopyIndex, read_protected
from storage.db.database import open_for_reading
from storage.tables import ratings, versions


class Withheld(OvationError):
    """A text is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineRequest:
    """What is to be written, and how the words are drawn."""

    topic: str
    kind: Kind
    seed: int
    temperature: float = TEMPERATURE
    max_tokens: int | None = None
    """At most; None: as many as the kind has."""


@dataclass(frozen=True, slots=True)
class OfflineText:
    """A finished text."""

    text: str
    tokens: int
    finish_reason: str


class OfflineWriter:
    """Writes with one version."""

    def __init__(
        self, engine: EngineClient, version: str, safety: SafetyCheck, others: Sequence[CopyIndex] = ()
    ) -> None:
        self._engine = engine
        self.version = version
        self._safety = safety
        self._others = others
        """Texts that are not to be copied."""

    async def write(self, request: OfflineRequest, show: Callable[[str], None] = lambda _: None) -> OfflineText:
        """Write a text; `show` hears it piece by piece, as far as it may be shown.

        Raises:
            Refusal: the topic is not one to write about.
            Withheld: the text is not fit to be shown.
            EngineError: it cannot be written.
        """
        await self._safety.check_prompt(request.topic)
        instruction = request.kind.instruction[language_of_topic(request.topic)]
        messages = (Message("system", instruction), Message("user", request.topic))
        max_tokens = request.max_tokens or request.kind.max_tokens
        sampling = Sampling(
            max_tokens=max_tokens, temperature=request.temperature, top_p=TOP_P, min_p=MIN_P, seed=request.seed
        )
        growing, shown = "", ""
        async with aclosing(self._engine.stream(messages, sampling, model=self.version)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Reply):
                    reply = piece
                    continue
                growing += piece
                text = sanitize(growing)
                if len(text) > len(shown) and self._safety.may_show(text):
                    show(text[len(shown) :])
                    shown = text
        written = OfflineText(sanitize(reply.text), reply.completion_tokens, reply.finish_reason)
        await self._inspect(written.text, told=request.topic)
        return written

    async def _inspect(self, text: str, *, told: str) -> None:
        if not text:
            raise ModelError(f"The model {self.version} wrote nothing: try another --seed.")
        found = await self._safety.unfit(text, told=told)
        if found:
            raise Withheld(f"This text is withheld ({', '.join(sorted(found))}): say it in other words, or try --seed.")
        if any(others.is_copy(text) for others in self._others):
            raise Withheld("This text is withheld, for it copies what others wrote: say it in other words.")


@asynccontextmanager
async def open_offline_writer(settings: Settings, wanted: str | None = None) -> AsyncIterator[OfflineWriter]:
    """A writer with the version that is wanted, or else the champion; its engine ends with it.

    Raises:
        StartError: there is no such version, or the engine does not start.
        EngineError: the engine at ENGINE_URL is away, or cannot load the version.
    """
    others = (read_protected(settings.protected_dir), _prompts_of_people(settings))
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(engine_http(settings))
        if settings.engine_url is None:
            _find_version(
                settings, version_name(settings.model), wanted
            )  # tells what is wrong before a model is loaded
            process = own_engine(settings, http, lambda: open_existing_keys(settings))
            stack.push_async_callback(process.stop)
            await process.start()
            client = process.client
        else:
            client = EngineClient(str(settings.engine_url), http=http)
        version = await _loaded(client, settings, wanted, stack)
        guard = None if settings.guard_model is None else client
        fails_open = settings.guard_fails == "open"
        safety = SafetyCheck(words=load_filter(settings.words_file), guard=guard, fails_open=fails_open)
        yield OfflineWriter(client, version, safety, others)


def _find_version(settings: Settings, base: str, wanted: str | None) -> str:
    """The version that is wanted; otherwise the champion, or the base where there is none."""
    known = []
    if wanted != base and settings.database_path.exists():
        with closing(open_for_reading(settings.database_path)) as connection:
            known = versions.all_of(connection, base)
    name = wanted or next((version.name for version in known if version.state == "champion"), base)
    if name == base:
        return name
    found = next((version for version in known if version.name == name), None)
    if found is None:
        raise StartError(f"There is no version {name!r} of {base}: `ovation models` lists them.")
    if found.destroyed_at or (found.tainted_at and wanted):
        raise StartError(
            f"{name} has learned from somebody who is forgotten or shut out since, so it does not write any more: "
            "`ovation models` lists the others."
        )
    try:
        verify(_folder(settings, name))
    except ModelError as error:
        raise StartError(f"{error} See `ovation doctor`.", exit_status=1) from error
    return name


def _folder(settings: Settings, version: str) -> Path:
    return (settings.data_dir / "versions" / version).absolute()


async def _loaded(client: EngineClient, settings: Settings, wanted: str | None, stack: AsyncExitStack) -> str:
    """The version that writes, once the engine has it; one that a server had not before, it has not afterwards."""
    base = await client.find_base(settings.model)
    version = _find_version(settings, base, wanted)
    if version == base or version in await client.models():
        return version
    try:
        await client.load_adapter(version, _folder(settings, version))
    except NoAdapters:
        if wanted is not None:
            raise
        return base  # which answers in chat as well
    stack.push_async_callback(_unload, client, version)
    return version


async def _unload(client: EngineClient, version: str) -> None:
    with contextlib.suppress(EngineError):
        await client.unload_adapter(version)


def _prompts_of_people(settings: Settings) -> CopyIndex:
    """What people wrote who have agreed to learning: it teaches, and is not to be repeated."""
    if not settings.database_path.exists():
        return CopyIndex()
    with closing(open_for_reading(settings.database_path, open_existing_keys(settings).keyring)) as connection:
        return prompts_in(ratings.consented_in(connection, newest=COPY_CHECK_TEXTS))
