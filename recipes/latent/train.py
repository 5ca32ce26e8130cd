"""Training the VAE and the GAN from nothing on skeletons, within a budget of minutes.

Knows token ids and models; knows nothing of kinds, files or ratings.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

import torch
from torch import Tensor

from engine.latent import vae
from engine.latent.gan import Duel, GanLM
from engine.latent.model import PAD_ID, padded
from engine.latent.vae import VaeLM

logger = logging.getLogger(__name__)

Recipe = Literal["free-bits", "plain", "language-model"]
"""How a VAE is trained: with the cure, without one, or with its latent held at 0, which makes it a language model."""
_WARM_UP = 0.15
"""The share of the budget in which the weight of the KL rises to 1."""
_LOG_STEPS = 100
FREE = 0.5
"""The weight of the generator's own texts beside the prefixes of real ones."""
_FORCED = 0.7
"""The share of the budget in which there are only the latter: its first texts teach little."""
_BETAS = (0.5, 0.99)


@dataclass(frozen=True, slots=True)
class Rows:
    """Token ids of prompts and texts, in one order."""

    prompts: Sequence[Sequence[int]]
    """Up to the start token, which is left out."""
    texts: Sequence[Sequence[int]]
    """Up to the end token, which is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long and how fast to train."""

    minutes: float
    steps: int | None = None
    """At most so many; none: as many as the minutes allow."""
    batch: int = 64
    learning_rate: float = 2e-3
    seed: int = 0


@dataclass(slots=True)
class Course:
    """What a training came to: curves with one value for each `_LOG_STEPS` steps, by name."""

    steps: int = 0
    seconds: float = 0.0
    curves: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Clock:
    """Counts steps and time; `spent` rises from 0 to 1."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._began = time.monotonic()
        self._sums: dict[str, float] = defaultdict(float)
        self.course = Course()
        self.spent = 0.0

    def tick(self, **values: float) -> None:
        """One step is done, with these values to plot."""
        course, budget = self.course, self._budget
        course.steps += 1
        course.seconds = time.monotonic() - self._began
        self.spent = max(course.seconds / (60 * budget.minutes), course.steps / (budget.steps or float("inf")))
        for name, value in values.items():
            self._sums[name] += value
        if course.steps % _LOG_STEPS == 0 or self.spent >= 1.0:
            count = (course.steps - 1) % _LOG_STEPS + 1
            for name, total in self._sums.items():
                course.curves[name].append(total / count)
            told = ", ".join(f"{name} {total / count:.3f}" for name, total in self._sums.items())
            logger.info("step %d, %.0f %%: %s", course.steps, 100 * self.spent, told)
            self._sums.clear()


def train_vae(model: VaeLM, rows: Rows, budget: Budget, *, recipe: Recipe, free_bits: float) -> Course:
    """Train in place until the budget is spent; in eval mode afterwards.

    `free_bits` are nats a text over all dimensions. Without them, as `plain`, nothing keeps the posterior from the
    prior.
    """
    torch.manual_seed(budget.seed)
    parameters = [weight for name, weight in model.named_parameters() if not name.startswith("tilt")]
    optimizer = torch.optim.Adam(parameters, lr=budget.learning_rate)
    batches, clock = batches_of(rows, budget.batch, budget.seed), Clock(budget)
    model.train()
    while clock.spent < 1.0:
        prompts, texts = next(batches)
        ones = torch.ones(len(texts))
        if recipe == "language-model":
            latent = torch.zeros(len(texts), model.config.latent_size)
            loss = -model.log_likelihood(latent, prompts, texts).mean()
            reconstruction, kl = loss.detach(), 0.0
        else:
            bound = vae.bound(model, prompts, texts)
            beta = min(1.0, clock.spent / _WARM_UP) if recipe == "free-bits" else 1.0
            loss = bound.loss(ones, free_bits=free_bits if recipe == "free-bits" else 0.0, beta=beta)
            reconstruction, kl = bound.reconstruction.mean().detach(), float(bound.kl.detach().sum(1).mean())
        update(optimizer, loss, parameters, rate=budget.learning_rate * min(1.0, 2.0 * (1.0 - clock.spent)))
        clock.tick(reconstruction=float(reconstruction), kl=kl)
    model.eval()  # type: ignore[no-untyped-call]
    return clock.course


def update(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: Sequence[Tensor], *, rate: float) -> None:
    """One step down the loss, at this learning rate."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()


def batches_of(rows: Rows, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(prompts, texts), both padded, texts of alike lengths together, in random order, without end."""
    random = Random(seed)
    while True:
        order = sorted(range(len(rows.texts)), key=lambda i: len(rows.texts[i]) + random.random() * 4)
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        random.shuffle(groups)
        for group in groups:
            yield padded([rows.prompts[i] for i in group]), padded([rows.texts[i] for i in group])


def train_gan(model: GanLM, rows: Rows, budget: Budget, *, by_likelihood: bool) -> Course:
    """Train both sides in place until the budget is spent, or the generator alone by likelihood, as a peer."""
    torch.manual_seed(budget.seed)
    own = model.generator_parameters()
    generator = torch.optim.Adam(own, lr=budget.learning_rate, betas=_BETAS)
    discriminator = torch.optim.Adam(model.discriminator.parameters(), lr=budget.learning_rate, betas=_BETAS)
    duel, clock = Duel(model, generator, discriminator), Clock(budget)
    batches = batches_of(rows, budget.batch, budget.seed)
    model.train()
    while clock.spent < 1.0:
        prompts, texts = next(batches)
        rate = budget.learning_rate * min(1.0, 2.0 * (1.0 - clock.spent))
        if by_likelihood:
            loss = _surprise_at(model, prompts, texts)
            update(generator, loss, own, rate=rate)
            clock.tick(likelihood=float(loss.detach()))
            continue
        for optimizer in (generator, discriminator):
            for group in optimizer.param_groups:
                group["lr"] = rate
        losses = duel.step(prompts, texts, free=FREE if clock.spent > _FORCED else 0.0)
        clock.tick(L_G=float(losses.generator), L_D=float(losses.discriminator), accuracy=float(losses.accuracy))
    model.eval()  # type: ignore[no-untyped-call]
    return clock.course


def _surprise_at(model: GanLM, prompts: Tensor, texts: Tensor) -> Tensor:
    """Cross-entropy, nats a token."""
    noise = torch.randn(len(prompts), model.config.latent_size)
    return -model.log_likelihood(noise, prompts, texts).sum() / (texts != PAD_ID).sum()
