"""/top: the best-loved texts of the week in a chat, in a person's words. Knows no Telegram type."""

from datetime import UTC, datetime, timedelta

from bot.common.errors import Refusal
from bot.common.identity import Pseudonyms
from bot.common.texts import say
from storage.db.database import Database
from storage.tables import favourites
from storage.tables.favourites import Favourite

PERIOD = timedelta(days=7)
MOST = 5
_EXCERPT = 140
_SUPERGROUP = -1_000_000_000_000
"""Chat ids of supergroups and channels lie below; links to their messages have the rest of the number."""


class Favourites:
    """Finds and words them. `label` says that the texts are a machine's."""

    def __init__(self, *, db: Database, pseudonyms: Pseudonyms, label: str) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._label = label

    async def of_chat(self, chat_id: int, language: str) -> str:
        """The best of the last seven days.

        Raises:
            Refusal: nobody likes anything yet.
        """
        chat, since = self._pseudonyms.chat(chat_id), datetime.now(UTC) - PERIOD
        best = await favourites.best_loved(self._db, chat, since=since, most=MOST)
        if not best:
            raise Refusal("top-empty")
        entries = "\n\n".join(_entry(place, one) for place, one in enumerate(best, start=1))
        return f"{say(language, 'top')}\n\n{entries}\n\n{self._label}"


def _entry(place: int, one: Favourite) -> str:
    text = " ".join(one.text.split())
    excerpt = text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1].rstrip()}…"
    counts = f"👍 {one.tally.likes}" + (f" · 👎 {one.tally.dislikes}" if one.tally.dislikes else "")
    link = f"\nhttps://t.me/c/{_SUPERGROUP - one.chat_id}/{one.message_id}" if one.chat_id < _SUPERGROUP else ""
    return f"{place}. {excerpt}\n{counts} · #{one.generation}{link}"
