"""/about: the card of the version that wrote a text, in words."""

from dataclasses import dataclass

from bot.common.errors import Refusal
from bot.common.i18n import say
from bot.common.settings import Settings
from bot.serving.version_router import VersionRouter
from engine.runs.versions import VersionCard, licence_of, read_card
from storage.db.database import Database
from storage.tables import generations, versions


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCards:
    """Finds the cards and words them."""

    db: Database
    router: VersionRouter
    settings: Settings

    async def of_text(self, chat_id: int, shown_in: int, language: str) -> str:
        """What wrote the text that a message shows.

        Raises:
            Refusal: the message shows no text.
        """
        generation = await generations.by_message(self.db, chat_id=chat_id, message_id=shown_in)
        if generation is None or generation.version is None:
            raise Refusal("about-usage")
        head = say(language, "about-text", generation=str(generation.id), version=generation.version)
        return f"{head}\n\n{await self._card(generation.version, language)}"

    async def of_champion(self, language: str) -> str:
        """What writes now, and who answers for it."""
        who = self.settings.privacy_contact or say(language, "privacy-admins")
        head = say(language, "about-bot", contact=who, version=self.router.champion)
        return f"{head}\n\n{await self._card(self.router.champion, language)}"

    async def _card(self, name: str, language: str) -> str:
        version = await versions.by_name(self.db, name)
        if version is not None and version.run is None:
            return self._base_in_words(name, language)
        card = read_card(self.settings.data_dir / "versions" / name)
        if card is None:
            return say(language, "about-gone", version=name)
        return _in_words(card, language)

    def _base_in_words(self, name: str, language: str) -> str:
        licence = licence_of(self.settings.model) or say(language, "about-no-licence")
        return say(language, "about-base", version=name, licence=licence)


def _in_words(card: VersionCard, language: str) -> str:
    by_measure = {
        measure: [check for check in card.checks if check.measure == measure]
        for measure in ("satisfaction", "quality", "diversity")
    }
    kept = {measure: f"{sum(check.ok for check in checks)}/{len(checks)}" for measure, checks in by_measure.items()}
    return say(
        language, "about-version",
        base=card.base, licence=card.licence or say(language, "about-no-licence"), run=str(card.run),
        date=card.made_at[:10], ratings=card.counts.get("ratings", 0), texts=card.counts.get("generations", 0),
        people=card.counts.get("raters", 0), consent=str(card.consent_text), points=100.0 * card.gain,
        sure=100.0 * card.probability, satisfaction=kept["satisfaction"], quality=kept["quality"],
        diversity=kept["diversity"],
    )  # fmt: skip
