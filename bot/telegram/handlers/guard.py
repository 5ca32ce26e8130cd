"""The guard before the operator's commands: a numeric admin id, in a private chat, as a new message. Nobody else.

Usernames, anonymous admins, forwarded and edited messages do not count. What an admin has done goes into the audit.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from telegram import CallbackQuery, Update
from telegram.ext import CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.common.errors import Refusal
from bot.common.identity import Pseudonyms
from bot.telegram.incoming import Incoming, incoming
from storage.db.database import Database
from storage.db.records import Deed
from storage.tables import audit

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
        """Put a deed into the audit."""
        deed = Deed(datetime.now(UTC), self._pseudonyms.person(person_id), action, detail)
        await audit.append(self._db, deed)
