"""What the taste head sees: each block is what it says, in English and in Chinese, and the same in every process."""

import itertools
import math
from random import Random

import numpy as np
import pytest

from engine.preference.features import BUCKETS, block_slices, text_features, words
from engine.preference.head import Labels, fit


def test_the_blocks_lie_side_by_side_and_cover_everything() -> None:
    (features,) = text_features(["tea"])
    blocks = block_slices(len(features))
    assert [block.stop - block.start for block in blocks[2:]] == [BUCKETS] * 3 and blocks[0] == slice(0, 1)
    assert all(one.stop == other.start for one, other in itertools.pairwise(blocks))
    assert blocks[-1].stop == len(features)


def test_a_chinese_character_is_a_word_and_so_is_what_stands_between_spaces() -> None:
    assert words("Don't，绿茶 IS 12 o’clock!") == ["don't", "绿", "茶", "is", "12", "o’clock"]


def test_length_surface_and_what_occurs_say_what_stands_there() -> None:
    plain, marked = text_features(["warm tea", "tea?! 12 tea \U0001f525"])
    length, surface, *hashed = block_slices(len(plain))
    assert [plain[length][0], marked[length][0]] == pytest.approx([math.log1p(2), math.log1p(3)])
    assert (marked[surface] > plain[surface]).sum() >= 4  # digits, marks, a symbol, more characters
    assert [plain[block].sum() for block in hashed] == [2, 3, 4 + 3 + 3 + 2], "words, pairs with the ends, spellings"
    assert [marked[block].sum() for block in hashed[:2]] == [2, 4]


def test_the_features_are_the_same_in_every_process_and_whatever_was_seen_before() -> None:
    before = text_features(["green tea", "绿茶"])
    text_features([f"text {number}" for number in range(50)])
    assert np.array_equal(text_features(["绿茶", "green tea"])[::-1], before)
    assert before[0].nonzero()[0][-3:].tolist() == [5953, 6076, 6106]


def test_features_of_another_make_are_one_block() -> None:
    assert block_slices(40) == (slice(0, 40),)


def test_a_taste_for_questions_is_learned_from_sixty_labels() -> None:
    chance = Random(0)
    texts = ["".join(chance.choices("abcde ", k=chance.randint(8, 30))) + chance.choice(("?", ".")) for _ in range(260)]
    features = text_features(texts)
    likes = np.array([float(text.endswith("?")) for text in texts])
    head = fit(features[:60], Labels(likes[:60], np.ones(60), np.arange(60)))
    assert np.mean((head.logits(features[60:]) > 0.0) == (likes[60:] > 0.5)) > 0.9
