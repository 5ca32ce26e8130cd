"""What /top and /stats say: the best-loved texts of the week in a chat, and a chart of what is learned."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.common.errors import Refusal
from bot.common.i18n import say
from bot.common.keys import Pseudonyms
from bot.common.settings import Settings
from bot.reporting.charts import WORDS, can_write, draw_statistics
from storage.db.database import Database
from storage.tables.statistics import TopText, read_statistics, top_texts

TOP_PERIOD = timedelta(days=7)
CHART_PERIOD = timedelta(days=30)

_TOP = 5
_EXCERPT = 140
_EMOJI_SHOWN = 8
_SUPERGROUP = -1_000_000_000_000
"""Chat ids of supergroups and channels lie below; links to their messages have the rest of the number."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A PNG, and what is said under it."""

    png: bytes
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatStatistics:
    """Counts, words and draws."""

    db: Database
    pseudonyms: Pseudonyms
    settings: Settings
    _drawing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    """matplotlib draws one picture at a time."""

    async def top(self, chat_id: int, language: str) -> str:
        """The best-loved texts of a chat; Refusal where nobody likes anything yet."""
        since = datetime.now(UTC) - TOP_PERIOD
        best = await top_texts(self.db, self.pseudonyms.chat(chat_id), since=since, most=_TOP)
        if not best:
            raise Refusal("top-empty")
        entries = (_entry(place, one) for place, one in enumerate(best, start=1))
        return "\n\n".join([say(language, "top"), *entries, self.settings.label])

    async def chart(self, *, chat_id: int, person_id: int, is_private: bool, language: str) -> Chart:
        """The numbers of a chat, and for an admin in private those of all chats; Refusal where there are none yet."""
        is_all = is_private and person_id in self.settings.admin_ids
        return await self.chart_of(None if is_all else self.pseudonyms.chat(chat_id), language)

    async def chart_of(self, chat: str | None, language: str) -> Chart:
        """The numbers of a chat (a pseudonym), or of all chats; Refusal where there are none yet."""
        since = datetime.now(UTC) - CHART_PERIOD
        numbers = await read_statistics(self.db, since=since, chat=chat)
        unnamed = _in_words(numbers.unnamed)
        if not numbers.ratings:
            raise Refusal("stats-only-counted", emoji=unnamed) if unnamed else Refusal("stats-empty")
        written_in = language if can_write(say(language, "chart-versions")) else "en"
        words = {name: say(written_in, f"chart-{name}") for name in WORDS}
        async with self._drawing:
            png = await asyncio.to_thread(draw_statistics, numbers, words)
        head = say(language, "stats-chat" if chat else "stats-all", texts=numbers.texts, ratings=numbers.ratings)
        if unnamed:
            unnamed = say(language, "stats-counted", emoji=unnamed)
        return Chart(png, "\n\n".join(part for part in (head, _in_words(numbers.emoji), unnamed) if part))


def _entry(place: int, one: TopText) -> str:
    text = " ".join(one.text.split())
    excerpt = text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1].rstrip()}…"
    counts = f"👍 {one.tally.likes}" + (f" · 👎 {one.tally.dislikes}" if one.tally.dislikes else "")
    link = f"\nhttps://t.me/c/{_SUPERGROUP - one.chat_id}/{one.message_id}" if one.chat_id < _SUPERGROUP else ""
    return f"{place}. {excerpt}\n{counts} · #{one.generation}{link}"


def _in_words(emoji: tuple[tuple[str, int], ...]) -> str:
    return "  ".join(f"{one} {times}" for one, times in emoji[:_EMOJI_SHOWN])
