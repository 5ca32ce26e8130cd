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


async def poll(http: httpx.AsyncClient, url: str, *, inbox: Inbox, metrics: BotMetrics, timing: Timing = USUAL) -> None:
    """Bring updates from getUpdates at `url` to the inbox until cancelled.

    Raises:
        StartError: another program was polling with this token before us. One that was alone for `timing.conflict`
            seconds stays, whoever comes later.
    """
    offset, pause = 0, _FIRST_PAUSE_SECONDS
    began = alone_since = time.monotonic()
    was_first = False
    while True:
        if inbox.is_full:
            await asyncio.sleep(_FIRST_PAUSE_SECONDS)
            continue
        try:
            raws = await _fetch(http, url, offset)
            await inbox.accept(raws)
        except (NotFetched, StorageError) as error:
            logger.warning("no updates: %s", error)
            metrics.polling_errors.inc()
            if isinstance(error, NotFetched) and error.is_conflict:
                alone_since = time.monotonic()
                if not was_first and alone_since - began > timing.conflict:
                    raise StartError(
                        "Another program is polling with this TELEGRAM_BOT_TOKEN: stop it, or use another bot's token."
                    ) from error
            await asyncio.sleep(max(pause, getattr(error, "wait", 0.0)))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            continue
        metrics.polled_at = time.monotonic()
        was_first = was_first or metrics.polled_at - alone_since > timing.conflict
        pause = _FIRST_PAUSE_SECONDS
        # Each offset is sent once: after a quiet week Telegram starts its numbers anew, perhaps below the last one.
        # 0, after an empty batch, confirms nothing.
        ids = [update_id for raw in raws if (update_id := id_of(raw)) is not None]
        offset = ids[-1] + 1 if ids else 0


async def _fetch(http: httpx.AsyncClient, url: str, offset: int) -> Sequence[object]:
    """One call of getUpdates.

    Raises:
        NotFetched: it failed; nothing was confirmed beyond what was committed before.
    """
    asked = {"offset": offset, "timeout": LONG_POLL_SECONDS, "allowed_updates": ALLOWED_UPDATES}
    timeout = httpx.Timeout(_SILENCE_SECONDS, read=LONG_POLL_SECONDS + _SILENCE_SECONDS)
    try:
        response = await http.post(url, json=asked, timeout=timeout)
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
