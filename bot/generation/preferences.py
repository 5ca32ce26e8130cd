"""What people choose for themselves in each chat with /settings, and what a choice means for their texts.

Read once an update, by the first handler, and passed along from there.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final

from bot.common.errors import Refusal
from bot.common.i18n import say, set_language
from bot.common.keys import Pseudonyms
from bot.common.kinds import DARING, LENGTHS, Kind, language_of_topic
from bot.learning.preference_sync import OWN_TASTE, PreferenceSync
from bot.messaging.messenger import Keyboard, settings_buttons
from engine.api.types import Message, Sampling
from storage.db.database import Database
from storage.tables import people

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "language": ("telegram", "en", "zh"),
    "tone": ("usual", "warm", "funny", "serious"),
    "length": tuple(LENGTHS),
    "temperature": tuple(DARING),
    "footer": ("full", "short"),
    OWN_TASTE: ("off", "on"),
}
"""The first value of each is the default."""

_OWNER_LENGTH = 12
"""Characters of a pseudonym that keep others from pressing one's buttons; too few to be used for anything else."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What holds for a person in a chat: a value for every name of `OPTIONS`."""

    language: str
    tone: str
    length: str
    temperature: str
    footer: str
    own_taste: str

    def messages(self, kind: Kind, topic: str, *, wish: str = "") -> tuple[Message, ...]:
        """What the model is asked for a text of a kind, in the chosen tone and length, and with one more wish."""
        language = language_of_topic(topic)
        chosen = [("tone", self.tone), ("length", "usual" if kind.names_length(language) else self.length)]
        wishes = [say(language, f"{name}-{value}-words") for name, value in chosen if value != "usual"]
        wishes += [wish] * bool(wish)
        return kind.messages(topic, language=language, length=self.length, wishes=wishes)

    def sampling(self, kind: Kind, seed: int) -> Sampling:
        """How a text of a kind is drawn, as long and as daring as was chosen."""
        return kind.sampling(length=self.length, daring=self.temperature, seed=seed)


DEFAULTS: Final = Choices(**{name: values[0] for name, values in OPTIONS.items()})

_current: ContextVar[Choices] = ContextVar("the choices of whoever sent the update that is being handled")


def current_choices() -> Choices:
    """The choices of whoever sent the update that is being handled."""
    return _current.get(DEFAULTS)


async def read_choices(db: Database, person: str, chat: str) -> Choices:
    """The choices of a person in a chat (pseudonyms); a stored value that is no longer offered counts as none."""
    stored = await people.preferences(db, person, chat)
    offered = {name: value for name, value in stored.items() if value in OPTIONS.get(name, ())}
    return replace(DEFAULTS, **offered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Reads, shows and changes settings."""

    db: Database
    pseudonyms: Pseudonyms
    preference_sync: PreferenceSync

    async def apply(self, person_id: int, chat_id: int) -> None:
        """Let a person's choices in a chat hold as long as the present update is handled, language included."""
        choices = await read_choices(self.db, self.pseudonyms.person(person_id), self.pseudonyms.chat(chat_id))
        _current.set(choices)
        set_language(None if choices.language == DEFAULTS.language else choices.language)

    def buttons(self, person_id: int, language: str) -> Keyboard:
        """The present choices of a person, each as the button that moves it on to the next value."""
        following = {name: dict(zip(values, (*values[1:], values[0]), strict=True)) for name, values in OPTIONS.items()}
        settings = [(name, value, following[name][value]) for name, value in asdict(current_choices()).items()]
        return settings_buttons(language, self.pseudonyms.person(person_id)[:_OWNER_LENGTH], settings)

    async def choose(self, person_id: int, chat_id: int, name: str, value: str, *, owner: str, at: datetime) -> None:
        """Set one of `OPTIONS`; it holds at once. `owner` is what the button says of whose it is.

        Raises:
            Refusal: the button is somebody else's or from an older release; or a person wants texts to their own taste,
                but nothing may be learned from them, or no texts are compared at all.
        """
        person, chat = self.pseudonyms.person(person_id), self.pseudonyms.chat(chat_id)
        if owner != person[:_OWNER_LENGTH]:
            raise Refusal("settings-not-yours")
        if value not in OPTIONS.get(name, ()):
            raise Refusal("button-old")
        if (name, value) == (OWN_TASTE, "on"):
            if not self.preference_sync.is_available:
                raise Refusal("settings-no-taste")
            if not await people.has_consented(self.db, person, chat):
                raise Refusal("settings-need-consent")
        if value == OPTIONS[name][0]:
            await people.clear_preference(self.db, person, chat, name)
        else:
            await people.set_preference(self.db, person, chat, name, value, at=at)
        if name == OWN_TASTE:
            self.preference_sync.refit_soon()
        await self.apply(person_id, chat_id)
