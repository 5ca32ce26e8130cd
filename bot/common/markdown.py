"""A model's Markdown as plain text and the spans that Telegram draws bold, italic and the like.

Links are shown as their text only: a hidden address is how one is led astray. Knows Markdown, no message.
"""

from dataclasses import dataclass

from telegramify_markdown import convert
from telegramify_markdown.config import RenderConfig

_LOOK = RenderConfig.isolated()
_LOOK.markdown_symbol.unordered_list_item = "•"
for _level in range(1, 5):
    setattr(_LOOK.markdown_symbol, f"heading_level_{_level}", "")  # the model's headings need no pictures of ours

_KEPT = frozenset({"bold", "italic", "underline", "strikethrough", "spoiler", "code", "pre", "blockquote"})


@dataclass(frozen=True, slots=True)
class Span:
    """Characters that look a certain way; offset and length in UTF-16 units."""

    kind: str
    offset: int
    length: int


def rendered(markdown: str) -> tuple[str, tuple[Span, ...]]:
    """The text without its marks, and what the marks meant."""
    text, entities = convert(markdown, latex_escape=False, config=_LOOK)
    spans = tuple(Span(each.type, each.offset, each.length) for each in entities if each.type in _KEPT)
    return text, spans
