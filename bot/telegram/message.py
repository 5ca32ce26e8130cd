"""Reading an update: who speaks, where, in which language, and answering there. Knows Telegram's types, no service."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from telegram import CallbackQuery, MaybeInaccessibleMessage, Message, Update
from telegram.error import TelegramError

from bot.common.i18n import language_of, say
from bot.generation.service import Request
from bot.messaging.confirmations import Confirmations, Done
from bot.messaging.keyboards import Keyboard, confirm_buttons
from bot.messaging.messenger import Address, patiently
from bot.telegram.sender import Delivery

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from a person, taken apart."""

    request: Request
    text: str
    is_private: bool
    replies_to: int | None
    """The message it replies to, if that one is ours."""
    is_forwarded: bool

    @property
    def language(self) -> str:
        """The person's language, as far as we speak it."""
        return self.request.language

    @property
    def argument(self) -> str:
        """What follows the command."""
        words = self.text.split(maxsplit=1)
        return words[1] if len(words) > 1 else ""


def incoming(update: Update, *, bot_id: int) -> Incoming | None:
    """The person's message in an update; None for anonymous senders, channels, bots, and texts of ours sent inline."""
    message, person = update.message, update.effective_user
    if message is None or person is None or person.is_bot or message.sender_chat is not None:
        return None
    if message.via_bot is not None and message.via_bot.id == bot_id:
        return None
    replied = replied_to(message)
    return Incoming(
        request=Request(
            update_id=update.update_id,
            person_id=person.id,
            chat_id=message.chat_id,
            message_id=message.message_id,
            language=language_of(person.language_code),
            thread_id=topic_of(message),
        ),
        text=message.text or "",
        is_private=message.chat.type == "private",
        replies_to=replied.message_id if replied is not None and is_ours(replied, bot_id=bot_id) else None,
        is_forwarded=message.forward_origin is not None,
    )


async def answer(delivery: Delivery, to: Incoming, text: str, *, buttons: Keyboard = (), **values: str | float) -> int:
    """Reply to a message with the sentence `text` of the locales; returns the reply's id."""
    return await reply(delivery, to, say(to.language, text, **values), buttons)


async def ask_first(
    delivery: Delivery,
    confirmations: Confirmations,
    message: Incoming,
    do: Callable[[], Awaitable[Done]],
    question: str,
    **values: str | float,
) -> None:
    """Ask the sender whether something is really to be done; the buttons do it, or drop it."""
    request = message.request
    nonce = confirmations.ask(do, person_id=request.person_id, chat_id=request.chat_id)
    await answer(delivery, message, question, buttons=confirm_buttons(message.language, nonce), **values)


async def reply(delivery: Delivery, to: Incoming, words: str, buttons: Keyboard = ()) -> int:
    """Reply to a message with words that are finished already; returns the reply's id."""
    return await patiently(lambda: delivery.send(address_of(to), words, buttons))


def address_of(message: Incoming) -> Address:
    """Where a reply to a message goes."""
    request = message.request
    return Address(chat_id=request.chat_id, reply_to=request.message_id, thread_id=request.thread_id)


def pressed(update: Update) -> tuple[CallbackQuery, int]:
    """The query, and the generation that its button names; the handler's pattern has checked the form."""
    query = update.callback_query
    assert query is not None and query.data is not None, "a callback handler gets callback queries with data"
    return query, int(query.data.partition(":")[2])


async def toast(query: CallbackQuery, text: str, *, show_alert: bool = False, **values: str | float) -> None:
    """Answer a press with a sentence of the locales. One that is too old to be answered has had its effect."""
    try:
        await query.answer(say(language_of(query.from_user.language_code), text, **values), show_alert=show_alert)
    except TelegramError as error:
        logger.info("a press could not be answered: %s", type(error).__name__)


def topic_of(message: MaybeInaccessibleMessage) -> int | None:
    """The topic of a forum that a message stands in; replies elsewhere name a thread that nobody can write into."""
    return message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None


def is_ours(message: Message | None, *, bot_id: int) -> bool:
    """Whether there is a message, and we have sent it."""
    return message is not None and message.from_user is not None and message.from_user.id == bot_id


def without_mention(username: str, text: str) -> tuple[str, bool]:
    """The text without the first mention of us, and whether there was one."""
    mention = f"@{username}"
    at = text.lower().find(mention.lower())
    return (text, False) if at < 0 else (f"{text[:at]}{text[at + len(mention) :]}", True)


def replied_to(message: Message) -> Message | None:
    """The message that a person replies to; every first message in a topic replies to the notice of its opening."""
    replied = message.reply_to_message
    return None if replied is None or replied.forum_topic_created is not None else replied
