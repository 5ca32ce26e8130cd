"""/about, as a reply to a text: what wrote it; alone: what writes now. Unpacks and calls the service.

/check with a text, or as a reply to one: did this bot write it? Alone: do reactions and presses reach it?

Unpacks, calls the services and answers. The reactions of the test come by `react`, like all others.

The small commands: /start, /help, and a sentence for commands and buttons that do not exist (any more).

/settings and its buttons, which change in place. Unpacks, calls the service, shows what holds now.

/stats: the picture of what is learned here. Unpacks and calls the service.

/top: the best-loved texts of the week in this chat. Unpacks and calls the service.
"""

from datetime import UTC, datetime
from typing import Any

from telegram import Bot, Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, MessageHandler, filters

from bot.common.errors import Refusal
from bot.common.i18n import language_of, say, speak
from bot.common.kinds import Kinds
from bot.feedback.reaction_test import ReactionTest
from bot.generation.preferences import Preferences
from bot.learning.preference_sync import OWN_TASTE
from bot.messaging.keyboards import consent_buttons
from bot.messaging.messenger import patiently
from bot.moderation.provenance import ProvenanceCheck
from bot.privacy.consent import Consent
from bot.reporting.model_cards import Cards
from bot.reporting.statistics import Favourites, StatisticsCharts
from bot.telegram.message import Incoming, address_of, answer, incoming, replied_to, reply, toast
from bot.telegram.sender import Delivery


def about_handlers(cards: Cards, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the command."""

    async def on_about(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        if message.replies_to is None:
            words = await cards.of_champion(message.language)
        else:
            words = await cards.of_text(message.request.chat_id, message.replies_to, message.language)
        await reply(delivery, message, words)

    return [CommandHandler("about", on_about, filters=filters.UpdateType.MESSAGE)]


def check_handlers(
    provenance: ProvenanceCheck, reaction_test: ReactionTest, delivery: Delivery
) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the command and the button of the test."""

    async def on_check(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None or update.message is None:
            return
        replied = replied_to(update.message)
        text = message.argument.strip() or (replied.text if replied is not None else None)
        if not text and replied is None:
            await reaction_test.begin(address_of(message), message.language)
            return
        if not text:
            raise Refusal("check-usage")
        request = message.request
        sentence, number = await provenance.verdict(text, person_id=request.person_id, chat_id=request.chat_id)
        if number is None:
            await answer(delivery, message, sentence)
        else:
            await answer(delivery, message, sentence, generation=str(number))

    async def on_press(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is not None and query.message is not None:
            reaction_test.pressed(chat_id=query.message.chat.id, message_id=query.message.message_id)
            await toast(query, "check-live-pressed")

    return [
        CommandHandler("check", on_check, filters=filters.UpdateType.MESSAGE),
        CallbackQueryHandler(on_press, pattern=r"^live$"),
    ]


def start_handlers(kinds: Kinds, delivery: Delivery, consent: Consent) -> list[BaseHandler[Any, Any, Any]]:
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


def settings_handlers(preferences: Preferences, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the command and its buttons."""

    async def on_settings(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            request = message.request
            buttons = await preferences.buttons(request.person_id, request.chat_id, message.language)
            await answer(delivery, message, "settings", buttons=buttons)

    async def on_choice(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.message is None or query.data is None:
            return
        chat_id, message_id, person_id = query.message.chat.id, query.message.message_id, query.from_user.id
        _set, name, value, owner = query.data.split(":")
        await preferences.choose(person_id, chat_id, name, value, owner=owner, at=datetime.now(UTC))
        speak(await preferences.language(person_id, chat_id))
        await toast(query, f"settings-own-taste-{value}" if name == OWN_TASTE else "settings-changed")
        language = language_of(query.from_user.language_code)
        buttons = await preferences.buttons(person_id, chat_id, language)
        await patiently(lambda: delivery.edit(chat_id, message_id, say(language, "settings"), buttons))

    return [
        CommandHandler("settings", on_settings, filters=filters.UpdateType.MESSAGE),
        CallbackQueryHandler(on_choice, pattern=r"^set:[a-z_]{1,16}:[a-z]{1,12}:[0-9a-f]{12}$"),
    ]


def stats_handlers(charts: StatisticsCharts, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the command."""

    async def on_stats(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        request = message.request
        picture = await charts.picture(
            chat_id=request.chat_id, person_id=request.person_id, is_private=message.is_private,
            language=message.language,
        )  # fmt: skip
        await patiently(lambda: delivery.send_picture(address_of(message), picture.png, caption=picture.caption))

    return [CommandHandler("stats", on_stats, filters=filters.UpdateType.MESSAGE)]


def top_handlers(favourites: Favourites, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the command."""

    async def on_top(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            await reply(delivery, message, await favourites.of_chat(message.request.chat_id, message.language))

    return [CommandHandler("top", on_top, filters=filters.UpdateType.MESSAGE)]
