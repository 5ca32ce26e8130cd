"""The engine's exceptions. Every message is one sentence that a person can act on."""

from typing import Literal

from pydantic import ValidationError


class EngineError(Exception):
    """Anything that went wrong in the engine or on the way to it."""

    status: int = 500
    """The HTTP status that says it."""


class ModelError(EngineError):
    """A model, tokenizer or adapter cannot be loaded, or a manifest does not match."""


class NoAdapters(ModelError):
    """The server was started so that it loads no adapter, or cannot see its folder; the adapter may be good."""


RefusalKind = Literal[
    "too_long", "too_large", "no_model", "template", "field", "key", "account", "address", "policy", "other"
]
"""What a refused request is refused for; `address`: there is no such call."""


class RequestError(EngineError):
    """The caller asked for something impossible; status 404 for an unknown model.

    `param` is the field of the request that is wrong, where it is one.
    """

    def __init__(
        self, message: str, *, status: int = 400, kind: RefusalKind = "other", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param


class EngineBusy(EngineError):
    """The queue is full."""

    status = 429

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class EngineUnavailable(EngineError):
    """The engine cannot be reached or broke off in the middle of an answer."""

    status = 503


class EngineFailed(EngineUnavailable):
    """The server says that it failed."""

    status = 500


class AnswerBroken(EngineUnavailable):
    """The server had taken the request, and its answer broke off, perhaps because the server died of it; or nothing in
    the answer can be used. `text` is what had come of the first text.
    """

    def __init__(self, message: str, *, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class AnswerFailed(EngineUnavailable):
    """The engine lives, and failed at this one answer; the same request would most likely fail again."""

    status = 500


class DeadlineExceeded(EngineError):
    """The answer was not complete in the time that the caller gave."""

    status = 504


class RunError(EngineError):
    """A training run cannot go on; the run folder says why."""


def first_problem(error: ValidationError, whole: str) -> str:
    """The first field that is wrong, `whole` where it is everything, and what is wrong with it."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or whole}: {first['msg']}"
