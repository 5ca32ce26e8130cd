"""Logging: one line a record to stderr, with every bot token masked. Wants no text that people write."""

import logging
import re
import sys

_TOKEN = re.compile(r"\d{3,}:[A-Za-z0-9_-]{20,}")


class MaskingFormatter(logging.Formatter):
    """Formats a record and masks bot tokens in all of it, tracebacks included."""

    def __init__(self, token: str) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._own = token

    def format(self, record: logging.LogRecord) -> str:
        """The finished line."""
        return _TOKEN.sub("<token>", super().format(record).replace(self._own, "<token>"))


def set_up_logging(level: str, *, token: str) -> None:
    """Send everything from `level` up to stderr; libraries that log URLs or bodies speak from WARNING up only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskingFormatter(token))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("httpx", "httpcore", "telegram", "apscheduler", "aiosqlite", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
