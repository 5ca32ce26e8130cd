"""The admins' commands, who may use them, and the buttons that confirm what cannot be undone."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from bot.common.errors import Refusal
from bot.common.i18n import say
from bot.common.keys import Pseudonyms
from bot.learning.nightly import Nightly
from bot.messaging.confirmations import Confirmations, Done
from bot.messaging.messenger import with_retries
from bot.moderation.enforcement import Bans
from bot.operations.backups import Backups
from bot.operations.health import Health
from bot.operations.model_versions import ModelVersions
from bot.reporting.run_messages import RunMessages
from bot.telegram.message import Handler, Incoming, Press, answer, ask_first, button, command, reply
from bot.telegram.sender import Sender
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.db.records import AuditEntry, ProgressMessage
from storage.tables import moderation

logger = logging.getLogger(__name__)

_ENTRIES_SHOWN = 20
_SHORT = 8
"""Characters of a pseudonym that tell people apart on one screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminOnly:
    """Lets through numeric admin ids, in private, in a new message of their own, and puts what they do into the audit.

    Usernames, anonymous admins and edited messages do not count; nor, as for everybody, words that others have written.
    """

    db: Database
    pseudonyms: Pseudonyms
    admin_ids: tuple[int, ...]

    def command(self, name: str, run: Callable[[Incoming], Awaitable[str | None]]) -> Handler:
        """A handler for a command; `run` returns the detail for the audit, or None where it only looks."""

        async def on_command(message: Incoming) -> None:
            self.check(message.request.person_id)
            if not message.is_private:
                raise Refusal("admin-private")
            detail = await run(message)
            if detail is not None:
                await self.record(message.request.person_id, name, detail)

        return command(name, on_command)

    def check(self, person_id: int) -> None:
        """Raise a Refusal for everybody but admins."""
        if person_id not in self.admin_ids:
            raise Refusal("admin-only")

    async def record(self, person_id: int, action: str, detail: str, *, is_nameless: bool = False) -> None:
        """Append to the audit what somebody has done."""
        actor = "somebody" if is_nameless else self.pseudonyms.person(person_id)
        await moderation.append_audit(self.db, AuditEntry(datetime.now(UTC), actor, action, detail))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminHandlers:
    """Training, versions, bans and the operator's view."""

    admin_only: AdminOnly
    nightly: Nightly
    versions: ModelVersions
    messages: RunMessages
    bans: Bans
    health: Health
    backups: Backups
    confirmations: Confirmations
    sender: Sender

    def handlers(self) -> list[Handler]:
        """In any order."""
        command = self.admin_only.command
        return [
            command("retrain", self._retrain),
            command("models", self._show_models),
            command("promote", partial(self._promote, otherwise="promote-usage")),
            command("approve", partial(self._promote, otherwise="approve-nothing")),
            command("rollback", self._roll_back),
            button(r"^undo:v\d{1,18}$", self._undo),
            command("health", self._show_health),
            command("backup", self._back_up),
            command("audit", self._show_audit),
            command("ban", self._ban),
            command("unban", self._unban),
            button(r"^(yes|no):[\w-]{16}$", self._confirm),
        ]

    async def _retrain(self, message: Incoming) -> str | None:
        wish = message.argument.strip().lower()
        if wish == "status":
            await reply(self.sender, message, await self.messages.status(message.language))
            return None
        if wish == "cancel":
            text = "retrain-cancelling" if self.nightly.cancel() else "retrain-none"
            await answer(self.sender, message, text)
            return wish
        if wish:
            raise Refusal("retrain-usage")
        run = await self.nightly.begin()
        if run is None:
            raise Refusal("retrain-running")
        begun = "retrain-begun" if self.versions.router.takes_adapters else "retrain-begun-in-vain"
        shown_in = await answer(self.sender, message, begun, run=run.id)
        chat_id, language = message.request.chat_id, message.language
        await self.messages.follow(run.id, ProgressMessage(chat_id=chat_id, message_id=shown_in, language=language))
        return f"run {run.id}"

    async def _show_models(self, message: Incoming) -> None:
        await answer(self.sender, message, "models", list=await self.versions.listing(message.language))

    async def _promote(self, message: Incoming, *, otherwise: str) -> str:
        name = await self.versions.promote(message.argument.strip().lower(), otherwise=otherwise)
        await answer(self.sender, message, "promote-done", version=name)
        return name

    async def _roll_back(self, message: Incoming) -> None:
        async def do() -> Done:
            version = await self.versions.roll_back()
            return Done("rollback-done", {"version": version}, "rollback", version)

        leaves, comes = await self.versions.router.planned_rollback()
        await ask_first(self.sender, self.confirmations, message, do, "rollback-confirm", leaves=leaves, comes=comes)

    async def _undo(self, press: Press) -> None:
        self.admin_only.check(press.by.person_id)
        (version,) = press.values
        serving = await self.versions.undo(version)
        await press.toast("rollback-done", show_alert=True, version=serving)
        await with_retries(lambda: self.sender.edit_buttons(press.by.chat_id, press.by.message_id, ()))
        await self.admin_only.record(press.by.person_id, press.name, version)

    async def _show_health(self, message: Incoming) -> None:
        await reply(self.sender, message, await self.health.summary(message.language))

    async def _back_up(self, message: Incoming) -> str:
        try:
            made = await self.backups.make()
        except (StorageError, OSError) as error:
            logger.error("no backup: %s", error)
            raise Refusal("backup-failed") from error
        await answer(self.sender, message, "backup-done", name=made.name)
        return made.name

    async def _show_audit(self, message: Incoming) -> None:
        entries = await moderation.latest_audit_entries(self.admin_only.db, limit=_ENTRIES_SHOWN)
        lines = [f"{it.at:%Y-%m-%d %H:%M} · {it.actor[:_SHORT]} · {it.action} {it.detail}".rstrip() for it in entries]
        await answer(self.sender, message, "audit" if lines else "audit-empty", list="\n".join(lines))

    async def _ban(self, message: Incoming) -> None:
        person = await self.bans.find_person(message.argument.strip())

        async def do() -> Done:
            if not await self.bans.ban(person):
                raise Refusal("ban-already")
            return Done("ban-done", {"person": person[:_SHORT]}, "ban", person)

        await ask_first(self.sender, self.confirmations, message, do, "ban-confirm", person=person[:_SHORT])

    async def _unban(self, message: Incoming) -> str:
        person = await self.bans.find_person(message.argument.strip())
        if not await self.bans.unban(person):
            raise Refusal("unban-nobody")
        await answer(self.sender, message, "unban-done", person=person[:_SHORT])
        return person

    async def _confirm(self, press: Press) -> None:
        """Yes or no to a question that `ask_first` has put; people's own questions (/forget) are among them."""
        by = press.by
        done = await self.confirmations.answer(
            press.values[0], is_yes=press.name == "yes", person_id=by.person_id, chat_id=by.chat_id
        )
        if done is None:
            words = say(by.language, "confirm-dropped")
        else:
            await self.admin_only.record(by.person_id, done.action, done.detail, is_nameless=done.is_nameless)
            words = say(by.language, done.text, **done.values)
        await press.toast("confirm-heard")
        await with_retries(lambda: self.sender.edit(by.chat_id, by.message_id, words))
