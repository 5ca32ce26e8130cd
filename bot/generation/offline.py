"""Writing at the terminal, beside a running bot or without one: nothing is stored.

Asks the engine at ENGINE_URL, or starts one for as long as it writes. What may be asked and shown is as in chat.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bot.common.errors import OvationError, StartError
from bot.common.keys import open_existing_keys
from bot.common.kinds import Kind, language_of_topic
from bot.common.settings import DEFAULT_LABEL, Settings
from bot.common.text import sanitize
from bot.generation.continuing import stream_to_its_end
from bot.generation.finishing import Finished, finish_all
from bot.moderation.labels import without_labels
from bot.moderation.text_checks import COPY_CHECK_TEXTS, SafetyCheck, prompts_in
from bot.serving.engine_process import engine_http, own_engine
from engine.api.client import EngineClient
from engine.api.models import version_name
from engine.api.types import Reply, Sampling, WrittenText
from engine.errors import AnswerBroken, EngineError, ModelError, NoAdapters
from engine.runs.versions import verify
from engine.safety.filter import load_filter
from engine.safety.near_copy import CopyIndex, read_protected
from storage.db.database import open_for_reading
from storage.tables import ratings, versions

_MOST_TEXTS = 4
"""All are always written, whatever the time, so that a seed gives one text."""
_OTHER_SEED = 0x5BD1E995
"""Of the texts that stand in the place of faulty ones."""


class Withheld(OvationError):
    """A text is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineRequest:
    """What is to be written, and how the words are drawn."""

    topic: str
    kind: Kind
    seed: int
    temperature: float | None = None
    """None: as the kind has it."""
    max_tokens: int | None = None
    """At most; None: as many as the kind has."""

    @property
    def sampling(self) -> Sampling:
        """How it is drawn: as texts of the kind are, but for what is wanted otherwise."""
        own = self.kind.sampling(seed=self.seed)
        temperature = own.temperature if self.temperature is None else self.temperature
        return replace(own, temperature=temperature, max_tokens=self.max_tokens or own.max_tokens)


@dataclass(frozen=True, slots=True)
class OfflineWriter:
    """Writes with one version."""

    engine: EngineClient
    version: str
    safety: SafetyCheck
    protected: Sequence[CopyIndex] = ()
    """Texts that are not to be copied."""
    texts: int = 1
    """So many are written, of which the best is chosen."""
    base: str = ""
    """The name under which the version's base serves."""
    label: str = DEFAULT_LABEL
    """What the text may not say of itself."""

    async def write(self, request: OfflineRequest) -> WrittenText:
        """Write some texts and choose the best, by what can be seen of each; equal requests give equal texts.

        Raises:
            Refusal: the topic is not one to write about.
            Withheld: the text is not fit to be shown.
            EngineError: it cannot be written.
        """
        await self.safety.check_prompt(request.topic)
        written = await self._written(request)
        if written is None or written[1].faults:
            written = await self._written(replace(request, seed=request.seed ^ _OTHER_SEED)) or written
        if written is None:
            raise ModelError(f"The model {self.version} wrote nothing: try another --seed.")
        draft, text = written[0], written[1].text
        if found := await self.safety.unfit(text, told=request.topic):
            raise Withheld(f"This text is withheld ({', '.join(sorted(found))}): say it in other words, or try --seed.")
        if any(texts.is_copy(text) for texts in self.protected):
            raise Withheld("This text is withheld, for it copies what others wrote: say it in other words.")
        return replace(draft, text=text)

    async def _written(self, request: OfflineRequest) -> tuple[WrittenText, Finished] | None:
        """The best of some texts, as written and as shown; None where all are empty."""
        messages, sampling, kind = request.kind.messages(request.topic), request.sampling, request.kind
        calls, language = 1 if request.max_tokens else kind.calls, language_of_topic(request.topic)
        n = 1 if sampling.is_greedy or calls > 1 else self.texts
        ask = partial(self.engine.stream, model=self.version, n=n)
        stream = stream_to_its_end(ask, messages, sampling, calls=calls, language=language)
        try:
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        reply = piece
        except AnswerBroken as error:
            if not error.text.strip():
                raise
            reply = Reply((WrittenText(error.text, "length"),), self.version)
        if request.max_tokens:  # whoever asks for so many words does not ask for a whole text
            finished = [Finished(without_labels(sanitize(text.text), self.label)) for text in reply.texts]
        else:
            finished = finish_all(reply, messages=messages, kind=kind, language=language, label=self.label)
        pairs = [pair for pair in zip(reply.texts, finished, strict=True) if pair[1].text]
        return max(pairs, key=lambda pair: (not pair[1].faults, pair[1].quality + pair[1].likelihood), default=None)


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
            _find_version(settings, version_name(settings.model), wanted)  # before a model is loaded in vain
            process = own_engine(settings, http, lambda: open_existing_keys(settings))
            stack.push_async_callback(process.stop)
            await process.start()
            client = process.client
        else:
            client = EngineClient(str(settings.engine_url), http=http)
        base = await client.find_base(settings.model)
        version = await _load_version(client, base, settings, wanted, stack)
        guard = None if settings.guard_model is None else client
        fails_open = settings.guard_fails == "open"
        safety = SafetyCheck(words=load_filter(settings.words_file), guard=guard, fails_open=fails_open)
        yield OfflineWriter(client, version, safety, others, min(settings.best_of, _MOST_TEXTS), base, settings.label)


def _find_version(settings: Settings, base: str, wanted: str | None) -> tuple[str, Path]:
    """The version that is wanted, and its folder; otherwise the champion, or the base where there is none."""
    known = []
    if wanted != base and settings.database_path.exists():
        with closing(open_for_reading(settings.database_path)) as connection:
            known = versions.of_base(connection, base)
    name = wanted or next((version.name for version in known if version.state == "champion"), base)
    folder = (settings.versions_path / name).absolute()
    if name == base:
        return name, folder
    found = next((version for version in known if version.name == name), None)
    if found is None:
        raise StartError(f"There is no version {name!r} of {base}: `ovation models` lists them.")
    if found.destroyed_at or (found.tainted_at and wanted):
        raise StartError(
            f"{name} has learned from somebody who has since been erased or banned, so it does not write any more: "
            "`ovation models` lists the others."
        )
    try:
        verify(folder)
    except ModelError as error:
        raise StartError(f"{error} See `ovation doctor`.", exit_status=1) from error
    return name, folder


async def _load_version(
    client: EngineClient, base: str, settings: Settings, wanted: str | None, stack: AsyncExitStack
) -> str:
    """The version that writes, once the engine has it; one that a server had not before, it has not afterwards."""
    version, folder = _find_version(settings, base, wanted)
    if version == base or version in await client.models():
        return version
    try:
        await client.load_adapter(version, folder)
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
    keyring = open_existing_keys(settings).keyring
    with closing(open_for_reading(settings.database_path, keyring, as_of_now=True)) as connection:
        return prompts_in(ratings.consented(connection, newest=COPY_CHECK_TEXTS))
