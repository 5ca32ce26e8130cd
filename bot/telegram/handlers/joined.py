"""The bot is brought into a group or channel, or its standing there changes: one message says what it sees and lacks.

Not in a channel itself, for all its subscribers would read it; whoever brought the bot there is told in private, as far
as they have a chat with it. Unpacks and answers; nothing is stored.
"""

import contextlib
from typing import Any

from telegram import ChatMember, ChatMemberAdministrator, Update
from telegram.constants import ChatMemberStatus, ChatType
from telegram.ext import BaseHandler, ChatMemberHandler, ContextTypes

from bot.common.errors import DeliveryError
from bot.common.texts import language_of, say
from bot.messaging.messenger import Address, patiently
from bot.telegram.delivery import Delivery

_OUTSIDE = (ChatMemberStatus.LEFT, ChatMemberStatus.BANNED)


def handlers(delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for every change of the bot's standing."""

    async def on_change(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        change = update.my_chat_member
        if change is None or change.chat.type == ChatType.PRIVATE:
            return
        is_channel = change.chat.type == ChatType.CHANNEL
        text = _text(change.old_chat_member, change.new_chat_member, is_channel=is_channel)
        if text is None:
            return
        to = Address(chat_id=change.from_user.id if is_channel else change.chat.id)
        reads = "all" if context.bot.bot.can_read_all_group_messages else "some"
        posts = "yes" if getattr(change.new_chat_member, "can_post_messages", False) else "no"
        language, title = language_of(change.from_user.language_code), change.chat.title or ""
        words = say(language, text, chat=title, reads=reads, posts=posts)
        with contextlib.suppress(DeliveryError):  # it may not write there, or not yet
            await patiently(lambda: delivery.send(to, words))

    return [ChatMemberHandler(on_change, ChatMemberHandler.MY_CHAT_MEMBER)]


def _text(before: ChatMember, now: ChatMember, *, is_channel: bool) -> str | None:
    """The id of the sentence that the change calls for; None where there is nothing to say, or nobody to say it to."""
    if now.status in _OUTSIDE:
        return None
    is_admin, was_admin = (isinstance(member, ChatMemberAdministrator) for member in (now, before))
    if is_channel:
        return "joined-channel" if is_admin and not was_admin else None
    if before.status in _OUTSIDE:
        return "joined-admin" if is_admin else "joined-member"
    if is_admin != was_admin:
        return "promoted" if is_admin else "demoted"
    return None
