"""The real `messenger.Messenger`: sends and edits messages, and turns Telegram's errors into ours.

No message has a link preview, what a message shows already is not sent again, and markup that Telegram refuses is
shown as plain text. When a call may go out is the rate limiter's matter, and retrying is the callers'.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import httpx
from cachetools import LRUCache
from telegram import (
    ChatMemberAdministrator,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InlineQueryResultArticle,
    InlineQueryResultsButton,
    InputTextMessageContent,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
)
from telegram.constants import ChatType
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError, RetryAfter, TelegramError
from telegram.ext import ExtBot

from bot.common.errors import ChatGone, DeliveryError, MessageGone, NotNow
from bot.common.proxies import ProxyAway
from bot.common.text import TELEGRAM_LIMIT, Span, parse_markdown, truncate, utf16_length
from bot.messaging.messenger import Address, Keyboard, Offer, ReactionAccess, Urgency, with_footer
from bot.telegram.rate_limiter import seconds_of

_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
_NETWORK_PAUSE_SECONDS = 2.0
_REMEMBERED = 10_000
"""Messages of which we know what they show."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, ProxyAway)
_START_PARAMETER = "inline"
"""What /start is sent with by the line above the offered texts."""
_DESCRIPTION_UNITS = 120
"""UTF-16 units of a text that are shown in the list of offers."""


class Sender:
    """Sends and edits messages."""

    def __init__(self, bot: ExtBot[Urgency]) -> None:
        self._bot = bot
        self._shown: LRUCache[tuple[int, int], tuple[int, Keyboard]] = LRUCache(_REMEMBERED)
        """For (chat, message): a hash of the text and its spans, and the buttons."""

    async def send(self, to: Address, text: str, buttons: Keyboard = ()) -> int:
        """Send a message and return its id."""
        with _translated():
            message = await self._bot.send_message(
                to.chat_id, text, message_thread_id=to.thread_id, reply_parameters=_reply(to),
                reply_markup=_markup(buttons), link_preview_options=_NO_PREVIEW,
            )  # fmt: skip
        self._shown[to.chat_id, message.message_id] = (hash((text, ())), buttons)
        return message.message_id

    async def send_file(self, to: Address, content: bytes, *, name: str, caption: str) -> None:
        """Send a document."""
        with _translated():
            await self._bot.send_document(
                to.chat_id, content, filename=name, caption=caption, message_thread_id=to.thread_id,
                reply_parameters=_reply(to),
            )  # fmt: skip

    async def send_picture(self, to: Address, png: bytes, *, caption: str) -> None:
        """Send a picture."""
        with _translated():
            await self._bot.send_photo(
                to.chat_id, png, caption=caption, message_thread_id=to.thread_id, reply_parameters=_reply(to)
            )

    async def edit(
        self, chat_id: int, message_id: int, text: str, buttons: Keyboard = (), *, urgency: Urgency = Urgency.FINAL
    ) -> None:
        """Make a message show a plain text."""
        await self._edit(chat_id, message_id, text, (), buttons, urgency)

    async def edit_markdown(
        self, chat_id: int, message_id: int, body: str, footer: str, buttons: Keyboard = ()
    ) -> None:
        """Make a message show a Markdown text with a plain footer, or both as plain text if the markup is refused."""
        try:
            shown, spans = _marked_up(body, footer)
            await self._edit(chat_id, message_id, shown, spans, buttons, Urgency.FINAL)
        except _Refused:
            await self._edit(chat_id, message_id, with_footer(body, footer), (), buttons, Urgency.FINAL)

    async def edit_buttons(self, chat_id: int, message_id: int, buttons: Keyboard) -> None:
        """Replace the buttons and leave the text."""
        before = self._shown.get((chat_id, message_id))
        if before is not None and before[1] == buttons:
            return
        with _translated():
            await self._bot.edit_message_reply_markup(
                chat_id, message_id, reply_markup=_markup(buttons), rate_limit_args=Urgency.COUNTS
            )
        if before is not None:
            self._shown[chat_id, message_id] = (before[0], buttons)

    async def edit_inline_buttons(self, inline_message_id: str, buttons: Keyboard) -> None:
        """Replace the buttons of a message of inline mode."""
        with _translated():
            await self._bot.edit_message_reply_markup(
                inline_message_id=inline_message_id, reply_markup=_markup(buttons), rate_limit_args=Urgency.COUNTS
            )

    async def offer(self, query_id: str, offers: Sequence[Offer], hint: str = "") -> None:
        """Answer an inline query with texts to choose from, and a line that opens the private chat.

        Nothing of it is kept by Telegram, so that nothing is offered that has been erased meanwhile.
        """
        try:
            await self._offer(query_id, [_article(offer) for offer in offers], hint)
        except _Refused:
            await self._offer(query_id, [_article(offer, as_it_stands=True) for offer in offers], hint)

    async def delete(self, chat_id: int, message_id: int) -> None:
        """Delete a message."""
        with _translated():
            await self._bot.delete_message(chat_id, message_id)

    async def leave(self, chat_id: int) -> None:
        """Leave a group or channel."""
        with _translated():
            await self._bot.leave_chat(chat_id)

    async def reaction_access(self, chat_id: int) -> ReactionAccess:
        """Which reactions in a chat reach us."""
        is_admin = False
        with _translated():
            # By hand, for the library reads a list that is missing, which means all, as an empty one, which means none.
            chat = await self._bot.do_api_request("get_Chat", {"chat_id": chat_id})
            if chat["type"] != ChatType.PRIVATE:
                member = await self._bot.get_chat_member(chat_id, self._bot.id)
                is_admin = isinstance(member, ChatMemberAdministrator)
        allowed = chat.get("available_reactions")
        return ReactionAccess(is_admin, None if allowed is None else tuple(kind.get("emoji", "") for kind in allowed))

    async def _offer(self, query_id: str, articles: Sequence[InlineQueryResultArticle], hint: str) -> None:
        button = InlineQueryResultsButton(hint, start_parameter=_START_PARAMETER) if hint else None
        with _translated():
            await self._bot.answer_inline_query(query_id, articles, cache_time=0, is_personal=True, button=button)

    async def _edit(
        self, chat_id: int, message_id: int, text: str, spans: tuple[Span, ...], buttons: Keyboard, urgency: Urgency
    ) -> None:
        shows = (hash((text, spans)), buttons)
        if self._shown.get((chat_id, message_id)) == shows:
            return
        self._shown.pop((chat_id, message_id), None)  # until we know better: a call may fail and take effect
        with _translated():
            await self._bot.edit_message_text(
                text, chat_id, message_id, entities=_entities(spans),
                reply_markup=_markup(buttons), link_preview_options=_NO_PREVIEW, rate_limit_args=urgency,
            )  # fmt: skip
        self._shown[chat_id, message_id] = shows


