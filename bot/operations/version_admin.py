"""What an admin sees and does with versions: list, promote, go back."""

from dataclasses import dataclass

from bot.common.errors import Refusal
from bot.common.i18n import say
from bot.learning.canary import CanaryMonitor
from bot.reporting.run_messages import canary_sentence
from bot.serving.version_router import VersionRouter
from engine.errors import EngineError
from storage.db.database import Database
from storage.db.records import Version
from storage.tables import versions

_MARKS = {"champion": "▶️", "canary": "🐤", "candidate": "⏸", "retired": "·"}


def _state_of(version: Version) -> str:
    """The id of the sentence that says how a version stands."""
    if version.destroyed_at is not None:
        return "state-destroyed"
    if version.tainted_at is not None:
        return "state-tainted-serves" if version.state in ("champion", "canary") else "state-tainted"
    return f"state-{version.state}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionAdmin:
    """The router for admins: every failure is a refusal that they can read."""

    db: Database
    router: VersionRouter
    canary: CanaryMonitor

    async def listing(self, language: str) -> str:
        """One line for each version of the present base, newest first, and how a trial stands."""
        lines = []
        for version in await versions.of_base(self.db, self.router.base):
            state = say(language, _state_of(version), version=version.name)
            date = version.created_at.strftime("%Y-%m-%d %H:%M UTC")
            mark = _MARKS[version.state]
            lines.append(say(language, "version-line", mark=mark, version=version.name, state=state, date=date))
        status = await self.canary.status()
        if status is not None:
            lines += ["", canary_sentence(status, language)]
        return "\n".join(lines)

    async def promote(self, name: str, *, otherwise: str = "promote-usage") -> str:
        """Make a version the champion; without a name, the one that waits or is on trial. Returns its name.

        `otherwise` is the sentence for when there is none.

        Raises:
            Refusal: there is no such version, or it cannot be loaded.
        """
        if not name:
            base = self.router.base
            waiting = await versions.in_state(self.db, base, "canary") or await versions.in_state(
                self.db, base, "candidate"
            )
            if waiting is None:
                raise Refusal(otherwise)
            name = waiting.name
        try:
            await self.router.promote(name)
        except EngineError as error:
            raise Refusal("version-unusable", version=name, serving=self.router.champion) from error
        return name

    async def planned_rollback(self) -> tuple[str, str]:
        """The version that /rollback would take out of service, and the one that would then answer.

        Raises:
            Refusal: there is nothing to go back to.
        """
        return await self.router.planned_rollback()

    async def undo(self, version: str) -> str:
        """Take this version out of service; returns the one that serves then.

        Raises:
            Refusal: it does not serve any more, there is none before it, or that one cannot be loaded.
        """
        if version not in (self.router.champion, self.router.canary):
            raise Refusal("undo-late", version=version, serving=self.router.champion)
        leaves, _ = await self.planned_rollback()
        if leaves != version:
            raise Refusal("undo-late", version=version, serving=self.router.champion)
        return await self.roll_back()

    async def roll_back(self) -> str:
        """Go back to the version before; returns the one that serves then.

        Raises:
            Refusal: there is none, or it cannot be loaded.
        """
        try:
            return await self.router.roll_back()
        except EngineError as error:
            serving = self.router.champion
            raise Refusal("version-unusable", version="", serving=serving) from error
