"""The bot's exceptions. Every message is one sentence that says what to do next.

OvationError
├── SettingsError       one or more settings are wrong (exit status 2)
├── StartError          the bot cannot start (exit status 2, or 1)
├── DemoError           the demo cannot go on
├── Refusal             a person's request is refused; `text` is the id of the sentence shown
└── DeliveryError       a message could not be shown
    ├── ChatGone        the chat or the right to write in it is gone: do not try again
    ├── MessageGone     the message to edit is gone
    └── NotNow          Telegram asks to wait, or cannot be reached: try again after `seconds`
"""

from collections.abc import Sequence


class OvationError(Exception):
    """Anything the bot knows how to explain."""


class SettingsError(OvationError):
    """`problems` has a sentence for each wrong setting."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class StartError(OvationError):
    """The bot cannot start."""

    def __init__(self, message: str, *, exit_status: int = 2) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class DemoError(OvationError):
    """The demo cannot go on."""


class Refusal(OvationError):
    """The request is refused; `text` is the id of the sentence shown, with `values` in it."""

    def __init__(self, text: str, **values: str | int) -> None:
        super().__init__(text)
        self.text = text
        self.values: dict[str, str | int] = values


class DeliveryError(OvationError):
    """A message could not be shown."""


class ChatGone(DeliveryError):
    """The chat, or the right to write in it, is gone."""


class MessageGone(DeliveryError):
    """The message to edit is gone."""


class NotNow(DeliveryError):
    """Telegram asks to wait `seconds`, or cannot be reached; `is_unknown`: the call may have taken effect."""

    def __init__(self, message: str, *, seconds: float, is_unknown: bool = False) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.is_unknown = is_unknown
