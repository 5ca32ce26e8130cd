"""Consent: who lets their texts and ratings teach the model, per person and chat. Knows no Telegram type."""

from datetime import datetime

from bot.identity import Pseudonyms
from bot.keyboards import CONSENT_TEXT_VERSION
from storage import people
from storage.database import Database


class Consent:
    """Gives and withdraws; each returns the id of the sentence that says what now holds."""

    def __init__(self, *, db: Database, pseudonyms: Pseudonyms) -> None:
        self._db = db
        self._pseudonyms = pseudonyms

    async def give(self, person_id: int, chat_id: int, at: datetime) -> str:
        """Opt in to the present consent text, in one chat."""
        person, chat = self._pseudonyms.person(person_id), self._pseudonyms.chat(chat_id)
        is_new = await people.grant(self._db, person, chat, text_version=CONSENT_TEXT_VERSION, at=at)
        return "optin-done" if is_new else "optin-already"

    async def withdraw(self, person_id: int, chat_id: int, at: datetime) -> str:
        """Opt out, in one chat; the next run does without this person's texts and ratings there."""
        person, chat = self._pseudonyms.person(person_id), self._pseudonyms.chat(chat_id)
        was_in = await people.revoke(self._db, person, chat, at=at)
        return "optout-done" if was_in else "optout-already"
