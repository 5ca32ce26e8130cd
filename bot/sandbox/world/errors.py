"""What the sandbox refuses.

SandboxError
├── ApiError      the Bot API refuses a call; the answer is what Telegram would say
├── WorldError    a person tries what Telegram's apps would not let them do
├── NoProgress    what was waited for neither comes nor makes progress
└── AddressError  the server cannot listen where it was told to
"""

from dataclasses import dataclass, field


class SandboxError(Exception):
    """Anything that the sandbox refuses."""


class WorldError(SandboxError):
    """A person tries something impossible, for example to press a button that is not there."""


class NoProgress(SandboxError):
    """What was waited for neither comes nor makes progress."""


class AddressError(SandboxError):
    """The server cannot listen on the address."""


@dataclass(eq=False)
class ApiError(SandboxError):
    """A refusal of the Bot API: `code` is the HTTP status, `parameters` as in ResponseParameters."""

    code: int
    description: str
    parameters: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.description


def bad_request(reason: str, **parameters: int) -> ApiError:
    """A 400 in Telegram's wording."""
    return ApiError(400, f"Bad Request: {reason}", parameters)


def forbidden(reason: str) -> ApiError:
    """A 403 in Telegram's wording."""
    return ApiError(403, f"Forbidden: {reason}")


def conflict(reason: str) -> ApiError:
    """A 409 in Telegram's wording."""
    return ApiError(409, f"Conflict: {reason}")


def flood(retry_after: int) -> ApiError:
    """A 429 in Telegram's wording; `retry_after` in whole seconds."""
    return ApiError(429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after})
