"""How a text looks: its body, its footer and, where it is offered before it is sent, its line in the list.

Knows labels, kinds and what fits into a message. Knows no chat.
"""

from bot.common.kinds import Kinds
from bot.common.text import TELEGRAM_LIMIT, truncate, utf16_length
from bot.messaging.keyboards import offer_buttons
from bot.messaging.messenger import Offer
from storage.db.records import Generation, Tally


class Renderer:
    """The looks of all texts; `label` says under each that a machine wrote it."""

    def __init__(self, kinds: Kinds, label: str) -> None:
        self._kinds = kinds
        self._label = label

    def is_markdown(self, kind: str) -> bool:
        """Whether the texts of a kind are Markdown."""
        return self._kinds.by_name.get(kind, self._kinds.default).is_markdown

    def parts(self, number: int, text: str, version: str, *, has_details: bool = True) -> tuple[str, str]:
        """As much of a text as fits, and the footer: a machine wrote it, and in detail which one, and its number."""
        footer = f"{self._label} · {version} · #{number}" if has_details else self._label
        return truncate(text, TELEGRAM_LIMIT - utf16_length(footer) - 2), footer

    def offer(self, take: Generation, place: int) -> Offer:
        """A take as it is offered, counted from 1."""
        assert take.text is not None and take.version is not None and take.inline_token is not None, (
            "written, and a take"
        )
        kind = self._kinds.by_name.get(take.kind, self._kinds.default)
        body, footer = self.parts(take.id, take.text, take.version)
        return Offer(
            token=take.inline_token, title=f"{kind.emoji} {kind.name} {place}", body=body, footer=footer,
            is_markdown=kind.is_markdown, buttons=offer_buttons(take.id, take.inline_token, Tally()),
        )  # fmt: skip
