"""The bot's exceptions. Every message is one sentence that says what to do next."""

from collections.abc import Sequence


class OvationError(Exception):
    """Anything the bot knows how to explain."""


class SettingsError(OvationError):
    """`problems` has a sentence for each wrong setting; the command ends with 2."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class StartError(OvationError):
    """The bot cannot start; the command ends with `exit_status`."""

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


class PutOff(OvationError):
    """The update is to be handled again a little later."""


class DeliveryError(OvationError):
    """A message could not be shown."""


class ChatGone(DeliveryError):
    """The chat, or the right to write in it, is gone: do not try again."""


class MessageGone(DeliveryError):
    """The message to edit is gone."""


class NotNow(DeliveryError):
    """Telegram asks to wait `seconds`, or cannot be reached; `is_unknown`: the call may have taken effect."""

    def __init__(self, message: str, *, seconds: float, is_unknown: bool = False) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.is_unknown = is_unknown
