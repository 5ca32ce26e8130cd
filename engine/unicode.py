"""Unicode's normal form KC of texts from anyone, at a cost that grows with their length and no faster.

`unicodedata.normalize` sorts marks that follow one another by insertion, so a letter with a hundred thousand accents
takes seconds. No script has more than a few: the Stream-Safe Text Format (UAX #15, section 13) allows 30.
"""

import unicodedata

MOST_MARKS = 30
"""That may follow one letter."""


def stream_safe(text: str) -> str:
    """A text without the marks that are more than `MOST_MARKS` in a row."""
    if text.isascii():
        return text
    are_marks = bytes(map(bool, map(unicodedata.combining, text)))
    if b"\1" * (MOST_MARKS + 1) not in are_marks:
        return text
    kept, run = [], 0
    for character, is_mark in zip(text, are_marks, strict=True):
        run = run + 1 if is_mark else 0
        if run <= MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def nfkc(text: str) -> str:
    """The normal form KC of a text that is stream-safe."""
    return unicodedata.normalize("NFKC", stream_safe(text))
