"""The engine's exceptions. Every message is one sentence that a person can act on.

EngineError
├── ModelError          a model, tokenizer or adapter cannot be loaded, or a manifest does not match
│   └── NoAdapters      the server was started so that it loads none; the adapter may be good
├── RequestError        the caller asked for something impossible (HTTP 400; 404 for an unknown model)
│   └── NoTaste         the server is of another make and learns no taste
├── EngineBusy          the queue is full; try again after `retry_after_seconds` (HTTP 429)
├── EngineUnavailable   the engine cannot be reached or broke off in the middle
├── DeadlineExceeded    the answer was not complete in the time that the caller gave (HTTP 504)
└── RunError            a training run cannot go on; the run folder says why
"""


class EngineError(Exception):
    """Anything that went wrong in the engine or on the way to it."""


class ModelError(EngineError):
    """A model or adapter cannot be loaded."""


class NoAdapters(ModelError):
    """The server was started so that it loads no adapter, or cannot see its folder; the adapter may be good."""


class RequestError(EngineError):
    """The caller asked for something impossible."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class NoTaste(RequestError):
    """The server is of another make: it learns no taste and writes one text for each request."""


class EngineBusy(EngineError):
    """The queue is full."""

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class EngineUnavailable(EngineError):
    """The engine cannot be reached or broke off in the middle of an answer."""


class DeadlineExceeded(EngineError):
    """The answer was not complete in the time that the caller gave."""


class RunError(EngineError):
    """A training run cannot go on."""
