"""The recurrent decoder as a causal model: the cache, padding, noise and what it never writes."""

from dataclasses import replace

import pytest
import torch

from engine.api.types import Sampling
from engine.inference.batch import Batch, Row
from engine.latent.family import VAE
from engine.latent.model import LatentConfig, LatentLM
from engine.models.logprobs import Encoded, collate, completion_logits

CONFIG = LatentConfig(vocab_size=200, hidden_size=24, head_dim=24, latent_size=3, context_size=5)
WORDS = CONFIG.first_word


@pytest.fixture(scope="module")
def model() -> LatentLM:
    torch.manual_seed(0)
    return LatentLM(CONFIG).eval()


def prompt(*words: int) -> list[int]:
    return [4, 5, *words, 3, 3, 3, 2]


def test_batches_write_what_one_forward_pass_says(model: LatentLM) -> None:
    """Greedy rows of several lengths, joined at several times, against the plain forward pass."""
    greedy = Sampling(temperature=0.0, max_tokens=6)
    rows = [Row(prompt(*range(150, 150 + count)), replace(greedy, seed=count)) for count in (0, 3, 1)]
    batch, written = Batch(model, family=VAE), {id(row): list[int]() for row in rows}
    for newcomers in (rows[:2], rows[2:]):
        for row, token in zip(newcomers, batch.join(newcomers), strict=True):
            written[id(row)].append(token)
    for _ in range(4):
        for row, token in zip(list(batch.rows), batch.step(), strict=True):
            written[id(row)].append(token)
    for row in rows:
        ids = torch.tensor([[*row.prompt, *written[id(row)]]])
        logits = model(ids).logits[0, len(row.prompt) - 1 : -1]
        assert logits.argmax(1).tolist() == written[id(row)]


def test_padding_on_either_side_changes_nothing(model: LatentLM) -> None:
    text = [WORDS + 1, WORDS + 7, 1]
    short, long = Encoded(tuple(prompt()), (*text,)), Encoded(tuple(prompt(150, 151, 152, 153)), (*text, *text))
    alone, _ = completion_logits(model, collate([short], pad_id=0, device=model.device))
    together, owners = completion_logits(model, collate([short, long], pad_id=0, device=model.device))
    assert torch.allclose(together[owners == 0], alone, atol=1e-5)


def test_noise_decides_a_prompt_and_the_seed_the_noise(model: LatentLM) -> None:
    filled = model.with_noise(prompt(150), 1)
    assert filled == model.with_noise(prompt(150), 1) != model.with_noise(prompt(150), 2)
    with_noise, without = model(torch.tensor([filled])).logits, model(torch.tensor([prompt(150)])).logits
    assert not torch.allclose(with_noise[0, -1], without[0, -1])


def test_control_tokens_are_never_written(model: LatentLM) -> None:
    chances = model(torch.tensor([prompt(150)])).logits[0, -1].softmax(0)
    forbidden = [token for token in range(CONFIG.first_word) if token != CONFIG.eos_token_id]
    assert float(chances.detach()[forbidden].sum()) == 0.0
    assert float(chances.detach()[1]) > 0.0


def test_a_tilted_prior_costs_half_its_square(model: LatentLM) -> None:
    assert model.prior_kl(prompt()) == 0.0
    with torch.no_grad():
        model.tilt.weight[:, 0] = torch.tensor([3.0, 4.0, 0.0])
    try:
        assert model.prior_kl(prompt()) == pytest.approx(12.5)
        numbers = torch.tensor([model.noise.read(model.with_noise(prompt(), seed)) for seed in range(400)])
        assert numbers.mean(0)[2].abs() < 0.2
        assert numbers.mean(0)[0] > 2.5
    finally:
        torch.nn.init.zeros_(model.tilt.weight)


def test_codes_and_words_of_the_prompt_matter_and_their_order_does_not(model: LatentLM) -> None:
    def first(tokens: list[int]) -> torch.Tensor:
        return model(torch.tensor([tokens])).logits[0, -1]

    assert torch.allclose(first(prompt(150, 160)), first(prompt(160, 150)), atol=1e-6)
    assert not torch.allclose(first(prompt(150)), first(prompt(160)))
    assert not torch.allclose(first([4, 5, 3, 3, 3, 2]), first([4, 6, 3, 3, 3, 2]))
