"""How a stream that waits for its turn is told how many are before it: by a comment among its server-sent events.

Every reader of events skips comments, the official OpenAI client too, so only those hear it who listen. Knows bytes,
in the server to be written and in the client to be heard. Torch-free.
"""

import re
from collections.abc import Iterator
from typing import Final

AT_WORK: Final = b": writing\n\n"
"""The comment of a stream that has its turn and nothing to show yet, so that nobody takes it for dead."""

_QUEUED = re.compile(rb"^: queued (\d{1,9})$", re.MULTILINE)


def queued(ahead: int) -> bytes:
    """The comment: so many requests get their turn before this one."""
    return b": queued %d\n\n" % ahead


def heard(part: bytes) -> Iterator[int]:
    """The numbers in a part of a stream."""
    return (int(found[1]) for found in _QUEUED.finditer(part))
