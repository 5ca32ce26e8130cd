"""Prompts: the kinds' commands, addressed text, /duel, the buttons for another or a changed text, and stopping."""

import logging
from dataclasses import dataclass
from functools import partial

from telegram import Document, Message, Update
from telegram.error import TelegramError
from telegram.ext import CommandHandler, ContextTypes, MessageHandler, filters

from bot.common.errors import Refusal
from bot.common.i18n import say
from bot.common.kinds import TAKEN, Kind, Kinds, language_of_topic
from bot.feedback.buttons import RatingButtons
from bot.feedback.ratings import Feedback
from bot.generation.service import GenerationService, Passage, Request
from bot.messaging.messenger import REFINEMENTS
from bot.telegram.message import (
    Handler,
    Incoming,
    Press,
    answer,
    button,
    command,
    command_in,
    commanded,
    is_borrowed,
    is_ours,
    unpacked,
    without_mention,
)
from bot.telegram.sender import Sender

logger = logging.getLogger(__name__)

_FROM_A_CHAT = filters.UpdateType.MESSAGE & filters.SenderChat.ALL & ~filters.IS_AUTOMATIC_FORWARD
"""Written in a group as the group itself, or as a channel; what Telegram brings from the group's channel is not."""


MAX_FILE_BYTES = 500_000
TEXT_FILES = (".txt", ".md", ".markdown")
TEXT_TYPES = ("text/plain", "text/markdown")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptHandlers:
    """What asks for a text, and what stops one."""

    service: GenerationService
    feedback: Feedback
    rating_buttons: RatingButtons
    kinds: Kinds
    sender: Sender

    def handlers(self) -> list[Handler]:
        """In order; those for anonymous senders come before all that answers people."""
        kinds = self.kinds.by_name
        addressed = filters.UpdateType.MESSAGE & ((filters.TEXT & ~filters.COMMAND) | (filters.CAPTION & _Mention()))
        posted = filters.UpdateType.CHANNEL_POST
        return [
            CommandHandler([*kinds, *TAKEN], self._refuse_as_chat, filters=_FROM_A_CHAT),
            MessageHandler(_FROM_A_CHAT & (filters.TEXT | filters.CAPTION), self._refuse_text_as_chat),
            *(command(name, partial(self._write, kind)) for name, kind in kinds.items()),
            *(
                MessageHandler(
                    filters.UpdateType.MESSAGE & filters.Document.ALL & _Under(name),
                    commanded(partial(self._write, kind)),
                )
                for name, kind in kinds.items()
                if kind.takes == "text"
            ),
            MessageHandler(addressed, unpacked(self._write_or_refine)),
            *(CommandHandler(name, partial(self._write_post, kind), filters=posted) for name, kind in kinds.items()),
            command("duel", self._duel),
            button(r"^better:\d{1,18}$", self._choose),
            button(r"^again:\d{1,18}$", self._again),
            button(r"^refine:\d{1,18}$", self._offer_refinements),
            button(rf"^wish:\d{{1,18}}:({'|'.join(REFINEMENTS)})$", self._refine),
            button(r"^stop:\d{1,18}$", self._stop),
            command("cancel", self._cancel),
        ]

    async def _refuse_as_chat(self, _update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        """Nobody can tell anonymous senders apart, so limits, consent and /forget could not be theirs."""
        raise Refusal("written-as-chat")

    async def _refuse_text_as_chat(self, update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """The same for a mention of the bot or a reply to it; all other text is none of its business."""
        message = update.message
        if message is None:
            return
        _, is_mentioned = without_mention(message, context.bot)
        if is_mentioned or (message.text is not None and is_ours(message.reply_to_message, context.bot)):
            raise Refusal("written-as-chat")

    async def _write(self, kind: Kind, message: Incoming) -> None:
        """A kind's command, on what stands behind it; or on a whole text, where the kind takes one."""
        if kind.takes == "topic":
            await self.service.write(message.request, kind, message.argument)
            return
        passage = await _passage_of(message)
        wish = message.argument if passage is not None else ""
        passage = passage or Passage(text=message.argument)
        read = await self.service.write_on(message.request, kind, passage, wish=wish)
        if read < len(passage.text):
            await answer(self.sender, message, "text-cut", kept=read, length=len(passage.text))

    async def _write_or_refine(self, message: Incoming) -> None:
        """Text without a command: a reply to a text changes it; in a group, any other must mention the bot.

        In private whatever is sent is to be written about, forwarded or not. In a group it is the words that ask the
        bot, and they ask for nothing where somebody else has written them.
        """
        if not (message.is_private or message.is_own_words):
            return
        request, replies_to = message.request, message.replies_to
        wish = message.topic if message.topic.strip() else message.text
        if replies_to is not None and await self.service.refine(request, replies_to, lambda _: wish):
            return
        if message.is_private or message.is_mentioned:
            await self.service.write(message.request, self.kinds.default, message.topic)

    async def _write_post(self, kind: Kind, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        """A kind's command as a channel's post; all other posts are ignored.

        Telegram does not say which of the editors wrote it: the channel asks as itself, with limits of its own, and as
        it cannot agree to anything, nothing learns from it.
        """
        post = update.channel_post
        if post is None or post.text is None or is_borrowed(post):
            return
        topic = "".join(post.text.split(maxsplit=1)[1:])
        request = Request(
            update_id=update.update_id,
            person_id=post.chat_id,
            chat_id=post.chat_id,
            message_id=post.message_id,
            language=language_of_topic(topic),
            is_channel=True,
        )
        await self.service.write(request, kind, topic)

    async def _duel(self, message: Incoming) -> None:
        kind, topic = self.kinds.parse(message.argument)
        if not topic.strip():
            raise Refusal("duel-usage")
        await self.service.write(message.request, kind, topic, texts=2)

    async def _choose(self, press: Press) -> None:
        by = press.by
        consented = await self.feedback.choose(
            press.generation, chat_id=by.chat_id, message_id=by.message_id, person_id=by.person_id
        )
        await press.toast("duel-thanks" if consented else "duel-thanks-no-consent")

    async def _again(self, press: Press) -> None:
        await self.service.again(press.by, press.generation)
        await press.toast("again-coming")

    async def _offer_refinements(self, press: Press) -> None:
        await self.rating_buttons.offer_refinements(
            press.generation, chat_id=press.by.chat_id, shown_in=press.by.message_id
        )
        await press.toast("refine-how")

    async def _refine(self, press: Press) -> None:
        def words(text: str) -> str:
            return say(language_of_topic(text), f"wish-{press.values[1]}-words")

        if not await self.service.refine(press.by, press.by.message_id, words, generation=press.generation):
            raise Refusal("generation-unknown")
        await press.toast("wish-coming")

    async def _stop(self, press: Press) -> None:
        is_stopped = await self.service.stop(
            press.generation,
            shown_in=press.by.message_id,
            chat_id=press.by.chat_id,
            person_id=press.by.person_id,
        )
        await press.toast("stopped" if is_stopped else "orphan-removed")

    async def _cancel(self, message: Incoming) -> None:
        stopped = await self.service.cancel(message.request.chat_id, message.request.person_id)
        await answer(self.sender, message, "cancel-done" if stopped else "cancel-nothing", texts=stopped)


class _Mention(filters.MessageFilter):
    """Messages that mention us."""

    def filter(self, message: Message) -> bool:
        """Whether this one does."""
        return without_mention(message, message.get_bot())[1]


class _Under(filters.MessageFilter):
    """Messages whose caption begins with a command of ours."""

    def __init__(self, command: str) -> None:
        super().__init__(name=f"under /{command}")
        self._command = command

    def filter(self, message: Message) -> bool:
        """Whether this one's does."""
        return message.caption is not None and command_in(message, message.get_bot()) == self._command


async def _passage_of(message: Incoming) -> Passage | None:
    """The text that a message brings as a file or replies to; None where it does neither.

    Raises:
        Refusal: the file is no text, or too large.
    """
    if message.document is not None:
        return Passage(text=await _read(message.document))
    replied = message.replied
    if replied is None:
        return None
    author = None if replied.from_user is None else replied.from_user.id
    is_strangers = message.replies_to is None and author != message.request.person_id
    if replied.document is not None:
        return Passage(text=await _read(replied.document), is_strangers=is_strangers)
    text = (replied.text or replied.caption or "").strip()
    return Passage(text=text, is_strangers=is_strangers, shown_in=message.replies_to) if text else None


async def _read(document: Document) -> str:
    """The words of a text file.

    Raises:
        Refusal: it is another kind of file, too large, or cannot be fetched.
    """
    refusal = Refusal("file-unreadable", kilobytes=MAX_FILE_BYTES // 1000)
    is_text = (document.file_name or "").lower().endswith(TEXT_FILES) or document.mime_type in TEXT_TYPES
    if not is_text or (document.file_size or 0) > MAX_FILE_BYTES:
        raise refusal
    try:
        content = await (await document.get_file()).download_as_bytearray()
    except TelegramError as error:
        logger.warning("a file could not be fetched: %s", type(error).__name__)
        raise Refusal("file-away") from error
    try:
        return content[:MAX_FILE_BYTES].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refusal from error
