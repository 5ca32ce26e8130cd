"""The bot is added to a group or channel, or its rights there change: one message says what it sees and lacks.

Not in a channel itself, for all its subscribers would read it: whoever added the bot is told in private, if they have a
chat with it. Also: a group becomes a supergroup with another id, which Telegram announces in both.
"""

import contextlib

from telegram import ChatMember, ChatMemberAdministrator, Update
from telegram.constants import ChatMemberStatus, ChatType
from telegram.ext import ChatMemberHandler, ContextTypes, MessageHandler, filters

from bot.common.errors import DeliveryError
from bot.common.i18n import language_of, say
from bot.common.keys import Pseudonyms
from bot.messaging.messenger import Address, with_retries
from bot.telegram.message import Handler
from bot.telegram.sender import Sender
from storage.db.database import Database
from storage.tables import people

_OUTSIDE = (ChatMemberStatus.LEFT, ChatMemberStatus.BANNED)


def handlers(sender: Sender, db: Database, pseudonyms: Pseudonyms) -> list[Handler]:
    """For every change of the bot's own membership, and for the two service messages about a new id."""

    async def on_change(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        change = update.my_chat_member
        if change is None or change.chat.type == ChatType.PRIVATE:
            return
        is_channel = change.chat.type == ChatType.CHANNEL
        text = _sentence_for(change.old_chat_member, change.new_chat_member, is_channel=is_channel)
        if text is None:
            return
        to = Address(chat_id=change.from_user.id if is_channel else change.chat.id)
        reads = "all" if context.bot.bot.can_read_all_group_messages else "some"
        posts = "yes" if getattr(change.new_chat_member, "can_post_messages", False) else "no"
        language, title = language_of(change.from_user.language_code), change.chat.title or ""
        words = say(language, text, chat=title, reads=reads, posts=posts)
        with contextlib.suppress(DeliveryError):  # it may not write there, or not yet
            await with_retries(lambda: sender.send(to, words))

    async def on_migration(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        message = update.message
        if message is not None:
            old = message.migrate_from_chat_id or message.chat_id
            new = message.migrate_to_chat_id or message.chat_id
            await people.move_chat(db, pseudonyms.chat(old), pseudonyms.chat(new))

    return [
        ChatMemberHandler(on_change, ChatMemberHandler.MY_CHAT_MEMBER),
        MessageHandler(filters.StatusUpdate.MIGRATE, on_migration),
    ]


def _sentence_for(before: ChatMember, now: ChatMember, *, is_channel: bool) -> str | None:
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
