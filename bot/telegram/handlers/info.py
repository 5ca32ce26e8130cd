"""What people look up or set (/start, /help, /settings, /stats, /top, /about, /check), and answers to the rest."""

from dataclasses import dataclass
from datetime import UTC, datetime

from telegram import Update
from telegram.ext import CallbackQueryHandler, ContextTypes, MessageHandler, filters

from bot.common.errors import Refusal
from bot.common.i18n import language_of, say
from bot.common.kinds import Kinds
from bot.feedback.reaction_test import ReactionTest
from bot.generation.preferences import Preferences
from bot.learning.preference_sync import OWN_TASTE
from bot.messaging.messenger import consent_buttons, with_retries
from bot.moderation.provenance import ProvenanceCheck
from bot.operations.model_versions import ModelVersions
from bot.privacy.consent import Consent
from bot.reporting.statistics import ChatStatistics
from bot.telegram.allow_list import AllowList
from bot.telegram.message import Handler, Incoming, Press, answer, button, command, reply, toast, unpacked
from bot.telegram.sender import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoHandlers:
    """Install these last: some answer whatever no other handler has taken."""

    kinds: Kinds
    consent: Consent
    preferences: Preferences
    statistics: ChatStatistics
    versions: ModelVersions
    provenance: ProvenanceCheck
    reaction_test: ReactionTest
    sender: Sender
    allow_list: AllowList

    def handlers(self) -> list[Handler]:
        """In order; the last three take what is left."""
        new = filters.UpdateType.MESSAGE
        other = new & filters.ChatType.PRIVATE & ~filters.TEXT & ~filters.StatusUpdate.ALL
        return [
            command("start", self._start),
            command("help", self._help),
            command("settings", self._settings),
            button(r"^set:[a-z_]{1,16}:[a-z]{1,12}:[0-9a-f]{12}$", self._set),
            command("stats", self._stats),
            command("top", self._top),
            command("about", self._about),
            command("check", self._check),
            button(r"^live$", self._live_pressed),
            MessageHandler(new & filters.COMMAND, unpacked(self._unknown_command)),
            CallbackQueryHandler(self._old_button),
            MessageHandler(other, unpacked(self._no_text)),
        ]

    async def _start(self, message: Incoming) -> None:
        buttons = consent_buttons(message.language)
        await answer(self.sender, message, "start", buttons=buttons, kinds=self._menu(message.language))
        await self.consent.note_asked(message.request.chat_id)

    async def _help(self, message: Incoming) -> None:
        words = say(message.language, "help", kinds=self._menu(message.language))
        if message.bot.supports_inline_queries:
            words += "\n\n" + say(message.language, "help-inline", name=message.bot.username)
        await reply(self.sender, message, words)

    def _menu(self, language: str) -> str:
        return "\n".join(f"/{kind.name} — {kind.description[language]}" for kind in self.kinds.by_name.values())

    async def _settings(self, message: Incoming) -> None:
        buttons = self.preferences.buttons(message.request.person_id, message.language)
        await answer(self.sender, message, "settings", buttons=buttons)

    async def _set(self, press: Press) -> None:
        """A button of /settings; the message changes in place, and in the language that was chosen."""
        by, (name, value, owner) = press.by, press.values
        await self.preferences.choose(by.person_id, by.chat_id, name, value, owner=owner, at=datetime.now(UTC))
        await press.toast(f"settings-own-taste-{value}" if name == OWN_TASTE else "settings-changed")
        language = language_of(press.query.from_user.language_code)
        buttons = self.preferences.buttons(by.person_id, language)
        await with_retries(lambda: self.sender.edit(by.chat_id, by.message_id, say(language, "settings"), buttons))

    async def _stats(self, message: Incoming) -> None:
        turned_away = self.allow_list.turned_away
        if turned_away and message.is_private and message.request.person_id in self.allow_list.settings.admin_ids:
            await answer(self.sender, message, "stats-turned-away", updates=turned_away)
        chart = await self.statistics.chart(
            chat_id=message.request.chat_id,
            person_id=message.request.person_id,
            is_private=message.is_private,
            language=message.language,
        )
        await with_retries(lambda: self.sender.send_picture(message.address, chart.png, caption=chart.caption))

    async def _top(self, message: Incoming) -> None:
        await reply(self.sender, message, await self.statistics.top(message.request.chat_id, message.language))

    async def _about(self, message: Incoming) -> None:
        """/about, as a reply to a text: what wrote it; alone: what writes now."""
        if message.replies_to is None:
            words = await self.versions.about_champion(message.language)
        else:
            words = await self.versions.about_text(message.request.chat_id, message.replies_to, message.language)
        await reply(self.sender, message, words)

    async def _check(self, message: Incoming) -> None:
        """/check, with a text or as a reply to one: did this bot write it? Alone: do reactions and presses reach it?"""
        text = message.argument.strip() or (message.replied.text if message.replied is not None else None)
        if not text and message.replied is None:
            await self.reaction_test.begin(message.address, message.language)
            return
        if not text:
            raise Refusal("check-usage")
        request = message.request
        sentence, number = await self.provenance.verdict(text, person_id=request.person_id, chat_id=request.chat_id)
        if number is None:
            await answer(self.sender, message, sentence)
        else:
            await answer(self.sender, message, sentence, generation=str(number))

    async def _live_pressed(self, press: Press) -> None:
        """The button of /check's test; its reactions come as all others do, to `RatingHandlers`."""
        self.reaction_test.pressed(chat_id=press.by.chat_id, message_id=press.by.message_id)
        await press.toast("check-live-pressed")

    async def _unknown_command(self, message: Incoming) -> None:
        """In a group, a command without our name may be meant for another bot."""
        word = message.text.split(maxsplit=1)[0]
        if message.is_private or word.lower().endswith(f"@{message.bot.username.lower()}"):
            await answer(self.sender, message, "command-unknown", command=word.partition("@")[0])

    async def _old_button(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        if update.callback_query is not None:
            await toast(update.callback_query, "button-old", show_alert=True)

    async def _no_text(self, message: Incoming) -> None:
        await answer(self.sender, message, "text-only")
