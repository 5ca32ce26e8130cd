"""Showing messages: the real `messenger.Messenger`, with Telegram's errors turned into ours.

Every message is plain text without link previews. Telling "gone" from "not now" is all that this module decides; who
waits, and how long, is for the callers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import telegram
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, ReplyParameters
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError, RetryAfter, TelegramError

from bot.errors import ChatGone, DeliveryError, MessageGone, NotNow
from bot.keyboards import Keyboard
from bot.messenger import Address

_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
_NETWORK_PAUSE_SECONDS = 2.0


class Delivery:
    """Sends and edits plain text."""

    def __init__(self, bot: telegram.Bot) -> None:
        self._bot = bot

    async def send(self, to: Address, text: str, buttons: Keyboard = ()) -> int:
        """Send a message and return its id."""
        reply = None
        if to.reply_to is not None:
            reply = ReplyParameters(to.reply_to, allow_sending_without_reply=True)
        with _translated():
            message = await self._bot.send_message(
                to.chat_id,
                text,
                message_thread_id=to.thread_id,
                reply_parameters=reply,
                reply_markup=_markup(buttons),
                link_preview_options=_NO_PREVIEW,
            )
        return message.message_id

    async def edit(self, chat_id: int, message_id: int, text: str, buttons: Keyboard = ()) -> None:
        """Make a message show a text."""
        with _translated():
            await self._bot.edit_message_text(
                text, chat_id, message_id, reply_markup=_markup(buttons), link_preview_options=_NO_PREVIEW
            )

    async def edit_buttons(self, chat_id: int, message_id: int, buttons: Keyboard) -> None:
        """Replace the buttons and leave the text."""
        with _translated():
            await self._bot.edit_message_reply_markup(chat_id, message_id, reply_markup=_markup(buttons))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RetryAfter as error:
        seconds = error.retry_after if isinstance(error.retry_after, int) else error.retry_after.total_seconds()
        raise NotNow("Telegram asks to wait.", seconds=float(seconds)) from error
    except (Forbidden, ChatMigrated) as error:
        raise ChatGone(f"The chat cannot be written to: {type(error).__name__}.") from error
    except BadRequest as error:
        wording = error.message.lower()
        if "not modified" in wording:
            return
        if "message to edit not found" in wording or "message can't be edited" in wording:
            raise MessageGone("The message to edit is gone.") from error
        if "chat not found" in wording:
            raise ChatGone("The chat does not exist any more.") from error
        raise DeliveryError(f"Telegram refuses the message: {error.message}.") from error
    except NetworkError as error:
        raise NotNow("Telegram cannot be reached.", seconds=_NETWORK_PAUSE_SECONDS) from error
    except TelegramError as error:
        raise DeliveryError(f"Telegram refuses the message: {type(error).__name__}.") from error


def _markup(buttons: Keyboard) -> InlineKeyboardMarkup | None:
    if not buttons:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(button.text, callback_data=button.data) for button in row] for row in buttons]
    )
