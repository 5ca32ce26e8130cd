"""Text for Telegram: Markdown as plain text with spans, text from outside made safe, and lengths as Telegram counts."""

import re
import unicodedata
from dataclasses import dataclass

from telegramify_markdown import convert
from telegramify_markdown.config import RenderConfig

TELEGRAM_LIMIT = 4096
"""UTF-16 units that one message can hold."""

SENTENCE_END = re.compile(
    r"[.!?…][\"'”’)\]*_»]*(?=\s|$)|[。！？][）”’」』*_]*|[\U0001F300-\U0001FAFF\u2600-\u27BF]\uFE0F?(?=\s|$)"
)
"""Where a sentence ends, its closing quotes included; an emoji may take the place of a stop."""

_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|No|vs|etc|e\.g|i\.e)|(?:^|\n)\s*\d{1,2})\.$")
"""A stop that ends no sentence: "Dr.", or the number of a list's item."""

_LOOK = RenderConfig.isolated()
_LOOK.markdown_symbol.unordered_list_item = "•"
for _level in range(1, 5):
    setattr(_LOOK.markdown_symbol, f"heading_level_{_level}", "")  # the model's headings need no pictures of ours

_KEPT = frozenset({"bold", "italic", "underline", "strikethrough", "spoiler", "code", "pre", "blockquote"})
"""Links are shown as their text only: a hidden address is how people are led astray."""

_DECEPTIVE = frozenset(
    [
        *map(chr, range(0x202A, 0x202F)),  # embeddings and overrides that turn text around, and with it our label
        *map(chr, range(0x2066, 0x206A)),  # isolates
        *map(chr, range(0xE0000, 0xE0080)),  # tags: words that nobody sees
        *"\u200b\u2060\ufeff",  # blanks without width
    ]
)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters that look a certain way; offset and length in UTF-16 units."""

    kind: str
    offset: int
    length: int


def parse_markdown(markdown: str) -> tuple[str, tuple[Span, ...]]:
    """The text without its marks, and what the marks meant."""
    text, entities = convert(markdown, latex_escape=False, config=_LOOK)
    return text, tuple(Span(each.type, each.offset, each.length) for each in entities if each.type in _KEPT)


def sanitize(text: str) -> str:
    """Drop lone surrogates, controls but line breaks and tabs, characters that hide or turn others, and outer blanks.

    The joiners that emoji, Persian and Hindi need stay.
    """
    valid = text.encode("utf-8", "ignore").decode("utf-8").replace("\N{REPLACEMENT CHARACTER}", "")
    kept = (c for c in valid if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in _DECEPTIVE))
    return "".join(kept).strip()


def sentence_ends(text: str) -> list[int]:
    """The places right after each sentence of a text.

    >>> sentence_ends("Dr. Lee came. She sm")
    [13]
    """
    return [
        found.end()
        for found in SENTENCE_END.finditer(text)
        if not _ABBREVIATION.search(text[max(0, found.end() - 12) : found.end()])
    ]


def utf16_length(text: str) -> int:
    """Length as Telegram counts it, in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def truncate(text: str, limit: int) -> str:
    """The longest beginning of `text` within `limit` UTF-16 units, with an ellipsis where something was cut."""
    if utf16_length(text) <= limit:
        return text
    units = text.encode("utf-16-le")[: 2 * (limit - 1)]
    return units.decode("utf-16-le", "ignore").rstrip() + "…"


def split(text: str, limit: int, *, last: int, most: int) -> tuple[str, ...]:
    """A text in pieces of at most `limit` UTF-16 units, the last of at most `last`.

    It is broken between paragraphs where they are short enough, else between lines, sentences or words. There are
    `most` pieces at most; what is beyond is cut off.
    """
    pieces: list[str] = []
    while utf16_length(text) > last and len(pieces) < most - 1:
        room = limit if utf16_length(text) > limit else last
        fits = text.encode("utf-16-le")[: 2 * room].decode("utf-16-le", "ignore")
        piece = beginning(text, len(fits))
        pieces.append(piece.rstrip())
        text = text[len(piece) :].lstrip()
    return (*pieces, truncate(text, last))


def beginning(text: str, most: int) -> str:
    """The longest beginning within so many characters that ends with a paragraph, or else a sentence, or else a word.

    Of what fits, half at least is kept: a break that comes sooner is passed over for a lesser one.
    """
    if len(text) <= most:
        return text
    fits = text[: most + 1]  # the blank behind a sentence need not fit
    for mark in ("\n\n", "\n", "。", ". ", "！", "? ", " "):
        end = fits.rfind(mark)
        whole = fits[: end + len(mark)].rstrip()
        if end >= most // 2 and len(whole) <= most:
            return whole
    return text[:most]
