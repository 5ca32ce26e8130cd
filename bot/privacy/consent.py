"""Consent: who lets their texts and ratings teach the model, per person and chat."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.common.errors import DeliveryError
from bot.common.i18n import CONSENT_TEXT_VERSION, say
from bot.common.keys import Pseudonyms
from bot.learning.preference_sync import OWN_TASTE
from bot.messaging.messenger import Address, Messenger, consent_buttons, with_retries
from storage.db.database import Database
from storage.db.records import Generation
from storage.tables import people


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Gives and withdraws; each returns the id of the sentence that says what now holds.

    `on_yes` and `on_no` are called after a change, so that what learns can take it into account.
    """

    db: Database
    pseudonyms: Pseudonyms
    messenger: Messenger
    on_yes: Callable[[], object]
    on_no: Callable[[], object]

    async def give(
        self, person_id: int, chat_id: int, at: datetime, *, text_version: int = CONSENT_TEXT_VERSION
    ) -> str:
        """Opt in to a version of the consent text, in one chat: to what was read, which may be an old question."""
        person, chat = self.pseudonyms.person(person_id), self.pseudonyms.chat(chat_id)
        is_new = await people.grant(self.db, person, chat, text_version=text_version, at=at)
        if is_new:
            self.on_yes()
        return "optin-done" if is_new else "optin-already"

    async def ask_once(self, generation: Generation) -> None:
        """Ask in the group where a text stands, unless it was asked there before; everybody presses for themselves.

        In private nothing is sent: every such chat begins with /start, which asks. Nor in a channel, where nobody wrote
        the prompt who could agree.
        """
        to = generation.delivery
        if to.chat_id > 0 or to.is_channel:
            return
        if not await people.mark_asked(self.db, generation.chat, at=datetime.now(UTC)):
            return
        address = Address(chat_id=to.chat_id, thread_id=to.thread_id)
        question, buttons = say(to.language, "consent-question"), consent_buttons(to.language)
        with contextlib.suppress(DeliveryError):  # /optin is there all the same
            await with_retries(lambda: self.messenger.send(address, question, buttons))

    async def note_asked(self, chat_id: int) -> None:
        """The question stands in a chat, by somebody's command."""
        if chat_id < 0:
            await people.mark_asked(self.db, self.pseudonyms.chat(chat_id), at=datetime.now(UTC))

    async def withdraw(self, person_id: int, chat_id: int, at: datetime) -> str:
        """Opt out, in one chat; all learning does without this person's texts and ratings there from now on."""
        person, chat = self.pseudonyms.person(person_id), self.pseudonyms.chat(chat_id)
        was_in = await people.revoke(self.db, person, chat, at=at)
        await people.clear_preference(self.db, person, chat, OWN_TASTE)
        if was_in:
            self.on_no()
        return "optout-done" if was_in else "optout-already"
