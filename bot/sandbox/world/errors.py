"""What can go wrong in the sandbox. Knows the wording of Telegram's refusals, not when to use them.

SandboxError
├── ApiError      the Bot API refuses a call; becomes the JSON answer that Telegram would give
├── WorldError    a person tries what Telegram's apps would not let them do
├── Standstill    nothing moves any more
└── AddressError  the server cannot listen where it was told to
"""

from dataclasses import dataclass, field

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)
OTHER_POLLER = "terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_ACTIVE = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


class SandboxError(Exception):
    """Anything that the sandbox refuses."""


class WorldError(SandboxError):
    """A person tries something impossible, for example to press a button that is not there."""


class Standstill(SandboxError):
    """What was waited for neither comes nor gives a sign that it will."""


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


def bad_request(reason: str) -> ApiError:
    """A 400 in Telegram's wording."""
    return ApiError(400, f"Bad Request: {reason}")


def forbidden(reason: str) -> ApiError:
    """A 403 in Telegram's wording."""
    return ApiError(403, f"Forbidden: {reason}")


def conflict(reason: str) -> ApiError:
    """A 409 in Telegram's wording."""
    return ApiError(409, f"Conflict: {reason}")


def flood(retry_after_seconds: int) -> ApiError:
    """A 429 in Telegram's wording, with `retry_after` in whole seconds."""
    return ApiError(
        429,
        f"Too Many Requests: retry after {retry_after_seconds}",
        {"retry_after": retry_after_seconds},
    )


def migrated(new_chat_id: int) -> ApiError:
    """The refusal for a group that became a supergroup."""
    return ApiError(
        400,
        "Bad Request: group chat was upgraded to a supergroup chat",
        {"migrate_to_chat_id": new_chat_id},
    )
