"""How the small generators learn from ratings: an adapter on the decoder, by each one's own objective.

**VAE.** A head in latent space says with weights w which latents are liked: a logistic regression, on the posterior
means of the model's own texts, of what the learner thinks of them. (Of the ratings themselves it would be one on a
few hundred labels, of which it measured worse.) Tilting the prior by it, p(z) exp(s w.z), gives N(s w, I): sampling
moves by a vector, and KL(tilted || prior) = |s w|^2 / 2 is known before a text is written. Then the decoder is fitted
to the reward-weighted lower bound of the rated texts (`vae.Bound.loss`): a liked text counts, a disliked one does not.

**GAN.** Liked texts are the discriminator's real ones; disliked ones and what the generator writes now are its fakes.
So D(x) comes to mean "liked here", and L_G is the loop's own objective.

The on-policy stage that other models have follows.
"""

import math
import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.errors import RunError
from engine.evaluation.sampling import Replies
from engine.latent import vae
from engine.latent.gan import AdversarialTraining, GanLM
from engine.latent.model import LatentLM, padded
from engine.latent.vae import VaeLM
from engine.models import distributed
from engine.models.logprobs import Encoded
from engine.preference.head import Labels, fit
from engine.runs.plan import rated_steps
from engine.training.stage import (
    AdapterOptimizer,
    TrainingSet,
    TrainingStage,
    adam_w,
    require_finite,
    trained_parameters,
)

TILT_TEXTS = 512  # own texts that the head in latent space is fitted on
_TILT_SHARE = 0.9
"""Of the stage's KL budget, for the prior: that the rated texts become likelier costs little once z is given."""
_TILT_STEPS = 24
"""Half of the checkpoints of a run, so that a candidate that oversteps a bound can go back into the tilt itself."""
_VAE_RATE, _GAN_RATE = 3e-3, 1e-3
_FREE = 0.05  # the weight of the generator's own texts: more of it, and it soon writes the same few
_GAN_BATCH = 64


def fit_vae(stage: TrainingStage, data: TrainingSet) -> None:
    """Tilt the prior towards what is liked, then fit the decoder to the reward-weighted bound of the rated texts."""
    _begin(stage)
    base = stage.model.get_base_model()
    assert isinstance(base, VaeLM), "its family names this objective"
    texts = stage.sample(stage.prompts, TILT_TEXTS, stage.config.seed + 2)
    tilt_prior(stage, base, texts, stage.liking(texts))
    weights = data.signed_weights.clamp(min=0.0)
    liked = [i for i, weight in enumerate(weights.tolist()) if weight > 0.0]
    optimizer = AdapterOptimizer(stage.model, stage.config.learning_rate or _VAE_RATE, warm_up_steps=1)
    batches = _batches(liked, stage.config.batch_size, random.Random(stage.config.seed))
    steps = rated_steps(len(data.rows), stage.config)
    for step in range(1, steps + 1):
        chosen = next(batches)
        bound = vae.bound(base, *tensors([data.rows[i] for i in chosen], base))
        chosen_weights = weights[chosen].to(base.device)
        loss = bound.loss(chosen_weights / chosen_weights.mean(), free_bits=0.0)
        require_finite(loss.item())
        loss.backward()
        optimizer.step()
        if not stage.record_step(step, steps, loss.item()):
            break


def tilt_prior(stage: TrainingStage, base: VaeLM, texts: Replies, liking: Tensor) -> None:
    """Move the prior's mean along what the head in latent space likes, step by step, within its share of the budget.

    The head learns from `liking`, (n,), float64, the chance of a like of each text that the base wrote.
    """
    labels = Labels(liking.numpy(), np.ones(len(liking)), np.array(texts.owners))
    with torch.no_grad():
        means = base.encode(tensors(texts.rows, base)[1]).mean.double().cpu().numpy()
        head = fit(means, labels)
        liked = torch.from_numpy(head.projection @ head.weights[:-1]).float()
        liked *= math.sqrt(2.0 * _TILT_SHARE * stage.kl_budget) / max(float(liked.norm()), 1e-6)
        down, up = (getattr(base.tilt, side)["default"].weight for side in ("lora_A", "lora_B"))
        down.zero_()[0, 0] = 1.0
        for step in range(1, _TILT_STEPS + 1):
            up.zero_()[:, 0] = liked * step / _TILT_STEPS
            stage.checkpoints.save()
    stage.curves.kl.append(stage.measure_kl())


def fit_gan(stage: TrainingStage, data: TrainingSet) -> None:
    """Let a discriminator of what is liked here teach the generator."""
    _begin(stage)
    base = stage.model.get_base_model()
    assert isinstance(base, GanLM), "its family names this objective"
    signs = data.signed_weights.tolist()
    liked, disliked = ([i for i, sign in enumerate(signs) if sign * side > 0.0] for side in (1.0, -1.0))
    judge = base.discriminator
    optimizer = adam_w(trained_parameters(stage.model), stage.config.learning_rate or _GAN_RATE)
    judge.requires_grad_(True).train()
    training = AdversarialTraining(base, optimizer, torch.optim.Adam(judge.parameters(), lr=1e-3, betas=(0.5, 0.99)))
    rng = random.Random(stage.config.seed)
    good, bad = _batches(liked, _GAN_BATCH, rng), _batches(disliked, _GAN_BATCH, rng)
    steps = rated_steps(len(data.rows), stage.config)
    for step in range(1, steps + 1):
        real = tensors([data.rows[i] for i in next(good)], base)
        losses = training.step(*real, free=_FREE, wrong=tensors([data.rows[i] for i in next(bad)], base))
        require_finite(float(losses.generator))
        if not stage.record_step(step, steps, float(losses.generator)):
            break
    judge.eval().requires_grad_(False)


def tensors(rows: Sequence[Encoded], base: LatentLM) -> tuple[Tensor, Tensor]:
    """(prompts, texts) as `recipes.latent.train` has them: without the noise, padded on the right."""
    noise, start = base.noise, base.config.start_id
    prompts = [[t for t in row.prompt if t != start and not noise.is_noise(t)] for row in rows]
    return padded(prompts).to(base.device), padded([row.completion for row in rows]).to(base.device)


def _begin(stage: TrainingStage) -> None:
    """Raises RunError if there are several processes."""
    if distributed.count() > 1:
        raise RunError("The VAE and the GAN are trained by one process: start the trainer without torchrun.")
    torch.manual_seed(stage.config.seed)


def _batches(places: Sequence[int], size: int, rng: random.Random) -> Iterator[list[int]]:
    """Batches in random order, without end."""
    while True:
        order = rng.sample(places, len(places))
        yield from (order[start : start + size] for start in range(0, len(order), size))
