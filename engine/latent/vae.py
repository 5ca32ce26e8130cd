"""A variational autoencoder that writes (Kingma and Welling 2014, arXiv 1312.6114): texts x from a latent z.

The essay prints the KL term alone. With a prior p(z) = N(0, I), a decoder p(x|z), which like everything here is
conditioned on the prompt, and any q(z|x), Jensen's inequality gives the whole bound (their equations 2 and 3)::

    log p(x) = log E_q[p(x|z) p(z) / q(z|x)] >= E_q[log p(x|z)] - KL(q(z|x) || p(z)) = ELBO
    KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1 - log s^2) / 2 a dimension, nats (their appendix B)

Maximised as it stands, a decoder that can tell the next word from the last ones learns to ignore z, and KL falls to 0
(Bowman et al. 2015, arXiv 1511.06349). The cure that measured best is free bits (Kingma et al. 2016, arXiv 1606.04934,
equation 15): a dimension whose mean KL in the batch is below its share of `free_bits` costs that share, whatever it is.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from engine.latent.model import PAD_ID, LatentConfig, LatentLM


class VaeConfig(LatentConfig):
    """The sizes of a VAE."""

    model_type = "ovation-vae"


class Posterior(NamedTuple):
    """q(z|x), a normal with independent dimensions."""

    mean: Tensor  # (B, latent)
    log_variance: Tensor  # (B, latent)

    def sample(self) -> Tensor:
        """z = m + s eps (arXiv 1312.6114, section 2.4), (B, latent)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * torch.randn_like(self.mean)

    def kl(self) -> Tensor:
        """KL to the prior, (B, latent), nats."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1.0 - self.log_variance)

    def log_density(self, latent: Tensor) -> Tensor:
        """log q(z|x), (B,), nats."""
        squares = (latent - self.mean).square() / self.log_variance.exp()
        return -0.5 * (squares + self.log_variance + math.log(2.0 * math.pi)).sum(1)


class VaeLM(LatentLM):
    """Decoder and encoder."""

    config_class = VaeConfig

    def __init__(self, config: VaeConfig) -> None:
        super().__init__(config)
        half = config.hidden_size // 2
        self.encoder = nn.GRU(config.hidden_size, half, batch_first=True, bidirectional=True)
        self.posterior_of = nn.Linear(2 * half, 2 * config.latent_size)
        self.post_init()  # type: ignore[no-untyped-call]

    def encode(self, texts: Tensor) -> Posterior:
        """q(z|x) of texts (B, T), padded on the right: the highest of a bidirectional GRU's states over the text.

        Taking the maximum over time rather than the last state keeps more of long texts (Long et al. 2019, arXiv
        1911.03976).
        """
        states, _ = self.encoder(self.dropout(self.embedding(texts)))
        states = states.masked_fill((texts == PAD_ID)[..., None], -torch.inf)
        mean, log_variance = self.posterior_of(states.amax(1)).chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(-8.0, 4.0))


class Bound(NamedTuple):
    """The two sides of the lower bound, nats a text."""

    reconstruction: Tensor  # -log p(x|z) at a sample, (B,)
    kl: Tensor  # (B, latent)

    def loss(self, weights: Tensor, *, free_bits: float, beta: float = 1.0) -> Tensor:
        """The negative bound with free bits, a mean over the batch by weights (B,) of mean 1; a scalar.

        With weights that grow with the reward this is the reward-weighted bound: the E step of policy search by EM
        (Peters and Schaal 2007; Dayan and Hinton 1997) on the texts that were rated.
        """
        share = free_bits / self.kl.shape[1]
        costs = (weights[:, None] * self.kl).mean(0).clamp(min=share).sum()
        return (weights * self.reconstruction).mean() + beta * costs


def bound(model: VaeLM, prompts: Tensor, texts: Tensor) -> Bound:
    """The lower bound of texts (B, T) under prompts (B, P), both padded on the right."""
    posterior = model.encode(texts)
    return Bound(-model.log_likelihood(posterior.sample(), prompts, texts), posterior.kl())
