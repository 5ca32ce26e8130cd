"""What an update says (who speaks, where, in which language), and answers to it."""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from telegram import (
    Bot,
    CallbackQuery,
    Document,
    MaybeInaccessibleMessage,
    Message,
    MessageEntity,
    ReactionType,
    ReactionTypeEmoji,
    Update,
    User,
)
from telegram.error import TelegramError
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.common.errors import Refusal
from bot.common.i18n import language_of, say
from bot.generation.preferences import current_choices
from bot.generation.service import Request
from bot.messaging.confirmations import Confirmations, Done
from bot.messaging.messenger import Address, Keyboard, confirm_buttons, with_retries
from bot.telegram.sender import Sender

logger = logging.getLogger(__name__)

Handler = BaseHandler[Any, Any, Any]
Callback = Callable[[Update, ContextTypes.DEFAULT_TYPE], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from a person."""

    bot: Bot
    request: Request
    text: str
    """What they say, perhaps under a file or a picture."""
    topic: str
    """The same without the first mention of us."""
    is_mentioned: bool
    """Whether they mention us."""
    document: Document | None
    is_private: bool
    is_own_words: bool
    """Whether the person has written it; see `is_borrowed`."""
    replied: Message | None
    """The message it replies to."""
    replies_to: int | None
    """The id of that message, if it is ours."""

    @property
    def language(self) -> str:
        """The person's language, or English if it has no locale."""
        return self.request.language

    @property
    def argument(self) -> str:
        """What follows the command."""
        words = self.text.split(maxsplit=1)
        return words[1] if len(words) > 1 else ""

    @property
    def address(self) -> Address:
        """Where a reply goes."""
        to = self.request
        return Address(chat_id=to.chat_id, reply_to=to.message_id, thread_id=to.thread_id)


@dataclass(frozen=True, slots=True)
class Press:
    """A press of a button under a message of ours. Its data is the button's name and values, with colons between."""

    query: CallbackQuery
    by: Request
    """The person, as if they had asked by the message that has the button."""
    name: str
    values: tuple[str, ...]

    @property
    def generation(self) -> int:
        """The generation that the button belongs to; the handler's pattern has checked the form."""
        return int(self.values[0])

    async def toast(self, text: str, *, show_alert: bool = False, **values: str | float) -> None:
        """Answer with the sentence `text` of the locales."""
        await toast(self.query, text, show_alert=show_alert, **values)


def incoming(update: Update, bot: Bot) -> Incoming | None:
    """The person's message in an update; None for anonymous senders, channels, bots, among them those that write in a
    person's name, and texts of ours sent inline."""
    message, person = update.message, update.effective_user
    if message is None or person is None or person.is_bot or message.sender_chat is not None:
        return None
    if message.sender_business_bot is not None:
        return None
    if message.via_bot is not None and message.via_bot.id == bot.id:
        return None
    replied = message.reply_to_message
    if replied is not None and replied.forum_topic_created is not None:
        replied = None  # every first message in a topic replies to the notice of its opening
    topic, is_mentioned = without_mention(message, bot)
    return Incoming(
        bot=bot,
        request=_request(update, person, message),
        text=message.text or message.caption or "",
        topic=topic,
        is_mentioned=is_mentioned,
        document=message.document,
        is_private=message.chat.type == "private",
        is_own_words=not is_borrowed(message),
        replied=replied,
        replies_to=replied.message_id if replied is not None and is_ours(replied, bot) else None,
    )


def unpacked(handle: Callable[[Incoming], Awaitable[object]]) -> Callback:
    """A callback that passes people's messages to `handle` and ignores everything else."""

    async def on_message(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, context.bot)
        if message is not None:
            await handle(message)

    return on_message


def commanded(handle: Callable[[Incoming], Awaitable[object]]) -> Callback:
    """A callback for commands: what somebody else has written commands nothing, whoever passes it on."""

    async def on_command(message: Incoming) -> None:
        if not message.is_own_words:
            raise Refusal("command-borrowed")
        await handle(message)

    return unpacked(on_command)


def command(name: str, handle: Callable[[Incoming], Awaitable[object]]) -> Handler:
    """A handler for a command in a new message; an edited one asks for nothing."""
    return CommandHandler(name, commanded(handle), filters=filters.UpdateType.MESSAGE)


def button(pattern: str, handle: Callable[[Press], Awaitable[object]]) -> Handler:
    """A handler for presses under messages that the bot has sent. Data can be forged, even under inline messages."""

    async def on_press(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.data is None:
            return
        if query.message is None:
            raise Refusal("generation-unknown")
        name, *values = query.data.split(":")
        await handle(Press(query, _request(update, query.from_user, query.message), name, tuple(values)))

    return CallbackQueryHandler(on_press, pattern=pattern)


async def answer(sender: Sender, to: Incoming, text: str, *, buttons: Keyboard = (), **values: str | float) -> int:
    """Reply to a message with the sentence `text` of the locales; returns the reply's id."""
    return await reply(sender, to, say(to.language, text, **values), buttons)


async def reply(sender: Sender, to: Incoming, words: str, buttons: Keyboard = ()) -> int:
    """Reply to a message with a finished text; returns the reply's id."""
    return await with_retries(lambda: sender.send(to.address, words, buttons))


async def ask_first(
    sender: Sender,
    confirmations: Confirmations,
    message: Incoming,
    do: Callable[[], Awaitable[Done]],
    question: str,
    **values: str | float,
) -> None:
    """Ask the sender to confirm; the buttons under the question run `do` or drop it."""
    request = message.request
    nonce = confirmations.ask(do, person_id=request.person_id, chat_id=request.chat_id)
    await answer(sender, message, question, buttons=confirm_buttons(message.language, nonce), **values)


async def toast(query: CallbackQuery, text: str, *, show_alert: bool = False, **values: str | float) -> None:
    """Answer a press with a sentence of the locales. One that is too old to be answered has had its effect."""
    try:
        await query.answer(say(language_of(query.from_user.language_code), text, **values), show_alert=show_alert)
    except TelegramError as error:
        logger.info("a press could not be answered: %s", type(error).__name__)


def address_of(message: Message) -> Address:
    """Where a reply to a message goes."""
    return Address(chat_id=message.chat_id, reply_to=message.message_id, thread_id=_topic_of(message))


def is_ours(message: Message | None, bot: Bot) -> bool:
    """Whether there is a message, and the bot has sent it."""
    return message is not None and message.from_user is not None and message.from_user.id == bot.id


def is_borrowed(message: Message) -> bool:
    """Whether somebody else wrote what a message says: it is forwarded, or a result of another bot's inline mode, of
    which people see a title before they choose it. A quote in a reply stands beside the words and not in them."""
    is_forwarded = message.forward_origin is not None or "forward_date" in message.api_kwargs  # as old servers say it
    return is_forwarded or message.via_bot is not None


def without_mention(message: Message, bot: Bot) -> tuple[str, bool]:
    """A message's text or caption without the first mention of us, and whether there was one.

    What is a mention is for Telegram to say, which marks none in longer names, addresses and programs.
    """
    units = (message.text or message.caption or "").encode("utf-16-le", "surrogatepass")
    for entity in message.entities or message.caption_entities:
        begin, end = 2 * entity.offset, 2 * (entity.offset + entity.length)
        if _names_us(entity, units[begin:end].decode("utf-16-le", "replace"), bot):
            return (units[:begin] + units[end:]).decode("utf-16-le", "surrogatepass"), True
    return units.decode("utf-16-le", "surrogatepass"), False


def _names_us(entity: MessageEntity, words: str, bot: Bot) -> bool:
    """`@our_bot`, our name as a link to us, or `/command@our_bot`."""
    if entity.type == MessageEntity.TEXT_MENTION:
        return entity.user is not None and entity.user.id == bot.id
    is_name = entity.type == MessageEntity.MENTION and words.startswith("@")
    is_command = entity.type == MessageEntity.BOT_COMMAND and "@" in words
    return (is_name or is_command) and words.rpartition("@")[2].lower() == bot.username.lower()


def command_in(message: Message, bot: Bot) -> str | None:
    """The command that a text or caption begins with, in small letters; None where it is another bot's, or none."""
    if not (message.text or message.caption):
        return None
    parse = message.parse_entities if message.text else message.parse_caption_entities
    for entity, words in parse([MessageEntity.BOT_COMMAND]).items():
        name, _, whose = words.removeprefix("/").lower().partition("@")
        if entity.offset == 0 and whose in ("", bot.username.lower()):
            return name
    return None


def emojis_of(reactions: Sequence[ReactionType]) -> tuple[str, ...]:
    """Those of Telegram's own; custom and paid ones say nothing to us."""
    return tuple(kind.emoji for kind in reactions if isinstance(kind, ReactionTypeEmoji))


def _request(update: Update, person: User, message: MaybeInaccessibleMessage) -> Request:
    return Request(
        update_id=update.update_id,
        person_id=person.id,
        chat_id=message.chat.id,
        message_id=message.message_id,
        language=language_of(person.language_code),
        choices=current_choices(),
        thread_id=_topic_of(message),
    )


def _topic_of(message: MaybeInaccessibleMessage) -> int | None:
    """The topic of a forum that a message stands in; replies elsewhere name a thread that nobody can write into."""
    return message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
