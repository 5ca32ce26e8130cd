"""Consent, people's own data, and reports: /optin, /optout, /privacy, /mydata, /forget, /report and their buttons."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from telegram.ext import CommandHandler, filters

from bot.common.errors import Refusal
from bot.common.i18n import CONSENT_TEXT_VERSION, say
from bot.messaging.confirmations import Confirmations
from bot.messaging.messenger import consent_buttons, with_retries
from bot.moderation.enforcement import Reports
from bot.privacy.consent import Consent
from bot.privacy.data_export import MyData
from bot.privacy.erasure import Erasure
from bot.telegram.handlers.admin import AdminOnly
from bot.telegram.message import Handler, Incoming, Press, answer, ask_first, button, command, commanded
from bot.telegram.sender import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyHandlers:
    """A consent is for one person and chat; `contact` answers for the bot ("": its admins do)."""

    consent: Consent
    my_data: MyData
    erasure: Erasure
    confirmations: Confirmations
    reports: Reports
    admin_only: AdminOnly
    sender: Sender
    contact: str
    retention_days: int

    def handlers(self) -> list[Handler]:
        """In any order."""
        return [
            command("optin", self._opt_in),
            command("optout", self._opt_out),
            CommandHandler(["privacy", "developer_info"], commanded(self._privacy), filters=filters.UpdateType.MESSAGE),
            button(r"^(optin|optout):\d{1,9}$", self._choose),
            command("mydata", self._export),
            command("forget", self._forget),
            command("report", self._report),
            button(r"^(clear|hide):\d{1,18}$", self._decide),
        ]

    async def _opt_in(self, message: Incoming) -> None:
        request = message.request
        text = await self.consent.give(request.person_id, request.chat_id, datetime.now(UTC))
        await answer(self.sender, message, text)

    async def _opt_out(self, message: Incoming) -> None:
        request = message.request
        text = await self.consent.withdraw(request.person_id, request.chat_id, datetime.now(UTC))
        await answer(self.sender, message, text)

    async def _privacy(self, message: Incoming) -> None:
        who = self.contact or say(message.language, "privacy-admins")
        buttons = consent_buttons(message.language)
        await answer(self.sender, message, "privacy", buttons=buttons, contact=who, days=self.retention_days)
        await self.consent.note_asked(message.request.chat_id)

    async def _choose(self, press: Press) -> None:
        """A button of the consent text, perhaps of an earlier version of it."""
        person_id, chat_id, now = press.by.person_id, press.by.chat_id, datetime.now(UTC)
        if press.name == "optin":
            version = min(int(press.values[0]), CONSENT_TEXT_VERSION)
            text = await self.consent.give(person_id, chat_id, now, text_version=version)
        else:
            text = await self.consent.withdraw(person_id, chat_id, now)
        await press.toast(text, show_alert=True)

    async def _export(self, message: Incoming) -> None:
        if not message.is_private:
            raise Refusal("mydata-private")
        document = await self.my_data.document(message.request.person_id)
        caption = say(message.language, "mydata-done")
        await with_retries(
            lambda: self.sender.send_file(message.address, document, name="mydata.json", caption=caption)
        )

    async def _forget(self, message: Incoming) -> None:
        forget = partial(self.erasure.forget, message.request.person_id)
        await ask_first(self.sender, self.confirmations, message, forget, "forget-confirm")

    async def _report(self, message: Incoming) -> None:
        request = message.request
        text = await self.reports.report(request.person_id, request.chat_id, message.replies_to)
        await answer(self.sender, message, text)

    async def _decide(self, press: Press) -> None:
        self.admin_only.check(press.by.person_id)
        shows, generation = press.name == "clear", press.generation
        await self.reports.decide(generation, shows=shows)
        await self.admin_only.record(press.by.person_id, press.name, f"#{generation}")
        words = say(press.by.language, "report-cleared" if shows else "report-kept", generation=str(generation))
        await press.toast("confirm-heard")
        await with_retries(lambda: self.sender.edit(press.by.chat_id, press.by.message_id, words))
