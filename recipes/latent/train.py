"""Training the VAE and the GAN from nothing on skeletons, within a budget of minutes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from engine.latent import vae
from engine.latent.gan import AdversarialTraining, GanLM
from engine.latent.model import PAD_ID, LatentLM, padded
from engine.latent.vae import VaeLM
from recipes.training import Budget, TrainingClock, batches_of_alike

Recipe = Literal["free-bits", "plain", "language-model"]
"""How a VAE is trained: with the cure, without one, or with its latent held at 0, which makes it a language model."""
_WARM_UP = 0.15
"""The share of the budget in which the weight of the KL rises to 1."""
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


def train_vae(model: VaeLM, rows: Rows, budget: Budget, *, recipe: Recipe, free_bits: float) -> TrainingClock:
    """Train in place until the budget is spent; in eval mode afterwards.

    `free_bits` are nats a text over all dimensions. Without them, as `plain`, nothing keeps the posterior from the
    prior.
    """
    parameters = [weight for name, weight in model.named_parameters() if not name.startswith("tilt")]
    optimizer = torch.optim.Adam(parameters, lr=budget.learning_rate)
    clock = TrainingClock(budget)
    for prompts, texts in _steps(model, rows, budget, clock):
        if recipe == "language-model":
            latent = torch.zeros(len(texts), model.config.latent_size)
            loss = -model.log_likelihood(latent, prompts, texts).mean()
            reconstruction, kl = loss.detach(), 0.0
        else:
            bound = vae.bound(model, prompts, texts)
            beta = min(1.0, clock.spent / _WARM_UP) if recipe == "free-bits" else 1.0
            free = free_bits if recipe == "free-bits" else 0.0
            loss = bound.loss(torch.ones(len(texts)), free_bits=free, beta=beta)
            reconstruction, kl = bound.reconstruction.mean().detach(), float(bound.kl.detach().sum(1).mean())
        _update(optimizer, loss, parameters, rate=_rate(budget, clock))
        clock.tick(reconstruction=float(reconstruction), kl=kl)
    return clock


def train_gan(model: GanLM, rows: Rows, budget: Budget, *, by_likelihood: bool) -> TrainingClock:
    """Train both sides in place until the budget is spent, or the generator alone by likelihood, as a peer."""
    own = model.generator_parameters()
    generator = torch.optim.Adam(own, lr=budget.learning_rate, betas=_BETAS)
    discriminator = torch.optim.Adam(model.discriminator.parameters(), lr=budget.learning_rate, betas=_BETAS)
    training, clock = AdversarialTraining(model, generator, discriminator), TrainingClock(budget)
    for prompts, texts in _steps(model, rows, budget, clock):
        rate = _rate(budget, clock)
        if by_likelihood:
            noise = torch.randn(len(prompts), model.config.latent_size)
            loss = -model.log_likelihood(noise, prompts, texts).sum() / (texts != PAD_ID).sum()  # nats a token
            _update(generator, loss, own, rate=rate)
            clock.tick(likelihood=float(loss.detach()))
            continue
        for optimizer in (generator, discriminator):
            _set_rate(optimizer, rate)
        losses = training.step(prompts, texts, free=FREE if clock.spent > _FORCED else 0.0)
        clock.tick(L_G=float(losses.generator), L_D=float(losses.discriminator), accuracy=float(losses.accuracy))
    return clock


def _steps(model: LatentLM, rows: Rows, budget: Budget, clock: TrainingClock) -> Iterator[tuple[Tensor, Tensor]]:
    """(prompts, texts), both padded, while there is budget; the model is in train mode meanwhile."""
    torch.manual_seed(budget.seed)
    model.train()
    lengths = [len(text) for text in rows.texts]
    for group in batches_of_alike(lengths, budget.batch, seed=budget.seed, spread=4.0):
        if clock.spent >= 1.0:
            break
        yield padded([rows.prompts[i] for i in group]), padded([rows.texts[i] for i in group])
    model.eval()  # type: ignore[no-untyped-call]


def _rate(budget: Budget, clock: TrainingClock) -> float:
    """Constant for half of the budget, then falling to 0."""
    return budget.learning_rate * min(1.0, 2.0 * (1.0 - clock.spent))


def _update(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: Sequence[Tensor], *, rate: float) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    _set_rate(optimizer, rate)
    optimizer.step()


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
