"""The GAN: the essay's losses by hand, its estimator against the true gradient, and what the shipped one can do."""

import json
import math
from dataclasses import replace

import pytest
import torch

from engine.api.models import SHIPPED
from engine.latent.gan import DISCOUNT, LEAST_LOG_D, OUT_OF_PLACE, AdversarialTraining, GanConfig, GanLM
from engine.latent.model import LEVELS
from engine.models.loader import Base, load_base
from recipes.grammar import is_well_formed
from recipes.latent.build import CURVES_FILE, SPECS, rows_of
from recipes.latent.skeletons import skeletons
from recipes.latent.train import Rows, train_gan
from recipes.training import Budget

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = 16 + LEVELS
CONFIG = GanConfig(vocab_size=WORDS + 8, hidden_size=16, head_dim=16, latent_size=2, context_size=4)


def small(seed: int = 0) -> GanLM:
    torch.manual_seed(seed)
    return GanLM(CONFIG).eval()


def training_of(model: GanLM, rate: float = 2e-3) -> AdversarialTraining:
    return AdversarialTraining(
        model,
        torch.optim.Adam(model.generator_parameters(), lr=rate),
        torch.optim.Adam(model.discriminator.parameters(), lr=rate),
    )


def test_a_judge_who_knows_nothing_makes_the_essays_losses_of_a_coin() -> None:
    """With D = 1/2 everywhere L_G is log 2, and L_D that of real and of fake, and of tokens out of place."""
    model = small()
    with torch.no_grad():
        for weight in model.discriminator.head.parameters():
            weight.zero_()
    losses = training_of(model, rate=0.0).step(
        torch.full((6, 1), 4), torch.tensor([[WORDS, WORDS + 1, 1]] * 6), free=0.0
    )
    assert float(losses.generator) == pytest.approx(math.log(2.0), rel=1e-5)
    assert float(losses.discriminator) == pytest.approx((2 + OUT_OF_PLACE) * math.log(2.0), rel=1e-5)
    assert math.log(0.5) > LEAST_LOG_D


def test_the_gradient_of_the_next_token_is_that_of_the_expectation() -> None:
    """All-action gradient against finite differences of sum_a G(a) log D(a), at the first token."""
    model = small()
    context, text = model.context_of(torch.full((1, 1), 4), torch.zeros(1, 2)), torch.tensor([[WORDS]])
    asked = context[:, 2:].detach()
    rewards = torch.nn.functional.logsigmoid(model.discriminator(asked, text)).clamp(min=LEAST_LOG_D).detach()

    def expected() -> torch.Tensor:
        return (model.text_logits(context, text).softmax(2) * rewards).sum()

    bias = model.lm_head.bias
    (gradient,) = torch.autograd.grad(expected(), bias, retain_graph=True)
    for token in (WORDS, WORDS + 3, 1):
        with torch.no_grad():
            bias[token] += 1e-2
            above = float(expected())
            bias[token] -= 2e-2
            below = float(expected())
            bias[token] += 1e-2
        assert float(gradient[token]) == pytest.approx((above - below) / 2e-2, abs=1e-4)


def test_later_rewards_are_discounted_and_the_usual_is_taken_off() -> None:
    training = training_of(small())
    rewards, mask = torch.tensor([[0.0, -1.0, -2.0], [0.0, -1.0, -2.0]]), torch.ones(2, 3)
    later = torch.tensor([DISCOUNT * (-1.0 + DISCOUNT * -2.0), DISCOUNT * -2.0, 0.0])
    assert torch.allclose(training._advantages(rewards, mask)[0], later - 0.1 * later)
    for _ in range(200):
        settled = training._advantages(rewards, mask)
    assert settled.abs().max() < 1e-3


def test_it_learns_a_toy_language_from_nothing() -> None:
    """Two kinds of pairs, from noise alone: no likelihood is trained, and both kinds are written in the end."""
    pairs = [[WORDS + 1, WORDS + 2, 1], [WORDS + 4, WORDS + 5, 1]] * 32
    model = small()
    clock = train_gan(
        model, Rows([[4]] * 64, pairs), Budget(minutes=5, steps=300, batch=64, learning_rate=5e-3), by_likelihood=False
    )
    drawn = model.write(model.context_of(torch.full((200, 1), 4), torch.randn(200, 2)), longest=3).tolist()
    real = [row for row in drawn if row in pairs]
    assert len(real) > 160
    assert 20 < sum(row == pairs[0] for row in real) < len(real) - 20
    assert {"L_G", "L_D", "accuracy"} <= clock.curves.keys()
    assert 0.4 < clock.curves["accuracy"][-1] < 0.9


def test_disliked_texts_are_told_from_liked_ones() -> None:
    model = small()
    liked, disliked = torch.tensor([[WORDS + 1, WORDS + 2, 1]] * 16), torch.tensor([[WORDS + 1, WORDS + 3, 1]] * 16)
    prompts, training = torch.full((16, 1), 4), training_of(model, rate=1e-2)
    for _ in range(60):
        training.step(prompts, liked, free=1.0, wrong=(prompts, disliked))
    drawn = model.write(model.context_of(torch.full((200, 1), 4), torch.randn(200, 2)), longest=3).tolist()
    assert sum(row == liked[0].tolist() for row in drawn) > 20 * max(
        1, sum(row == disliked[0].tolist() for row in drawn)
    )


@pytest.fixture(scope="module")
def shipped() -> Base:
    return load_base("gan")


def test_the_shipped_one_writes_by_the_grammar(shipped: Base) -> None:
    """At temperature 1, as it was trained; the goals and the peers stand in `docs/models.md`."""
    spec = SPECS["gan"]
    asked = list(skeletons(replace(spec.corpus, texts=200), seed=77))
    kept = [each for each in asked if len(shipped.tokenizer(each.text)["input_ids"]) < spec.longest]
    prompts = rows_of(kept, shipped.tokenizer, longest=spec.longest).prompts
    torch.manual_seed(0)
    width = max(map(len, prompts))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in prompts])
    drawn = shipped.model.write(shipped.model.context_of(ids, torch.randn(len(ids), 16)), longest=40)
    texts = shipped.tokenizer.batch_decode(drawn, skip_special_tokens=True)
    good = [text for text, each in zip(texts, kept, strict=True) if is_well_formed(text, each.kind, each.language)]
    told = json.loads((SHIPPED["gan"] / CURVES_FILE).read_text(encoding="utf-8"))
    assert len(good) / len(texts) >= told["measured"]["temperature 1"]["well_formed"] - 0.08
    assert len(set(good)) > 30
    assert 0.5 < told["curves"]["accuracy"][-1] < 0.95
