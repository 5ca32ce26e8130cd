"""Text from outside, made safe to store and to show: valid Unicode without control characters.

Knows characters, not what they say.
"""

import unicodedata

TELEGRAM_LIMIT = 4096
"""UTF-16 units that one message can hold."""


_DECEPTIVE = frozenset(
    [
        *map(chr, range(0x202A, 0x202F)),  # embeddings and overrides that turn text around, and with it our label
        *map(chr, range(0x2066, 0x206A)),  # isolates
        *map(chr, range(0xE0000, 0xE0080)),  # tags: words that nobody sees
        *"\u200b\u2060\ufeff",  # blanks without width
    ]
)


def plain(text: str) -> str:
    """Drop lone surrogates, controls but line breaks and tabs, characters that hide or turn others, and outer blanks.

    The joiners that emoji, Persian and Hindi need stay.
    """
    valid = text.encode("utf-8", "ignore").decode("utf-8").replace("\N{REPLACEMENT CHARACTER}", "")
    kept = (c for c in valid if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in _DECEPTIVE))
    return "".join(kept).strip()


def utf16_length(text: str) -> int:
    """Length as Telegram counts it, in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def fitting(text: str, limit: int) -> str:
    """The longest beginning of `text` within `limit` UTF-16 units, with an ellipsis where something was cut."""
    if utf16_length(text) <= limit:
        return text
    units = text.encode("utf-16-le")[: 2 * (limit - 1)]
    return units.decode("utf-16-le", "ignore").rstrip() + "…"
