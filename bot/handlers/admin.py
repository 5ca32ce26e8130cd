"""The operator's commands, for numeric admin ids in private chats: /retrain, /models, /promote, /approve, /rollback."""

from collections.abc import Awaitable, Callable
from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes, filters

from bot.bulletin import Bulletin
from bot.delivery import Delivery
from bot.errors import Refusal
from bot.incoming import Incoming, answer, incoming, reply
from bot.models import Models
from bot.nightly import Nightly
from storage.records import Announcement


class AdminCommands:
    """What each command does once it is known to come from an admin in private."""

    def __init__(self, *, nightly: Nightly, models: Models, bulletin: Bulletin, delivery: Delivery) -> None:
        self._nightly = nightly
        self._models = models
        self._bulletin = bulletin
        self._delivery = delivery

    async def retrain(self, message: Incoming) -> None:
        """/retrain, /retrain status, /retrain cancel."""
        wish = message.argument.strip().lower()
        if wish == "status":
            await reply(self._delivery, message, await self._bulletin.status(message.language))
        elif wish == "cancel":
            text = "retrain-cancelling" if self._nightly.cancel() else "retrain-none"
            await answer(self._delivery, message, text)
        elif wish:
            raise Refusal("retrain-usage")
        else:
            await self._begin(message)

    async def models(self, message: Incoming) -> None:
        """/models."""
        await answer(self._delivery, message, "models", list=await self._models.listing(message.language))

    async def promote(self, message: Incoming) -> None:
        """/promote NAME and /approve."""
        name = await self._models.promote(message.argument.strip().lower())
        await answer(self._delivery, message, "promote-done", version=name)

    async def roll_back(self, message: Incoming) -> None:
        """/rollback."""
        await answer(self._delivery, message, "rollback-done", version=await self._models.roll_back())

    async def _begin(self, message: Incoming) -> None:
        run = await self._nightly.begin()
        if run is None:
            raise Refusal("retrain-running")
        shown_in = await answer(self._delivery, message, "retrain-begun", run=run.id)
        chat_id = message.request.chat_id
        await self._bulletin.follow(
            run.id, Announcement(chat_id=chat_id, message_id=shown_in, language=message.language)
        )


def handlers(commands: AdminCommands, admin_ids: tuple[int, ...]) -> list[BaseHandler[Any, Any, Any]]:
    """The commands, guarded: strangers, and admins in groups, are answered with a sentence."""

    def guarded(name: str, command: Callable[[Incoming], Awaitable[None]]) -> CommandHandler[Any, Any]:
        async def on_command(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
            message = incoming(update, bot_id=context.bot.id)
            if message is None:
                return
            if message.request.person_id not in admin_ids:
                raise Refusal("admin-only")
            if not message.is_private:
                raise Refusal("admin-private")
            await command(message)

        return CommandHandler(name, on_command, filters=filters.UpdateType.MESSAGE)

    return [
        guarded("retrain", commands.retrain),
        guarded("models", commands.models),
        guarded("promote", commands.promote),
        guarded("approve", commands.promote),
        guarded("rollback", commands.roll_back),
    ]
