"""Logging: one line a record to stderr, without tokens and without anything that people wrote.

The root handler's filter masks every bot token and reduces a traceback to places and types. The words of an exception
are kept only where they are our own or the system's: a library's may quote what it choked on.
"""

import logging
import re
import sqlite3
import sys
import traceback

from bot.common.errors import OvationError
from engine.errors import EngineError, RequestError
from storage.db.errors import StorageError

_TOKEN = re.compile(r"\d{3,}:[A-Za-z0-9_-]{20,}")
_SPEAKABLE = (OvationError, StorageError, EngineError, OSError, sqlite3.Error)
_QUIET_LIBRARIES = ("httpx", "httpcore", "telegram", "apscheduler", "aiosqlite", "asyncio", "markdown_it", "matplotlib")
"""They log URLs or bodies below WARNING."""
_SILENT_LOGGER = "telegram.request.BaseRequest"
"""Logs the body of what is not the Bot API's, whose page it may be; whoever calls says that it is not."""


def set_up_logging(level: str, *, token: str) -> None:
    """Send everything from `level` up to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RedactingFilter(token))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger(_SILENT_LOGGER).setLevel(logging.CRITICAL)


class RedactingFilter(logging.Filter):
    """Rewrites every record before it is written."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._own = token

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the message and the traceback; always lets the record pass."""
        record.msg, record.args = self._masked(record.getMessage()), ()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.exc_text = self._masked("\n".join(_traceback(error)))
        record.exc_info, record.stack_info = None, None
        return True

    def _masked(self, text: str) -> str:
        return _TOKEN.sub("<token>", text.replace(self._own, "<token>"))


def _traceback(error: BaseException) -> list[str]:
    """Where it happened and what it was, the cause before the consequence."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [*_traceback(before), "which led to:"] if before is not None else []
    lines += [line.rstrip() for line in traceback.format_tb(error.__traceback__)]
    is_speakable = isinstance(error, _SPEAKABLE) and not isinstance(error, RequestError)
    return [*lines, f"{type(error).__qualname__}: {error if is_speakable else '(its words may be a person’s)'}"]
