"""The guard before the operator's commands: a numeric admin id, in a private chat, as a new message. Nobody else.

Usernames, anonymous admins, forwarded and edited messages do not count. What an admin has done goes into the audit.

The yes and no buttons under a question that must not be answered by accident. Unpacks, and says what was done.

The operator's commands for learning, behind the guard: /retrain, /models, /promote, /approve, /rollback, and ↩️ under
the digest.

The operator's commands for the house: /health, /backup, /audit, /ban, /unban, behind the guard.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from telegram import CallbackQuery, Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.common.errors import Refusal
from bot.common.i18n import language_of, say
from bot.common.keys import Pseudonyms
from bot.learning.nightly import Nightly
from bot.messaging.confirmations import Confirmations, Done
from bot.messaging.messenger import patiently
from bot.moderation.bans import Bans
from bot.operations.backups import Backups
from bot.operations.health import Health
from bot.operations.version_admin import VersionAdmin
from bot.reporting.run_messages import RunMessages
from bot.telegram.message import Incoming, answer, ask_first, incoming, reply, toast
from bot.telegram.sender import Delivery
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.db.records import AuditEntry, ProgressMessage
from storage.tables import moderation

Command = Callable[[Incoming], Awaitable[str | None]]
"""Carries a command out; returns what is to stand in the audit beside its name, or None for one that only looks."""

Press = Callable[[CallbackQuery, str], Awaitable[None]]
"""Carries out what a button stands for, given what follows its name."""


class Guard:
    """Makes handlers for commands that only admins may use."""

    def __init__(self, *, db: Database, pseudonyms: Pseudonyms, admin_ids: tuple[int, ...]) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._admin_ids = admin_ids

    def command(self, name: str, command: Command) -> CommandHandler[Any, Any]:
        """A handler for one command; strangers, and admins in groups, are answered with a sentence."""

        async def on_command(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
            message = incoming(update, bot_id=context.bot.id)
            if message is None:
                return
            if not self.knows(message.request.person_id):
                raise Refusal("admin-only")
            if not message.is_private:
                raise Refusal("admin-private")
            if message.is_forwarded:
                raise Refusal("admin-forwarded")
            detail = await command(message)
            if detail is not None:
                await self.record(message.request.person_id, name, detail)

        return CommandHandler(name, on_command, filters=filters.UpdateType.MESSAGE)

    def button(self, pattern: str, press: Press) -> CallbackQueryHandler[Any, Any]:
        """A handler for one button of messages to admins; others are answered with a sentence."""

        async def on_press(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
            query = update.callback_query
            if query is None or query.data is None:
                return
            if not self.knows(query.from_user.id):
                raise Refusal("admin-only")
            name, _colon, value = query.data.partition(":")
            await press(query, value)
            await self.record(query.from_user.id, name, value)

        return CallbackQueryHandler(on_press, pattern=pattern)

    def knows(self, person_id: int) -> bool:
        """Whether a person is an admin."""
        return person_id in self._admin_ids

    async def record(self, person_id: int, action: str, detail: str) -> None:
        """Put a entry into the audit."""
        entry = AuditEntry(datetime.now(UTC), self._pseudonyms.person(person_id), action, detail)
        await moderation.append_audit(self._db, entry)


def confirmation_handlers(
    confirmations: Confirmations, delivery: Delivery, db: Database, pseudonyms: Pseudonyms
) -> list[BaseHandler[Any, Any, Any]]:
    """One handler for both buttons."""

    async def on_answer(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.message is None or query.data is None:
            return
        word, _colon, nonce = query.data.partition(":")
        chat_id, message_id = query.message.chat.id, query.message.message_id
        person_id = query.from_user.id
        done = await confirmations.answer(nonce, is_yes=word == "yes", person_id=person_id, chat_id=chat_id)
        language = language_of(query.from_user.language_code)
        if done is None:
            words = say(language, "confirm-dropped")
        else:
            actor = "somebody" if done.is_nameless else pseudonyms.person(person_id)
            await moderation.append_audit(db, AuditEntry(datetime.now(UTC), actor, done.action, done.detail))
            words = say(language, done.text, **done.values)
        await toast(query, "confirm-heard")
        await patiently(lambda: delivery.edit(chat_id, message_id, words))

    return [CallbackQueryHandler(on_answer, pattern=r"^(yes|no):[\w-]{16}$")]


class AdminCommands:
    """What each command does once it is known to come from an admin in private."""

    def __init__(
        self,
        *,
        nightly: Nightly,
        versions: VersionAdmin,
        messages: RunMessages,
        delivery: Delivery,
        confirmations: Confirmations,
    ) -> None:
        self._nightly = nightly
        self._versions = versions
        self._messages = messages
        self._delivery = delivery
        self._confirmations = confirmations

    async def retrain(self, message: Incoming) -> str | None:
        """/retrain, /retrain status, /retrain cancel."""
        wish = message.argument.strip().lower()
        if wish == "status":
            await reply(self._delivery, message, await self._messages.status(message.language))
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
        await answer(self._delivery, message, "models", list=await self._versions.listing(message.language))

    async def promote(self, message: Incoming) -> str:
        """/promote NAME."""
        return await self._promoted(message, otherwise="promote-usage")

    async def approve(self, message: Incoming) -> str:
        """/approve: the one that waits."""
        return await self._promoted(message, otherwise="approve-nothing")

    async def _promoted(self, message: Incoming, *, otherwise: str) -> str:
        name = await self._versions.promote(message.argument.strip().lower(), otherwise=otherwise)
        await answer(self._delivery, message, "promote-done", version=name)
        return name

    async def roll_back(self, message: Incoming) -> None:
        """/rollback, once it is confirmed."""

        async def do() -> Done:
            version = await self._versions.roll_back()
            return Done("rollback-done", {"version": version}, "rollback", version)

        leaves, comes = await self._versions.planned_rollback()
        await ask_first(
            self._delivery, self._confirmations, message, do, "rollback-confirm", leaves=leaves, comes=comes
        )

    async def undo(self, query: CallbackQuery, version: str) -> None:
        """↩️ under the morning digest."""
        serving = await self._versions.undo(version)
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
        await self._messages.follow(
            run.id, ProgressMessage(chat_id=chat_id, message_id=shown_in, language=message.language)
        )
        return f"run {run.id}"


def learning_handlers(commands: AdminCommands, guard: Guard) -> list[BaseHandler[Any, Any, Any]]:
    """The commands, guarded."""
    return [
        guard.command("retrain", commands.retrain),
        guard.command("models", commands.models),
        guard.command("promote", commands.promote),
        guard.command("approve", commands.approve),
        guard.command("rollback", commands.roll_back),
        guard.button(r"^undo:v\d{1,18}$", commands.undo),
    ]


logger = logging.getLogger(__name__)

_ENTRIES_SHOWN = 20
_SHORT = 8
"""Characters of a pseudonym that tell people apart on one screen."""


class OperatorCommands:
    """What each command does once it is known to come from an admin in private."""

    def __init__(
        self,
        *,
        db: Database,
        delivery: Delivery,
        confirmations: Confirmations,
        bans: Bans,
        health: Health,
        backups: Backups,
    ) -> None:
        self._db = db
        self._delivery = delivery
        self._confirmations = confirmations
        self._bans = bans
        self._health = health
        self._backups = backups

    async def health(self, message: Incoming) -> None:
        """/health."""
        await reply(self._delivery, message, await self._health.told(message.language))

    async def backup(self, message: Incoming) -> str:
        """/backup."""
        try:
            made = await self._backups.make()
        except (StorageError, OSError) as error:
            logger.error("no backup: %s", error)
            raise Refusal("backup-failed") from error
        await answer(self._delivery, message, "backup-done", name=made.name)
        return made.name

    async def audit(self, message: Incoming) -> None:
        """/audit."""
        entries = await moderation.latest_audit_entries(self._db, limit=_ENTRIES_SHOWN)
        lines = [
            f"{entry.at:%Y-%m-%d %H:%M} · {entry.actor[:_SHORT]} · {entry.action} {entry.detail}".rstrip()
            for entry in entries
        ]
        await answer(self._delivery, message, "audit" if lines else "audit-empty", list="\n".join(lines))

    async def ban(self, message: Incoming) -> None:
        """/ban #12 or /ban ID, once it is confirmed."""
        person = await self._bans.whom(message.argument.strip())

        async def do() -> Done:
            if not await self._bans.ban(person):
                raise Refusal("ban-already")
            return Done("ban-done", {"person": person[:_SHORT]}, "ban", person)

        await ask_first(self._delivery, self._confirmations, message, do, "ban-confirm", person=person[:_SHORT])

    async def unban(self, message: Incoming) -> str:
        """/unban #12 or /unban ID."""
        person = await self._bans.whom(message.argument.strip())
        if not await self._bans.unban(person):
            raise Refusal("unban-nobody")
        await answer(self._delivery, message, "unban-done", person=person[:_SHORT])
        return person


def operator_handlers(commands: OperatorCommands, guard: Guard) -> list[BaseHandler[Any, Any, Any]]:
    """The commands, guarded."""
    return [
        guard.command("health", commands.health),
        guard.command("backup", commands.backup),
        guard.command("audit", commands.audit),
        guard.command("ban", commands.ban),
        guard.command("unban", commands.unban),
    ]
