"""Which texts are worth learning from, and which say the same again."""

import random

import pytest

from engine.data.cleaning import SIMILAR, fault_of, first_alike

POEM = "The kettle sings, the rain comes down, and all the lamps are lit in town. "


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("x", "too_short"),
        ("a" * 20_001, "oversized"),
        ("42 % !!! 🎉🎉", "no_letters"),
        ("a word\x00\x01", "garbled"),
        ("a \ufffd\ufffd word", "garbled"),
        ("茶月", None),
        ("Zeile eins\n\tund zwei, 👨\u200d💻 dazu", None),
        ("नमस्ते दुनिया", None),
    ],
)
def test_what_is_no_text_has_a_name(text, fault):
    assert fault_of(text) == fault


def test_a_text_that_differs_by_a_letter_a_case_or_a_blank_says_the_same_again():
    texts = [
        POEM * 2,
        "Something else altogether, but long enough to have shingles.",
        (POEM * 2).upper(),
        POEM * 2 + "!",
    ]
    assert first_alike(texts) == (0, 1, 0, 0)


def test_short_texts_are_the_same_only_where_they_are_equal():
    assert first_alike(["Tea first.", "Tea first!", "Tea first."]) == (0, 1, 0)


def test_the_filter_misses_nothing_that_comparing_all_pairs_finds():
    rng = random.Random(3)
    words = ["".join(rng.choices("abcdefgh", k=5)) for _ in range(40)]
    texts = [" ".join(rng.choices(words, k=30)) for _ in range(30)]
    for _ in range(90):
        changed = rng.choice(texts).split()
        for _ in range(rng.randint(0, 4)):
            changed[rng.randrange(len(changed))] = rng.choice(words)
        texts.append(" ".join(changed))

    def grams(text: str) -> set[str]:
        return {text[i : i + 5] for i in range(len(text) - 4)}

    expected: list[int] = []
    for number, text in enumerate(texts):
        alike = (
            earlier
            for earlier in range(number)
            if expected[earlier] == earlier
            and len(grams(text) & grams(texts[earlier])) >= SIMILAR * len(grams(text) | grams(texts[earlier]))
        )
        expected.append(next(alike, number))
    assert first_alike(texts) == tuple(expected)
    assert 0 < sum(first != number for number, first in enumerate(expected)) < 100