def _reply(to: Address) -> ReplyParameters | None:
    return None if to.reply_to is None else ReplyParameters(to.reply_to, allow_sending_without_reply=True)


def _marked_up(body: str, footer: str) -> tuple[str, tuple[Span, ...]]:
    """A Markdown text with a plain footer, as it is to be shown.

    Raises:
        _Refused: it cannot be shown so.
    """
    text, spans = parse_markdown(body)
    shown = with_footer(text, footer)
    if not text.strip() or utf16_length(shown) > TELEGRAM_LIMIT:
        raise _Refused("The markup is all there is, or it makes the text too long.")
    return shown, spans


def _entities(spans: tuple[Span, ...]) -> list[MessageEntity] | None:
    return [MessageEntity(it.kind, it.offset, it.length, language=it.language) for it in spans] or None


def _article(offer: Offer, *, as_it_stands: bool = False) -> InlineQueryResultArticle:
    text, spans = f"{offer.body}\n\n{offer.footer}", tuple[Span, ...]()
    if offer.is_markdown and not as_it_stands:
        with suppress(_Refused):
            text, spans = _marked_up(offer.body, offer.footer)
    content = InputTextMessageContent(text, entities=_entities(spans), link_preview_options=_NO_PREVIEW)
    begins = truncate(" ".join(text.removesuffix(offer.footer).split()), _DESCRIPTION_UNITS)
    return InlineQueryResultArticle(
        offer.token, offer.title, content, reply_markup=_markup(offer.buttons), description=begins
    )


class _Refused(DeliveryError):
    """Telegram does not take the message as it is."""


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RetryAfter as error:
        raise NotNow("Telegram asks to wait.", seconds=seconds_of(error)) from error
    except (Forbidden, ChatMigrated) as error:
        raise ChatGone(f"The chat cannot be written to: {type(error).__name__}.") from error
    except BadRequest as error:
        wording = error.message.lower()
        if "not modified" in wording or "message to delete not found" in wording:
            return
        if "message to edit not found" in wording or "message can't be edited" in wording:
            raise MessageGone("The message to edit is gone.") from error
        if "query is too old" in wording:
            raise MessageGone("Nobody waits for the answer any more.") from error
        if "chat not found" in wording:
            raise ChatGone("The chat does not exist any more.") from error
        raise _Refused("Telegram refuses the message as it is.") from error  # its own words may quote the text
    except NetworkError as error:
        is_unknown = not isinstance(error.__cause__, _NOT_SENT)
        raise NotNow("Telegram cannot be reached.", seconds=_NETWORK_PAUSE_SECONDS, is_unknown=is_unknown) from error
    except TelegramError as error:
        raise DeliveryError(f"Telegram refuses the message: {type(error).__name__}.") from error


def _markup(buttons: Keyboard) -> InlineKeyboardMarkup | None:
    if not buttons:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(button.text, callback_data=button.data) for button in row] for row in buttons]
    )
