"""Text from outside cannot break storage or Telegram."""

import pytest

from bot.common.text import beginning, sanitize, split, truncate, utf16_length


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


def test_a_long_text_is_broken_between_paragraphs_else_sentences_else_words() -> None:
    paragraphs = "\n\n".join(["A sentence. " * 5] * 4)
    pieces = split(paragraphs, 130, last=70, most=9)
    assert all(piece.startswith("A sentence.") and utf16_length(piece) <= 130 for piece in pieces)
    assert utf16_length(pieces[-1]) <= 70 and " ".join(pieces).split() == paragraphs.split()
    assert split("😀" * 100, 100, last=100, most=9) == ("😀" * 50, "😀" * 50)
    assert split("word " * 50, 100, last=50, most=2)[1].endswith("…")
    assert split("short", 100, last=50, most=2) == ("short",)
    assert split("x" * 80, 100, last=50, most=3) == ("x" * 50, "x" * 30)


def test_of_a_text_that_is_too_long_the_beginning_ends_well() -> None:
    assert beginning("One.\n\nTwo is longer. And more", 20) == "One.\n\nTwo is longer."
    assert beginning("One two. Three\n\nfour five", 18) == "One two. Three"
    assert beginning("绿茶很好。喝一杯吧。再来", 10) == "绿茶很好。喝一杯吧。"
    assert beginning("short", 10) == "short" and beginning("x" * 30, 10) == "x" * 10
