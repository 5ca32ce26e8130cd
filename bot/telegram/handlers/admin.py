"""The operator's commands for learning, behind the guard: /retrain, /models, /promote, /approve, /rollback, and ↩️ under
the digest.
"""

from typing import Any

from telegram import CallbackQuery
from telegram.ext import BaseHandler

from bot.common.errors import Refusal
from bot.learning.nightly import Nightly
from bot.messaging.confirmations import Confirmations, Done
from bot.messaging.messenger import patiently
from bot.operations.models import Models
from bot.reporting.bulletin import Bulletin
from bot.telegram.delivery import Delivery
from bot.telegram.handlers.guard import Guard
from bot.telegram.incoming import Incoming, answer, ask_first, reply, toast
from storage.db.records import Announcement


class AdminCommands:
    """What each command does once it is known to come from an admin in private."""

    def __init__(
        self, *, nightly: Nightly, models: Models, bulletin: Bulletin, delivery: Delivery, confirmations: Confirmations
    ) -> None:
        self._nightly = nightly
        self._models = models
        self._bulletin = bulletin
        self._delivery = delivery
        self._confirmations = confirmations

    async def retrain(self, message: Incoming) -> str | None:
        """/retrain, /retrain status, /retrain cancel."""
        wish = message.argument.strip().lower()
        if wish == "status":
            await reply(self._delivery, message, await self._bulletin.status(message.language))
            return None
        if wish == "cancel":
            text = "retrain-cancelling" if self._nightly.cancel() else "retrain-none"
            await answer(self._delivery, message, text)
            return wish
        if wish:
            raise Refusal("retrain-usage")
        return await self._begin(message)

    async def models(self, message: Incoming) -> None:
        """/models."""
        await answer(self._delivery, message, "models", list=await self._models.listing(message.language))

    async def promote(self, message: Incoming) -> str:
        """/promote NAME."""
        return await self._promoted(message, otherwise="promote-usage")

    async def approve(self, message: Incoming) -> str:
        """/approve: the one that waits."""
        return await self._promoted(message, otherwise="approve-nothing")

    async def _promoted(self, message: Incoming, *, otherwise: str) -> str:
        name = await self._models.promote(message.argument.strip().lower(), otherwise=otherwise)
        await answer(self._delivery, message, "promote-done", version=name)
        return name

    async def roll_back(self, message: Incoming) -> None:
        """/rollback, once it is confirmed."""

        async def do() -> Done:
            version = await self._models.roll_back()
            return Done("rollback-done", {"version": version}, "rollback", version)

        leaves, comes = await self._models.after_roll_back()
        await ask_first(
            self._delivery, self._confirmations, message, do, "rollback-confirm", leaves=leaves, comes=comes
        )

    async def undo(self, query: CallbackQuery, version: str) -> None:
        """↩️ under the morning digest."""
        serving = await self._models.undo(version)
        await toast(query, "rollback-done", show_alert=True, version=serving)
        if query.message is not None:
            chat_id, message_id = query.message.chat.id, query.message.message_id
            await patiently(lambda: self._delivery.edit_buttons(chat_id, message_id, ()))

    async def _begin(self, message: Incoming) -> str:
        run = await self._nightly.begin()
        if run is None:
            raise Refusal("retrain-running")
        shown_in = await answer(self._delivery, message, "retrain-begun", run=run.id)
        chat_id = message.request.chat_id
        await self._bulletin.follow(
            run.id, Announcement(chat_id=chat_id, message_id=shown_in, language=message.language)
        )
        return f"run {run.id}"


def handlers(commands: AdminCommands, guard: Guard) -> list[BaseHandler[Any, Any, Any]]:
    """The commands, guarded."""
    return [
        guard.command("retrain", commands.retrain),
        guard.command("models", commands.models),
        guard.command("promote", commands.promote),
        guard.command("approve", commands.approve),
        guard.command("rollback", commands.roll_back),
        guard.button(r"^undo:v\d{1,18}$", commands.undo),
    ]
