"""What people are told of versions, and what admins do with them: /about, /models, /promote, /rollback."""

from dataclasses import dataclass

from bot.common.errors import Refusal
from bot.common.i18n import say
from bot.common.settings import Settings
from bot.learning.canary import CanaryMonitor
from bot.reporting.run_messages import canary_sentence
from bot.serving.version_router import VersionRouter
from engine.errors import EngineError
from engine.runs.versions import VersionCard, licence_of, read_card
from storage.db.database import Database
from storage.db.records import Version
from storage.tables import generations, versions

_MARKS = {"champion": "▶️", "canary": "🐤", "candidate": "⏸", "retired": "·"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersions:
    """The router in words; every failure is a refusal that people can read."""

    db: Database
    router: VersionRouter
    canary: CanaryMonitor
    settings: Settings

    async def about_text(self, chat_id: int, shown_in: int, language: str) -> str:
        """The card of the version that wrote the text in a message; Refusal where it shows none."""
        generation = await generations.by_message(self.db, chat_id=chat_id, message_id=shown_in)
        if generation is None or generation.version is None:
            raise Refusal("about-usage")
        head = say(language, "about-text", generation=str(generation.id), version=generation.version)
        return f"{head}\n\n{await self._card(generation.version, language)}"

    async def about_champion(self, language: str) -> str:
        """The card of the version that writes now, and who answers for the bot."""
        contact = self.settings.privacy_contact or say(language, "privacy-admins")
        head = say(language, "about-bot", contact=contact, version=self.router.champion)
        return f"{head}\n\n{await self._card(self.router.champion, language)}"

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

    async def promote(self, name: str, *, otherwise: str) -> str:
        """Make a version the champion; without a name, the one that waits or is on trial. Returns its name.

        Raises:
            Refusal: `otherwise` where there is none; or there is no such version, or it cannot be loaded.
        """
        if not name:
            base = self.router.base
            waiting = await versions.in_state(self.db, base, "canary")
            waiting = waiting or await versions.in_state(self.db, base, "candidate")
            if waiting is None:
                raise Refusal(otherwise)
            name = waiting.name
        try:
            await self.router.promote(name)
        except EngineError as error:
            raise Refusal("version-unusable", version=name, serving=self.router.champion) from error
        return name

    async def undo(self, version: str) -> str:
        """Take this version out of service; returns the one that serves then.

        Raises:
            Refusal: it no longer serves, there is none before it, or that one cannot be loaded.
        """
        if version in (self.router.champion, self.router.canary):
            leaves, _ = await self.router.planned_rollback()
            if leaves == version:
                return await self.roll_back()
        raise Refusal("undo-late", version=version, serving=self.router.champion)

    async def roll_back(self) -> str:
        """Go back to the version before, and return its name; Refusal where there is none, or it cannot be loaded."""
        try:
            return await self.router.roll_back()
        except EngineError as error:
            raise Refusal("version-unusable", version="", serving=self.router.champion) from error

    async def _card(self, name: str, language: str) -> str:
        version = await versions.by_name(self.db, name)
        if version is not None and version.run is None:
            licence = licence_of(self.settings.model) or say(language, "about-no-licence")
            return say(language, "about-base", version=name, licence=licence)
        card = read_card(self.settings.versions_path / name)
        return say(language, "about-gone", version=name) if card is None else _in_words(card, language)


def _state_of(version: Version) -> str:
    """The id of the sentence that says how a version stands."""
    if version.destroyed_at is not None:
        return "state-destroyed"
    if version.tainted_at is not None:
        return "state-tainted-serves" if version.state in ("champion", "canary") else "state-tainted"
    return f"state-{version.state}"


def _in_words(card: VersionCard, language: str) -> str:
    def kept(measure: str) -> str:
        checks = [check.ok for check in card.checks if check.measure == measure]
        return f"{sum(checks)}/{len(checks)}"

    return say(
        language, "about-version",
        base=card.base, licence=card.licence or say(language, "about-no-licence"), run=str(card.run),
        date=card.made_at[:10], ratings=card.counts.get("ratings", 0), texts=card.counts.get("generations", 0),
        people=card.counts.get("raters", 0), consent=str(card.consent_text), points=100.0 * card.gain,
        sure=100.0 * card.probability, satisfaction=kept("satisfaction"), quality=kept("quality"),
        diversity=kept("diversity"),
    )  # fmt: skip
