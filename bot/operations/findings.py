"""What a check of `ovation doctor` has found: one word, and one sentence that says what to do. Knows no check."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    state: State
    says: str


def ok(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", says)


def warning(check: str, says: str) -> Finding:
    """It works, but an operator should know."""
    return Finding(check, "warning", says)


def failed(check: str, says: str) -> Finding:
    """It does not work, or will not for long."""
    return Finding(check, "failed", says)
