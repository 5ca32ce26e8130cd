"""The composer: one generation from its present state to its last.

The placeholder is sent and its id committed before a word is written; the text is committed before it is shown;
content is only ever shown by editing. So a process that dies anywhere leaves at most a second placeholder behind,
never a second answer. Knows how a generation looks; whom it is for is in its `Delivery`.
"""

import asyncio
import contextlib
import logging
from contextlib import aclosing
from datetime import UTC, datetime
from http.client import NOT_FOUND

from bot.errors import DeliveryError, MessageGone
from bot.keyboards import rating_buttons, stop_button
from bot.kinds import MIN_P, TEMPERATURE, TOP_P, Kinds
from bot.messenger import Address, Messenger, patiently
from bot.plain import TELEGRAM_LIMIT, fitting, plain, utf16_length
from bot.preview import Preview
from bot.switchboard import Switchboard
from bot.texts import say
from bot.vitals import Vitals
from engine.chat import Message, Reply, Sampling
from engine.client import EngineClient
from engine.errors import EngineBusy, EngineUnavailable, ModelError, RequestError
from storage import generations, placing, ratings
from storage.database import Database
from storage.records import Generation

logger = logging.getLogger(__name__)

ENGINE_PATIENCE_SECONDS = 600.0
"""A prompt waits this long for an engine that is busy or restarting, then ends with a sentence."""

_PAUSE_SECONDS = 1.0
_EMPTY_TRIES = 3


