"""The operator's commands for the house: /health, /backup, /audit, /ban, /unban, behind the guard."""

import logging
from typing import Any

from telegram.ext import BaseHandler

from bot.common.errors import Refusal
from bot.messaging.confirmations import Confirmations, Done
from bot.moderation.doorman import Doorman
from bot.operations.backups import Backups
from bot.operations.health import Health
from bot.telegram.delivery import Delivery
from bot.telegram.handlers.guard import Guard
from bot.telegram.incoming import Incoming, answer, ask_first, reply
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.tables import audit

logger = logging.getLogger(__name__)

_DEEDS_SHOWN = 20
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
        doorman: Doorman,
        health: Health,
        backups: Backups,
    ) -> None:
        self._db = db
        self._delivery = delivery
        self._confirmations = confirmations
        self._doorman = doorman
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
        deeds = await audit.newest(self._db, limit=_DEEDS_SHOWN)
        lines = [
            f"{deed.at:%Y-%m-%d %H:%M} · {deed.actor[:_SHORT]} · {deed.action} {deed.detail}".rstrip() for deed in deeds
        ]
        await answer(self._delivery, message, "audit" if lines else "audit-empty", list="\n".join(lines))

    async def ban(self, message: Incoming) -> None:
        """/ban #12 or /ban ID, once it is confirmed."""
        person = await self._doorman.whom(message.argument.strip())

        async def do() -> Done:
            if not await self._doorman.ban(person):
                raise Refusal("ban-already")
            return Done("ban-done", {"person": person[:_SHORT]}, "ban", person)

        await ask_first(self._delivery, self._confirmations, message, do, "ban-confirm", person=person[:_SHORT])

    async def unban(self, message: Incoming) -> str:
        """/unban #12 or /unban ID."""
        person = await self._doorman.whom(message.argument.strip())
        if not await self._doorman.unban(person):
            raise Refusal("unban-nobody")
        await answer(self._delivery, message, "unban-done", person=person[:_SHORT])
        return person


def handlers(commands: OperatorCommands, guard: Guard) -> list[BaseHandler[Any, Any, Any]]:
    """The commands, guarded."""
    return [
        guard.command("health", commands.health),
        guard.command("backup", commands.backup),
        guard.command("audit", commands.audit),
        guard.command("ban", commands.ban),
        guard.command("unban", commands.unban),
    ]
