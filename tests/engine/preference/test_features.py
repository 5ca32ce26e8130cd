"""What the taste head sees: each block is what it says, and company in a batch changes nothing."""

import itertools
import math
from random import Random

import pytest
import torch

from engine.models.loader import Base, load_base
from engine.models.logprobs import Encoded
from engine.preference.features import TOKEN_BUCKETS, block_slices, text_features
from engine.preference.head import Labels, fit
from tests.support.learning.learning_fixtures import save_tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(str(save_tiny_model(tmp_path_factory.mktemp("model"))))


def row(base: Base, text: str) -> Encoded:
    return Encoded((3, 70, 71), (*base.tokenizer(text)["input_ids"], base.tokenizer.eos_token_id))


def test_the_blocks_lie_side_by_side_and_cover_everything(base):
    features = text_features(base, [row(base, "tea")], max_tokens=1000)
    blocks = block_slices(features.shape[1])
    assert [block.stop - block.start for block in blocks][:4] == [32, 32, 32, 1]
    assert blocks[-1].stop == features.shape[1]
    assert blocks[-1].stop - blocks[-1].start == TOKEN_BUCKETS
    assert all(one.stop == other.start for one, other in itertools.pairwise(blocks))


def test_length_surface_and_tokens_say_what_stands_there(base):
    texts = ["tea", "tea?! 12 \U0001f525"]
    rows = [row(base, text) for text in texts]
    features = text_features(base, rows, max_tokens=1000)
    *_, length, surface, tokens = block_slices(features.shape[1])
    assert features[:, length][:, 0].tolist() == pytest.approx([math.log(len(r.completion)) for r in rows])
    assert (features[1, surface] > features[0, surface]).sum() >= 4  # digits, marks, a symbol, more characters
    assert [int(count) for count in features[:, tokens].sum(1)] == [len(set(r.completion)) for r in rows]


def test_features_of_another_make_are_one_block():
    assert block_slices(40) == (slice(0, 40),)


def test_a_taste_for_questions_is_learned_from_sixty_labels(base):
    chance = Random(0)
    texts = ["".join(chance.choices("abcde ", k=chance.randint(8, 30))) + chance.choice(("?", ".")) for _ in range(260)]
    features = text_features(base, [row(base, text) for text in texts], max_tokens=4000)
    likes = torch.tensor([float(text.endswith("?")) for text in texts], dtype=torch.float64)
    head = fit(features[:60], Labels(likes[:60], torch.ones(60, dtype=torch.float64), torch.arange(60)))
    right = (head.logits(features[60:]) > 0.0) == (likes[60:] > 0.5)
    assert right.double().mean() > 0.9


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2"])
def test_features_do_not_depend_on_the_company_in_the_batch(tmp_path, architecture):
    base = load_base(str(save_tiny_model(tmp_path, architecture)))
    rows = [Encoded((3, 70, 71), (80, 81, 0)), Encoded((3, 72), (90, 91, 92, 93, 94, 95, 0))]
    together = text_features(base, rows, max_tokens=1000)
    alone = torch.cat([text_features(base, [each], max_tokens=1000) for each in rows])
    assert torch.allclose(together, alone, atol=1e-5)
