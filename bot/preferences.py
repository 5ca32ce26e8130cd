"""Preferences: what each person chooses for themselves in a chat, so far whether texts follow their own taste.

Knows what may be chosen and by whom. Knows no Telegram type.
"""

from datetime import datetime

from bot.errors import Refusal
from bot.identity import Pseudonyms
from bot.keyboards import Keyboard, settings_buttons
from bot.taste import OWN_TASTE, TasteKeeper
from storage import people, preferences
from storage.database import Database

_SHORT = 12
"""Characters of a pseudonym that keep others from pressing one's buttons; too few to be used for anything else."""


class Preferences:
    """Shows and changes settings."""

    def __init__(self, *, db: Database, pseudonyms: Pseudonyms, taste: TasteKeeper) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._taste = taste

    async def buttons(self, person_id: int, chat_id: int, language: str) -> Keyboard:
        """A person's settings in a chat, each as the button that changes it."""
        person, chat = self._pseudonyms.person(person_id), self._pseudonyms.chat(chat_id)
        own_taste = await preferences.chosen(self._db, person, chat, OWN_TASTE) == "on"
        return settings_buttons(language, person[:_SHORT], own_taste=own_taste)

    async def choose_own_taste(self, person_id: int, chat_id: int, *, owner: str, is_on: bool, at: datetime) -> None:
        """Turn texts to a person's own taste on or off; `owner` is what the button says of whose it is.

        Raises:
            Refusal: the button is somebody else's, nothing may be learned from the person in this chat, or no texts
                are compared here at all.
        """
        person, chat = self._pseudonyms.person(person_id), self._pseudonyms.chat(chat_id)
        if owner != person[:_SHORT]:
            raise Refusal("settings-not-yours")
        if is_on and not self._taste.is_to_be_had:
            raise Refusal("settings-no-taste")
        if is_on and not await people.has_consented(self._db, person, chat):
            raise Refusal("settings-need-consent")
        await preferences.choose(self._db, person, chat, OWN_TASTE, "on" if is_on else "off", at=at)
        self._taste.note()
