"""What /top and /stats say: the best-loved texts of the week in a chat, and a chart of what is learned."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.common.errors import Refusal
from bot.common.i18n import say
from bot.common.keys import Pseudonyms
from bot.reporting.charts import WORDS, can_write, draw_statistics
from storage.db.database import Database
from storage.tables import statistics
from storage.tables.statistics import TopText, read_statistics

FAVOURITES_PERIOD = timedelta(days=7)
MOST = 5
_EXCERPT = 140
_SUPERGROUP = -1_000_000_000_000
"""Chat ids of supergroups and channels lie below; links to their messages have the rest of the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Favourites:
    """Finds and words them. `label` says that the texts are a machine's."""

    db: Database
    pseudonyms: Pseudonyms
    label: str

    async def of_chat(self, chat_id: int, language: str) -> str:
        """The best of the last seven days.

        Raises:
            Refusal: nobody likes anything yet.
        """
        chat, since = self.pseudonyms.chat(chat_id), datetime.now(UTC) - FAVOURITES_PERIOD
        best = await statistics.top_texts(self.db, chat, since=since, most=MOST)
        if not best:
            raise Refusal("top-empty")
        entries = "\n\n".join(_entry(place, one) for place, one in enumerate(best, start=1))
        return f"{say(language, 'top')}\n\n{entries}\n\n{self.label}"


def _entry(place: int, one: TopText) -> str:
    text = " ".join(one.text.split())
    excerpt = text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1].rstrip()}…"
    counts = f"👍 {one.tally.likes}" + (f" · 👎 {one.tally.dislikes}" if one.tally.dislikes else "")
    link = f"\nhttps://t.me/c/{_SUPERGROUP - one.chat_id}/{one.message_id}" if one.chat_id < _SUPERGROUP else ""
    return f"{place}. {excerpt}\n{counts} · #{one.generation}{link}"


PERIOD = timedelta(days=30)
_EMOJI_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, and what is said under it."""

    png: bytes
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsCharts:
    """Draws the numbers of the last thirty days."""

    db: Database
    pseudonyms: Pseudonyms
    admin_ids: frozenset[int]
    _drawing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    """matplotlib draws one picture at a time."""

    async def picture(self, *, chat_id: int, person_id: int, is_private: bool, language: str) -> Picture:
        """The numbers of a chat; an admin gets in private those of all chats.

        Raises:
            Refusal: there is nothing to draw yet.
        """
        is_all = is_private and person_id in self.admin_ids
        return await self.picture_of(None if is_all else self.pseudonyms.chat(chat_id), language)

    async def picture_of(self, chat: str | None, language: str) -> Picture:
        """The numbers of a chat (a pseudonym), or of all chats.

        Raises:
            Refusal: there is nothing to draw yet.
        """
        since = datetime.now(UTC) - PERIOD
        numbers = await read_statistics(self.db, since=since, chat=chat)
        unnamed = _in_words(numbers.counted)
        if not numbers.ratings:
            raise Refusal("stats-only-counted", emoji=unnamed) if unnamed else Refusal("stats-empty")
        written_in = language if can_write(say(language, "chart-versions")) else "en"
        words = {name: say(written_in, f"chart-{name}") for name in WORDS}
        async with self._drawing:
            png = await asyncio.to_thread(draw_statistics, numbers, words)
        caption = say(
            language, "stats-chat" if chat else "stats-all", texts=numbers.texts, ratings=numbers.ratings,
        )  # fmt: skip
        if unnamed:
            unnamed = say(language, "stats-counted", emoji=unnamed)
        return Picture(png, "\n\n".join(part for part in (caption, _in_words(numbers.emoji), unnamed) if part))


def _in_words(emoji: tuple[tuple[str, int], ...]) -> str:
    return "  ".join(f"{one} {times}" for one, times in emoji[:_EMOJI_SHOWN])
