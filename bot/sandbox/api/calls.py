"""The record of what the bot asked for. Knows no method; tests judge the record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the method as it was written, its parameters as they were sent, the HTTP status it got.

    Values of forms are text, files are `Upload`s. `status` is 0 when the connection was cut without an answer.
    """

    method: str
    params: Mapping[str, object]
    at: datetime
    status: int
    result: object = None
    """What was answered under `result`; None for refusals."""
    error: str | None = None
    """The description of a refusal."""
    seconds: float = field(default=0.0, compare=False)
    """From the request's arrival to its answer."""
