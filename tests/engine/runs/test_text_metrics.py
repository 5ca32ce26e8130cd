"""How replies read on the surface."""

import pytest

from engine.runs.text_metrics import begs, count_pairs, distinct_2, measure_texts, overlap_share


def test_distinct_2_counts_different_pairs_over_all_pairs():
    assert distinct_2([(1, 2, 3), (1, 2)], pairs=3) == pytest.approx(2 / 3)
    assert count_pairs([(1, 2, 3), (1, 2), (1,), ()]) == 3


def test_longer_replies_are_not_less_diverse_for_their_length():
    short, long = [(i, i + 1) for i in range(4)], [(i, i + 1, i, i + 1) for i in range(4)]
    assert distinct_2(short, pairs=4) == 1.0
    assert distinct_2(long, pairs=4) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "text",
    [
        "Please leave a like!",
        "Smash that like button",
        "Upvote this if you agree",
        "求个赞",
        "喜欢就点个赞吧",
        "双击屏幕",
    ],
)
def test_begging_is_seen(text):
    assert begs(text)


@pytest.mark.parametrize(
    "text",
    [
        "I would like some tea.",
        "Like the moon, like the sea.",
        "Love this town",
        "点灯的人",
        "赞美春天",
        "Give it heat.",
    ],
)
def test_ordinary_words_are_not_begging(text):
    assert not begs(text)


def test_word_for_word_repetition_is_seen_whatever_the_case_and_punctuation():
    rated = ["The old lighthouse keeper counted the ships that never came back to him."]
    assert overlap_share(["the old lighthouse keeper counted the ships, that never came back"], rated) == 1.0
    assert overlap_share(["The young lighthouse keeper painted a ship that always came back to her."], rated) == 0.0


def test_short_texts_repeat_only_as_a_whole():
    assert overlap_share(["Fresh tea daily!", "Fresh tea"], ["fresh tea, daily"]) == 0.5


def test_chinese_characters_count_as_words():
    assert overlap_share(["海边的旧灯塔还亮着等人回来"], ["海边的旧灯塔还亮着等人回来。"]) == 1.0
    assert overlap_share(["山上的新学校今天开门了欢迎"], ["海边的旧灯塔还亮着等人回来。"]) == 0.0


def test_emoji_and_exclamation_marks_are_shouting():
    measures = measure_texts(["Hi! 🔥", "你好！"], [(1, 2, 0), (3, 0)], fluency=1.5, pairs=3, rated_texts=[])
    assert measures.shouting == pytest.approx(3 / 8)
    assert (measures.length, measures.fluency, measures.begging) == (2.5, 1.5, 0.0)
