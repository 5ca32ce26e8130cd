"""A watermark is found where it is and hardly ever elsewhere, favours no token on average, and survives batches."""

import statistics
from random import Random

import pytest
import torch

from engine.api.types import Sampling
from engine.errors import ModelError
from engine.inference.batch import Batch, Row, draw
from engine.inference.watermark import CONTEXT_TOKENS, Watermark, read_secret, strongest
from engine.safety.near_copy import fingerprint, is_alike

SECRET, CPU = bytes(range(32)), torch.device("cpu")
VOCAB = 500


def written(mark, *, seed, tokens=60, **settings):
    """Tokens drawn one by one from fixed, flat logits, as a model of high entropy would."""
    torch.manual_seed(0)
    logits = torch.randn(tokens, VOCAB)
    row = Row([1, 2, 3], Sampling(seed=seed, **settings))
    return [draw(logits[step : step + 1], [row], mark)[0] for step in range(tokens)]


@pytest.mark.parametrize("settings", [{}, {"top_p": 0.95, "min_p": 0.05}, {"top_k": 50}])
def test_marked_texts_are_told_from_unmarked_ones_and_other_keys(settings):
    mark, other = Watermark(SECRET, CPU), Watermark(SECRET[::-1], CPU)
    marked = [written(mark, seed=seed, **settings) for seed in range(12)]
    assert all(mark.look_for(text).p_value < 1e-4 for text in marked)
    strangers = [written(None, seed=seed, **settings) for seed in range(12)]
    shown = [mark.look_for(text).p_value for text in strangers] + [other.look_for(text).p_value for text in marked]
    assert sum(p < 0.01 for p in shown) <= 3 and 0.3 < statistics.median(shown) < 0.7
    assert strongest([other.look_for(marked[0]), mark.look_for(marked[0])]).p_value < 1e-3


def test_p_values_of_unmarked_tokens_are_uniform():
    random = Random(5)
    shown = [
        Watermark(random.randbytes(32), CPU).look_for([random.randrange(VOCAB) for _ in range(50)]).p_value
        for _ in range(250)
    ]
    assert 0.4 < statistics.mean(shown) < 0.6 and sum(p < 0.05 for p in shown) <= 22


def test_averaged_over_keys_no_token_becomes_likelier():
    probs = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    tokens, random = torch.arange(4).unsqueeze(0), Random(3)
    after = [Watermark(random.randbytes(32), CPU).mark(probs, tokens, [[7, 8, 9, 1]], [set()])[0] for _ in range(800)]
    assert torch.stack(after).mean(dim=0).tolist() == pytest.approx(probs[0].tolist(), abs=0.04)
    assert all(each.sum().item() == pytest.approx(1.0, abs=1e-5) for each in after)


def test_a_context_marks_once_and_short_ones_and_greedy_rows_never():
    mark, probs, tokens = Watermark(SECRET, CPU), torch.full((1, 4), 0.25), torch.arange(4).unsqueeze(0)
    seen: set[tuple[int, ...]] = set()
    assert not torch.equal(mark.mark(probs, tokens, [[7, 8, 9, 1]], [seen]), probs)
    assert torch.equal(mark.mark(probs, tokens, [[7, 8, 9, 1]], [seen]), probs)
    assert torch.equal(mark.mark(probs, tokens, [[7, 8, 9]], [set()]), probs)
    assert written(mark, seed=1, temperature=0.0) == written(None, seed=1, temperature=0.0)


def test_a_text_that_is_too_short_tells_nothing():
    mark = Watermark(SECRET, CPU)
    assert mark.look_for([1, 2]).p_value is None
    assert mark.look_for(list(range(CONTEXT_TOKENS + 19))).p_value is None
    assert mark.look_for(list(range(CONTEXT_TOKENS + 20))).p_value is not None
    assert mark.look_for([5, 6, 7, 8, 9] * 40).tokens < 10, "what repeats itself is scored once"


def test_a_row_is_marked_the_same_alone_and_in_a_batch(tiny_base):
    mark = Watermark(SECRET, CPU)
    prompts = [(5, 6, 7, 8, 9), (10, 11), (12, 13, 14, 15, 16, 17)]

    def write(rows):
        batch = Batch(tiny_base.model, mark)
        tokens = [[token] for token in batch.join(rows)]
        for _ in range(15):
            for row, token in zip(batch.rows, batch.step(), strict=True):
                tokens[rows.index(row)].append(token)
        return tokens

    rows = [Row(prompt, Sampling(seed=seed)) for seed, prompt in enumerate(prompts)]
    alone = [write([Row(prompt, Sampling(seed=seed))])[0] for seed, prompt in enumerate(prompts)]
    assert write(rows) == alone


@pytest.mark.parametrize("line", ["", "abc", "zz" * 16, "ab" * 15])
def test_what_is_no_key_is_refused(line):
    with pytest.raises(ModelError, match="openssl rand -hex 32"):
        read_secret(line)


def test_fingerprints_find_a_text_again_after_small_changes_and_no_other():
    key, text = (
        b"k" * 32,
        "Green tea by the old harbour: warm cups, slow boats, a bench for two in the evening sun.",
    )
    marks = fingerprint(text, key)
    edited = fingerprint(text.replace("slow", "small").upper() + "  ", key)
    assert is_alike(len({*marks} & {*edited}), edited)
    other = fingerprint("The night train leaves at nine, and nobody on the platform knows where it will stop.", key)
    assert not is_alike(len({*marks} & {*other}), other)
    assert not {*marks} & {*fingerprint(text, b"x" * 32)}, "without the key the numbers say nothing"
    assert not is_alike(4, fingerprint("Tea now!", key)), "too short to be told from others"


def test_texts_begin_as_they_would_without_a_watermark():
    mark = Watermark(SECRET, CPU)
    for seed in range(50):  # or all texts would begin alike
        assert written(mark, seed=seed, tokens=5)[:4] == written(None, seed=seed, tokens=5)[:4]


def test_a_text_that_had_to_leave_its_batch_goes_on_as_it_would_have():
    mark, whole = Watermark(SECRET, CPU), written(Watermark(SECRET, CPU), seed=4)
    torch.manual_seed(0)
    logits = torch.randn(60, VOCAB)
    row = Row([1, 2, 3, *whole[:25]], Sampling(seed=4))
    row.go_on_after(whole[:25])
    assert [draw(logits[step : step + 1], [row], mark)[0] for step in range(25, 60)] == whole[25:]
