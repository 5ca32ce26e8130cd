"""Updates by polling: asked for, committed to the inbox, and only then confirmed by asking for more.

Replaces the library's updater, which confirms what is only in memory, ends silently over an update that it cannot
read, and waits ever longer (to half a minute) while the network is away.
"""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from http import HTTPStatus

import httpx

from bot.common.errors import StartError
from bot.common.metrics import BotMetrics
from bot.common.timing import USUAL, Timing
from bot.telegram.inbox import ALLOWED_UPDATES, Inbox, id_of
from storage.db.errors import StorageError

logger = logging.getLogger(__name__)

LONG_POLL_SECONDS = 10
"""Telegram answers an idle poll after this long; a broken connection is noticed a little later."""

_SILENCE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 3.0


class NotFetched(Exception):
    """No updates came; the sentence says why. `wait` is what Telegram asks for, in seconds."""

    def __init__(self, sentence: str, *, wait: float = 0.0, is_conflict: bool = False) -> None:
        super().__init__(sentence)
        self.wait = wait
        self.is_conflict = is_conflict


class Poller:
    """Brings updates to the inbox until it is cancelled. `http` is the caller's, who closes it."""

    def __init__(
        self, *, url: str, http: httpx.AsyncClient, inbox: Inbox, metrics: BotMetrics, timing: Timing = USUAL
    ) -> None:
        self._url = url
        self._http = http
        self._inbox = inbox
        self._metrics = metrics
        self._conflict_seconds = timing.conflict

    async def run(self) -> None:
        """Ask again and again.

        Raises:
            StartError: another program was polling with this token before us.
        """
        offset = 0
        pause = _FIRST_PAUSE_SECONDS
        conflicts = _Conflicts(self._conflict_seconds)
        while True:
            if self._inbox.is_full:
                await asyncio.sleep(_FIRST_PAUSE_SECONDS)
                continue
            try:
                raws = await self._fetch(offset)
                await self._inbox.accept(raws)
            except (NotFetched, StorageError) as error:
                logger.warning("no updates: %s", error)
                self._metrics.polling_errors.inc()
                if isinstance(error, NotFetched) and error.is_conflict:
                    conflicts.note()
                await asyncio.sleep(max(pause, getattr(error, "wait", 0.0)))
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            self._metrics.polled_at = time.monotonic()
            conflicts.note_answer()
            pause = _FIRST_PAUSE_SECONDS
            # Each offset is sent once: after a quiet week Telegram starts its numbers anew, perhaps below the last one.
            # 0, after an empty batch, confirms nothing.
            ids = [update_id for raw in raws if (update_id := id_of(raw)) is not None]
            offset = ids[-1] + 1 if ids else 0

    async def _fetch(self, offset: int) -> Sequence[object]:
        """One call of getUpdates.

        Raises:
            NotFetched: it failed; nothing was confirmed beyond what was committed before.
        """
        asked = {"offset": offset, "timeout": LONG_POLL_SECONDS, "allowed_updates": ALLOWED_UPDATES}
        timeout = httpx.Timeout(_SILENCE_SECONDS, read=LONG_POLL_SECONDS + _SILENCE_SECONDS)
        try:
            response = await self._http.post(self._url, json=asked, timeout=timeout)
            answer = json.loads(response.content)
            if response.is_success:
                return list(answer["result"])
            wait = float(answer.get("parameters", {}).get("retry_after", 0))
        except httpx.HTTPError as error:
            raise NotFetched(f"Telegram cannot be reached ({type(error).__name__}).") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise NotFetched("the answer is not Telegram's; is TELEGRAM_API_URL right?") from error
        is_conflict = response.status_code == HTTPStatus.CONFLICT
        why = "another program polls with this token; stop it" if is_conflict else f"status {response.status_code}"
        raise NotFetched(f"Telegram refuses ({why}).", wait=wait, is_conflict=is_conflict)


class _Conflicts:
    """Of two pollers with one token, who gives up: the one that has never polled alone for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = self._alone_since = time.monotonic()
        self._is_first = False

    def note_answer(self) -> None:
        """A poll was answered."""
        self._is_first = self._is_first or time.monotonic() - self._alone_since > self._seconds

    def note(self) -> None:
        """Somebody else polled.

        Raises:
            StartError: and was first.
        """
        self._alone_since = time.monotonic()
        if not self._is_first and self._alone_since - self._began > self._seconds:
            raise StartError(
                "Another program is polling with this TELEGRAM_BOT_TOKEN: stop it, or use another bot's token."
            )
