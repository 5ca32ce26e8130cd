"""The small commands: /start, /help, and a sentence for commands and buttons that do not exist (any more)."""

from typing import Any

from telegram import Bot, Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, MessageHandler, filters

from bot.common.kinds import Kinds
from bot.common.texts import say
from bot.messaging.keyboards import consent_buttons
from bot.privacy.consent import Consent
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import Incoming, answer, incoming, reply, toast


def handlers(kinds: Kinds, delivery: Delivery, consent: Consent) -> list[BaseHandler[Any, Any, Any]]:
    """/start and /help; in private chats also the answer to any other command. Install this module last."""

    async def on_start(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            await answer(
                delivery, message, "start", buttons=consent_buttons(message.language), kinds=_menu(message, kinds)
            )
            await consent.note_asked(message.request.chat_id)

    async def on_help(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            await reply(delivery, message, _help(message, kinds, context.bot))

    async def on_unknown(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        command = message.text.split(maxsplit=1)[0]
        is_ours = command.lower().endswith(f"@{context.bot.username.lower()}")
        if message.is_private or is_ours:  # in a group, a command without our name may be meant for another bot
            await answer(delivery, message, "command-unknown", command=command.partition("@")[0])

    async def on_other(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            await answer(delivery, message, "text-only")

    only_new = filters.UpdateType.MESSAGE
    return [
        CommandHandler("start", on_start, filters=only_new),
        CommandHandler("help", on_help, filters=only_new),
        MessageHandler(only_new & filters.COMMAND, on_unknown),
        CallbackQueryHandler(_on_old_button),
        MessageHandler(only_new & filters.ChatType.PRIVATE & ~filters.TEXT & ~filters.StatusUpdate.ALL, on_other),
    ]


async def _on_old_button(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
    query = update.callback_query
    if query is not None:
        await toast(query, "button-old", show_alert=True)


def _help(message: Incoming, kinds: Kinds, bot: Bot) -> str:
    words = say(message.language, "help", kinds=_menu(message, kinds))
    if not bot.supports_inline_queries:
        return words
    inline = say(message.language, "help-inline", name=bot.username)
    return f"{words}\n\n{inline}"


def _menu(message: Incoming, kinds: Kinds) -> str:
    return "\n".join(f"/{kind.name} — {kind.description[message.language]}" for kind in kinds.by_name.values())