class Composer:
    """Produces generations, each by one call of `produce`."""

    def __init__(
        self,
        *,
        db: Database,
        engine: EngineClient,
        messenger: Messenger,
        switchboard: Switchboard,
        kinds: Kinds,
        label: str,
        vitals: Vitals,
    ) -> None:
        self._db = db
        self._engine = engine
        self._messenger = messenger
        self._switchboard = switchboard
        self._kinds = kinds
        self._label = label
        self._vitals = vitals

    async def produce(self, generation: Generation) -> None:
        """Take a generation from where it stands to delivered, or to failed with a sentence in the chat."""
        try:
            message_id = await self._placed(generation)
            text, version = await self._written(generation, message_id)
            await self._show(generation, message_id, text, version)
        except _Unwanted as stray:
            await self._delete(generation.delivery.chat_id, stray.message_id)  # stopped or forgotten meanwhile
        except (RequestError, EngineUnavailable, ModelError) as error:
            logger.warning("generation %d failed: %s", generation.id, type(error).__name__)
            await self.fail(generation, "failed-too-long" if isinstance(error, RequestError) else "failed-engine")
        except DeliveryError as error:
            logger.warning("generation %d cannot be shown: %s", generation.id, error)
            await self._end(generation, delivered=False)

    async def _placed(self, generation: Generation) -> int:
        """The id of the message that will show the generation, sending the placeholder if none stands yet."""
        to = generation.delivery
        if to.message_id is not None:
            return to.message_id
        kind = self._kinds.by_name.get(generation.kind, self._kinds.default)
        address = Address(chat_id=to.chat_id, reply_to=to.reply_to, thread_id=to.thread_id)
        self._vitals.overhead.observe((datetime.now(UTC) - generation.created_at).total_seconds())
        message_id = await patiently(
            lambda: self._messenger.send(address, f"{kind.emoji} …", stop_button(generation.id)),
            on_unknown=self._vitals.unknown_sends.inc,
        )
        if not await placing.place(self._db, generation.id, message_id=message_id):
            raise _Unwanted(message_id)
        return message_id

    async def _written(self, generation: Generation, message_id: int) -> tuple[str, str]:
        """The final text and its version, from the record or from the engine."""
        if generation.text is not None and generation.version is not None:
            return generation.text, generation.version
        deadline = asyncio.get_running_loop().time() + ENGINE_PATIENCE_SECONDS
        while True:
            version = self._switchboard.version_for(generation.chat)
            try:
                text = await self._compose(generation, message_id, version)
                break
            except EngineBusy as error:
                pause = error.retry_after_seconds
            except EngineUnavailable:
                pause = _PAUSE_SECONDS
            except RequestError as error:
                if error.status != NOT_FOUND:
                    raise
                pause = _PAUSE_SECONDS
                await self._switchboard.repair()
            if asyncio.get_running_loop().time() + pause > deadline:
                raise EngineUnavailable("The engine did not answer in time.")
            await asyncio.sleep(pause)
        if not await generations.write_text(self._db, generation.id, text=text, version=version):
            raise _Unwanted(message_id)
        return text, version

    async def _compose(self, generation: Generation, message_id: int, version: str) -> str:
        """Let the model write, showing the text as it grows; an empty answer is tried again with another seed."""
        kind = self._kinds.by_name.get(generation.kind, self._kinds.default)
        messages = [Message(turn.role, turn.content) for turn in generation.messages]
        to = generation.delivery
        for attempt in range(_EMPTY_TRIES):
            sampling = Sampling(
                max_tokens=kind.max_tokens,
                temperature=TEMPERATURE,
                top_p=TOP_P,
                min_p=MIN_P,
                seed=generation.seed + attempt,
            )
            async with (
                Preview(self._messenger, to.chat_id, message_id, stop_button(generation.id)) as preview,
                aclosing(self._engine.stream(messages, sampling, model=version)) as pieces,
            ):
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        text = plain(piece.text)
                        self._vitals.tokens.inc(piece.completion_tokens)
                    else:
                        preview.add(piece)
            if text:
                return text
        raise ModelError(f"The model {version} writes nothing.")

    async def _show(self, generation: Generation, message_id: int, text: str, version: str) -> None:
        """Edit the whole answer in: text, footer, buttons."""
        to = generation.delivery
        footer = f"{self._label} · {version} · #{generation.id}"
        body = fitting(text, TELEGRAM_LIMIT - utf16_length(footer) - 2)
        tally = await ratings.tally(self._db, generation.id)
        buttons = rating_buttons(generation.id, tally)
        is_markdown = self._kinds.by_name.get(generation.kind, self._kinds.default).is_markdown

        async def show() -> None:
            if is_markdown:
                await self._messenger.edit_markdown(to.chat_id, message_id, body, footer, buttons)
            else:
                await self._messenger.edit(to.chat_id, message_id, f"{body}\n\n{footer}", buttons)

        try:
            await patiently(show)
        except MessageGone:
            await self._end(generation, delivered=False)
        else:
            await self._end(generation, delivered=True)

    async def fail(self, generation: Generation, sentence: str = "error") -> None:
        """End a generation without a text, with a sentence in its place."""
        current = await generations.by_id(self._db, generation.id)
        to = (current or generation).delivery
        if to.message_id is not None:
            await self._say_instead(to.chat_id, to.message_id, say(to.language, sentence))
        await self._end(generation, delivered=False)

    async def say_stopped(self, generation: Generation, message_id: int) -> None:
        """End a generation that its author has stopped."""
        await self._end(generation, delivered=False)
        to = generation.delivery
        await self._say_instead(to.chat_id, message_id, say(to.language, "stopped"))

    async def remove_orphan(self, chat_id: int, message_id: int) -> None:
        """Take away a placeholder that a crash has doubled."""
        self._vitals.orphans.inc()
        await self._delete(chat_id, message_id)

    async def _say_instead(self, chat_id: int, message_id: int, words: str) -> None:
        try:
            await patiently(lambda: self._messenger.edit(chat_id, message_id, words))
        except DeliveryError as error:
            logger.warning("a sentence in place of a text cannot be shown: %s", error)

    async def _delete(self, chat_id: int, message_id: int) -> None:
        with contextlib.suppress(DeliveryError):
            await patiently(lambda: self._messenger.delete(chat_id, message_id))

    async def _end(self, generation: Generation, *, delivered: bool) -> None:
        (self._vitals.delivered if delivered else self._vitals.failed).inc()
        await generations.end(self._db, generation.id, delivered=delivered, at=datetime.now(UTC))


class _Unwanted(Exception):
    """Nobody waits for this generation any more; `message_id` is its placeholder."""

    def __init__(self, message_id: int) -> None:
        super().__init__(message_id)
        self.message_id = message_id
