"""The preview: a growing text, or how long it may be until there is one, shown by edits, seldom enough for any chat.

At most one edit is under way; what arrives meanwhile is merged into the next. A preview that cannot be shown, or finds
no room among more urgent calls, is dropped, since the final text follows. Groups get fewer edits than private chats,
because Telegram counts 20 messages a minute in a group, edits included.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bot.common.errors import DeliveryError, NotNow
from bot.common.text import TELEGRAM_LIMIT, sanitize, truncate
from bot.messaging.messenger import Keyboard, Messenger, Urgency

FIRST_WORDS_SECONDS = 0.5
"""So long after the placeholder the first words are shown, or as soon after that as there are some."""
PRIVATE_INTERVAL_SECONDS = 1.0
GROUP_INTERVAL_SECONDS = 4.0
PATIENCE_SECONDS = 3.0
"""Nobody wants to read that they have to wait when they hardly do."""
NEWS_INTERVALS = 10
"""So many intervals lie between two words on how long it may still be."""

Show = Callable[[str], None]
"""Takes all of a text so far; "" when it is discarded and another one begins."""


class Preview:
    """Use as `async with Preview(…) as preview`, then `preview.show(text)` whenever the text has grown.

    What `may_show` refuses stays unseen. As long as there is no text, `preview.meanwhile` is asked for words to show in
    its place; "" is none.
    """

    def __init__(
        self,
        messenger: Messenger,
        chat_id: int,
        message_id: int,
        buttons: Keyboard = (),
        *,
        may_show: Callable[[str], bool] = lambda _text: True,
    ) -> None:
        self._messenger = messenger
        self._chat_id = chat_id
        self._message_id = message_id
        self._buttons = buttons
        self._may_show = may_show
        self._text = ""
        self.meanwhile: Callable[[], str] = str
        self._task: asyncio.Task[None] | None = None
        self._is_over = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_showing())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None, "entered before it is left"
        self._is_over.set()
        if error is not None:
            self._task.cancel()
        # Otherwise an edit under way is waited for: Telegram might apply it after the final one.
        await asyncio.gather(self._task, return_exceptions=True)

    def show(self, text: str) -> None:
        """A `Show`."""
        self._text = text

    async def _keep_showing(self) -> None:
        clock = asyncio.get_running_loop().time
        interval = PRIVATE_INTERVAL_SECONDS if self._chat_id > 0 else GROUP_INTERVAL_SECONDS
        shown, has_words, pause, news_at = "", False, FIRST_WORDS_SECONDS, clock() + PATIENCE_SECONDS
        while not await self._over_within(pause):
            pause = interval if has_words else FIRST_WORDS_SECONDS
            if text := sanitize(self._text):
                if not self._may_show(text):
                    continue
                words = truncate(text, TELEGRAM_LIMIT - 2) + " …"
            elif clock() >= news_at:
                words, news_at = self.meanwhile(), clock() + NEWS_INTERVALS * interval
            else:
                continue
            if words in ("", shown):
                continue
            try:
                await self._messenger.edit(
                    self._chat_id, self._message_id, words, self._buttons, urgency=Urgency.PREVIEW
                )
                shown, has_words = words, bool(text)
                pause = interval
            except NotNow as error:
                pause = max(error.seconds, interval)
            except DeliveryError:
                return

    async def _over_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._is_over.wait()
        except TimeoutError:
            return False
