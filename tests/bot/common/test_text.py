"""Text from outside cannot break storage or Telegram."""

import pytest

from bot.common.text import sanitize, truncate, utf16_length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  green tea \n", "green tea"),
        ("nul\x00 and bell\x07", "nul and bell"),
        ("lone \ud83d surrogate", "lone  surrogate"),
        ("two\nlines\tkept", "two\nlines\tkept"),
        ("👨‍👩‍👧 stays", "👨‍👩‍👧 stays"),
        ("half a \ufffdcharacter", "half a character"),
        ("\x00", ""),
        ("\u202ereversed\u202c label", "reversed label"),
        ("hid\u200bden \U000e0041words", "hidden words"),
        ("می‌خواهم stays", "می‌خواهم stays"),
    ],
)
def test_control_characters_and_broken_unicode_are_dropped(text: str, expected: str) -> None:
    assert sanitize(text) == expected


@pytest.mark.parametrize("text", ["a" * 5000, "😀" * 3000, "茶" * 4097, "a😀" * 2000])
def test_a_long_text_is_cut_to_what_telegram_can_show(text: str) -> None:
    cut = truncate(text, 4096)
    assert 4090 <= utf16_length(cut) <= 4096 and cut.endswith("…") and text.startswith(cut[:-1])


def test_a_text_that_fits_is_left_alone() -> None:
    assert truncate("😀" * 2048, 4096) == "😀" * 2048
