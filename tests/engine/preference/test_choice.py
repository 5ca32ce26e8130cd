"""Which of several texts is newest beside those that were shown last."""

import pytest

from engine.preference.choice import NOVELTY_WINDOW, RecentTexts


def test_what_was_shown_is_less_new_each_time() -> None:
    shown, text = RecentTexts(), "one two three four"
    seen = []
    for _ in range(3):
        seen.append(shown.novelty(text))
        shown.add(text)
    assert seen == pytest.approx([1.0, 1 / 2, 1 / 3])


def test_a_text_that_shares_a_pair_lies_between() -> None:
    shown = RecentTexts()
    shown.add("One, two; three.")
    assert shown.novelty("seven eight nine") == 1.0
    assert shown.novelty("one two nine") == pytest.approx(3 / 4)


@pytest.mark.parametrize("text", ["", "five", "茶", "?!"])
def test_a_text_without_pairs_is_not_new(text: str) -> None:
    assert RecentTexts().novelty(text) == 0.0


def test_the_newest_is_taken_the_first_of_equals_and_counts_as_shown() -> None:
    shown, texts = RecentTexts(), ["one two", "绿茶", "five six"]
    assert [shown.most_novel(texts, [0, 1, 2]) for _ in range(4)] == [0, 1, 2, 0]
    assert shown.most_novel(texts, [2]) == 2


def test_a_text_repeating_itself_is_one_sight_of_its_pair() -> None:
    shown = RecentTexts()
    shown.add("tea time tea time tea")
    assert shown.novelty("tea time") == 1 / 2


def test_the_oldest_are_forgotten() -> None:
    shown = RecentTexts()
    shown.add("tea time")
    for number in range(NOVELTY_WINDOW):
        assert shown.novelty("tea time") == 1 / 2
        shown.add(f"text {number}")
    assert shown.novelty("tea time") == 1.0
    assert len(shown._counts) == NOVELTY_WINDOW
