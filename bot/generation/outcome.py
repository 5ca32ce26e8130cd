"""What the writing of a text comes to: written, withheld, no longer wanted, or failed. Knows no message."""

import logging
from dataclasses import dataclass
from http.client import BAD_REQUEST, REQUEST_ENTITY_TOO_LARGE

from engine.errors import EngineUnavailable, ModelError, RequestError

logger = logging.getLogger(__name__)

_TOO_LONG = frozenset({BAD_REQUEST, REQUEST_ENTITY_TOO_LARGE})
"""How a server refuses what we ask for, which is always well-formed; other refusals are about keys and the like."""


@dataclass(frozen=True, slots=True)
class Written:
    """A finished text, who wrote it, and from how many it was chosen."""

    text: str
    version: str
    best_of: int


class Withheld(Exception):
    """No text of this generation may be shown; `fault` is the id of the sentence that says why."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


class Unwanted(Exception):
    """Nobody waits for this generation any more; `message_id` is its placeholder."""

    def __init__(self, message_id: int) -> None:
        super().__init__(message_id)
        self.message_id = message_id


FAILURES = (RequestError, EngineUnavailable, ModelError, Withheld)
"""Why there is no text."""


def why(generation: int, error: Exception) -> str:
    """The id of the sentence that says why there is no text; noted in the log as well."""
    if isinstance(error, Withheld):
        logger.info("generation %d is withheld: %s", generation, error.fault)
        return error.fault
    logger.warning("generation %d failed: %s", generation, type(error).__name__)
    is_too_long = isinstance(error, RequestError) and error.status in _TOO_LONG
    return "failed-too-long" if is_too_long else "failed-engine"
