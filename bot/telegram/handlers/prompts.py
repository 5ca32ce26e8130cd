"""Those who write in a group as the group itself, or as a channel of theirs: who addresses the bot so is told why not.

Nobody can tell them apart, so limits, consent and /forget could not be theirs. What Telegram brings from the group's
channel is addressed to nobody. Install it before all that answers people.

A channel's post that is a kind's command, answered by a post with the text. Unpacks and calls the service.

Telegram does not say which of the editors wrote it: the channel asks as itself, with limits of its own, and as it
cannot agree to anything, nothing learns from it. All other posts are nobody's business here.

/duel: two texts for one prompt, and 🏆 under the better one. Unpacks and calls the services.

Prompts: the kinds' commands, plain text, mentions and replies in words. Unpacks and calls the service.

The buttons that ask for another text or a changed one: 🔁, and ✏️ with its wishes. Unpacks and calls the services.

Stopping what is being written: ⏹ for one text, /cancel for all of a person's. Unpacks and calls the service.
"""

from datetime import UTC, datetime
from typing import Any

from telegram import CallbackQuery, Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, MessageHandler, filters

from bot.common.errors import Refusal
from bot.common.i18n import language_of, say
from bot.common.kinds import TAKEN, Kind, Kinds, language_of_topic
from bot.feedback.buttons import RatingButtons
from bot.feedback.ratings import Feedback
from bot.generation.service import GenerationService, Request
from bot.messaging.keyboards import WISHES
from bot.telegram.message import answer, incoming, is_ours, pressed, toast, topic_of, without_mention
from bot.telegram.sender import Delivery

_FROM_A_CHAT = filters.UpdateType.MESSAGE & filters.SenderChat.ALL & ~filters.IS_AUTOMATIC_FORWARD


def anonymous_handlers(kinds: Kinds) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the commands, and one for mentions and replies."""

    async def on_command(_update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        raise Refusal("written-as-chat")

    async def on_text(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = update.message
        if message is None or message.text is None:
            return
        _, is_mentioned = without_mention(context.bot.username, message.text)
        if is_mentioned or is_ours(message.reply_to_message, bot_id=context.bot.id):
            raise Refusal("written-as-chat")

    return [
        CommandHandler([*kinds.by_name, *TAKEN], on_command, filters=_FROM_A_CHAT),
        MessageHandler(_FROM_A_CHAT & filters.TEXT, on_text),
    ]


def channel_handlers(service: GenerationService, kinds: Kinds) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for each kind's command."""

    def command(kind: Kind) -> CommandHandler[Any, Any]:
        async def on_post(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
            post = update.channel_post
            if post is None or post.text is None:
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
            await service.write(request, kind, topic)

        return CommandHandler(kind.name, on_post, filters=filters.UpdateType.CHANNEL_POST)

    return [command(kind) for kind in kinds.by_name.values()]


def duel_handlers(service: GenerationService, feedback: Feedback, kinds: Kinds) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the command and the button."""

    async def on_duel(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        kind, topic = kinds.named_first(message.argument)
        if not topic.strip():
            raise Refusal("duel-usage")
        await service.write(message.request, kind, topic, texts=2)

    async def on_better(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if query.message is None:
            return
        consented = await feedback.choose(
            chat_id=query.message.chat.id,
            message_id=query.message.message_id,
            person_id=query.from_user.id,
            generation_id=generation,
            at=datetime.now(UTC),
        )
        await toast(query, "duel-thanks" if consented else "duel-thanks-no-consent")

    return [
        CommandHandler("duel", on_duel, filters=filters.UpdateType.MESSAGE),
        CallbackQueryHandler(on_better, pattern=r"^better:\d{1,18}$"),
    ]


def generate_handlers(service: GenerationService, kinds: Kinds) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for each kind's command, and one for addressed text."""

    def command(kind: Kind) -> CommandHandler[Any, Any]:
        async def on_command(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
            message = incoming(update, bot_id=context.bot.id)
            if message is not None:
                await service.write(message.request, kind, message.argument)

        return CommandHandler(kind.name, on_command, filters=filters.UpdateType.MESSAGE)

    async def on_text(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        words = message.text
        if message.replies_to is not None and await service.refine(
            message.request, message.replies_to, lambda _: words
        ):
            return
        topic, is_mentioned = without_mention(context.bot.username, message.text)
        if message.is_private or is_mentioned:
            await service.write(message.request, kinds.default, topic)

    text = MessageHandler(filters.UpdateType.MESSAGE & filters.TEXT & ~filters.COMMAND, on_text)
    return [*(command(kind) for kind in kinds.by_name.values()), text]


def rework_handlers(service: GenerationService, rating_buttons: RatingButtons) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the buttons."""

    async def on_again(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if (request := _request(update, query)) is not None:
            await service.again(request, generation)
            await toast(query, "again-coming")

    async def on_refine(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if (request := _request(update, query)) is not None:
            await rating_buttons.offer_wishes(generation, chat_id=request.chat_id, shown_in=request.message_id)
            await toast(query, "refine-how")

    async def on_wish(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.data is None or (request := _request(update, query)) is None:
            return
        _wish, generation, name = query.data.split(":")

        def wish(text: str) -> str:
            return say(language_of_topic(text), f"wish-{name}-words")

        if not await service.refine(request, request.message_id, wish, generation=int(generation)):
            raise Refusal("generation-unknown")
        await toast(query, "wish-coming")

    return [
        CallbackQueryHandler(on_again, pattern=r"^again:\d{1,18}$"),
        CallbackQueryHandler(on_refine, pattern=r"^refine:\d{1,18}$"),
        CallbackQueryHandler(on_wish, pattern=rf"^wish:\d{{1,18}}:({'|'.join(WISHES)})$"),
    ]


def _request(update: Update, query: CallbackQuery) -> Request | None:
    """Who presses, as one who asks by the message that shows the text."""
    if query.message is None:
        return None
    return Request(
        update_id=update.update_id,
        person_id=query.from_user.id,
        chat_id=query.message.chat.id,
        message_id=query.message.message_id,
        language=language_of(query.from_user.language_code),
        thread_id=topic_of(query.message),
    )


def stop_handlers(service: GenerationService, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the button and the command."""

    async def on_stop(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if query.message is not None:
            is_stopped = await service.stop(
                generation,
                shown_in=query.message.message_id,
                chat_id=query.message.chat.id,
                person_id=query.from_user.id,
            )
            await toast(query, "stopped" if is_stopped else "orphan-removed")

    async def on_cancel(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            stopped = await service.cancel(message.request.chat_id, message.request.person_id)
            await answer(delivery, message, "cancel-done" if stopped else "cancel-nothing", texts=stopped)

    return [
        CallbackQueryHandler(on_stop, pattern=r"^stop:\d{1,18}$"),
        CommandHandler("cancel", on_cancel, filters=filters.UpdateType.MESSAGE),
    ]
