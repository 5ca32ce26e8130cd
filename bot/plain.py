"""Text from outside, made safe to store and to show: valid Unicode without control characters.

Knows characters, not what they say.
"""

import unicodedata

TELEGRAM_LIMIT = 4096
"""UTF-16 units that one message can hold."""


def plain(text: str) -> str:
    """Drop lone surrogates, replacement characters, controls but line breaks and tabs, and outer white space."""
    valid = text.encode("utf-8", "ignore").decode("utf-8").replace("\N{REPLACEMENT CHARACTER}", "")
    return "".join(c for c in valid if c in "\n\t" or unicodedata.category(c) != "Cc").strip()


def utf16_length(text: str) -> int:
    """Length as Telegram counts it, in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def fitting(text: str, limit: int) -> str:
    """The longest beginning of `text` within `limit` UTF-16 units, with an ellipsis where something was cut."""
    if utf16_length(text) <= limit:
        return text
    units = text.encode("utf-16-le")[: 2 * (limit - 1)]
    return units.decode("utf-16-le", "ignore").rstrip() + "…"
