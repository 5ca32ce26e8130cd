"""How a stream that waits for its turn is told how many are before it: by a comment among its server-sent events.

Every reader of events skips comments, the official OpenAI client too, so only those hear it who listen. Knows bytes,
in the server to be written and in the client to be overheard. Torch-free.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx

AT_WORK: Final = b": writing\n\n"
"""The comment of a stream that has its turn and nothing to show yet, so that nobody takes it for dead."""

_QUEUED = re.compile(rb"^: queued (\d{1,9})$", re.MULTILINE)


def queued(ahead: int) -> bytes:
    """The comment: so many requests get their turn before this one."""
    return b": queued %d\n\n" % ahead


class Overheard(httpx.AsyncByteStream):
    """A response's bytes on their way to the reader of events; `on_queued` hears each number."""

    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, on_queued: Callable[[int], None]) -> None:
        assert isinstance(stream, httpx.AsyncByteStream), "only asynchronous clients listen"
        self._stream = stream
        self._on_queued = on_queued

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            for found in _QUEUED.finditer(part):
                self._on_queued(int(found[1]))
            yield part

    async def aclose(self) -> None:
        """Close what is listened to."""
        await self._stream.aclose()
