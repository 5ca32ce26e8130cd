"""How the small generators learn from ratings: an adapter on the decoder, by each one's own objective.

**VAE.** A head in latent space says with weights w which latents are liked: a logistic regression, on the posterior
means of the model's own texts, of what the taste head thinks of them. (Of the ratings themselves it would be one on a
few hundred labels, of which it measured worse.) Tilting the prior by it, p(z) exp(s w.z), gives N(s w, I): sampling
moves by a vector, and KL(tilted || prior) = |s w|^2 / 2 is known before a text is written. Then the decoder is fitted
to the reward-weighted lower bound of the rated texts (`vae.Bound.loss`): a liked text counts, a disliked one does not.

**GAN.** Liked texts are the discriminator's real ones; disliked ones and what the generator writes now are its fakes.
So D(x) comes to mean "liked here", and L_G is the loop's own objective.

The on-policy stage that other models have follows. Both keep to the budgets of `finetune.Course` and leave a trail.
Knows token ids, weights and models. Knows nothing of run folders or judging.
"""

import math
import random
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from peft import PeftModelForCausalLM
from torch import Tensor

from engine.errors import RunError
from engine.evaluation.sampling import Prompt, Replies
from engine.latent import vae
from engine.latent.gan import Duel, GanLM
from engine.latent.model import LatentLM, padded
from engine.latent.vae import VaeLM
from engine.models import distributed
from engine.models.logprobs import Encoded
from engine.preference.head import Labels, fit
from engine.runs.config import RunConfig
from engine.training.kto import (
    MAX_GRADIENT_NORM,
    Course,
    Curves,
    TrainingSet,
    optimizer_for,
    rated_steps,
    require_finite_loss,
    trained_parameters,
)
from engine.training.rloo import Rewarding

OPINIONS = 512
"""Own texts that the head in latent space is fitted on."""
_TILT_USED = 0.9
"""Of the stage's KL budget, for the prior: that the rated texts become likelier costs little once z is given."""
_TILT_STEPS = 24
"""Half of the marks of a run, so that a candidate that oversteps a bound can go back into the tilt itself."""
_VAE_RATE, _GAN_RATE = 3e-3, 1e-3
_FREE = 0.05
"""The weight of the generator's own texts: more of it, and it soon writes the same few."""
_GAN_BATCH = 64


def fit_vae(
    model: PeftModelForCausalLM,
    data: TrainingSet,
    prompts: Sequence[Prompt],
    config: RunConfig,
    course: Course,
    rewarding: Rewarding,
) -> Curves:
    """Tilt the prior towards what is liked, then fit the decoder; the adapter is as yet fresh.

    Raises:
        RunError: the loss is not a finite number, or there are several processes.
    """
    _begin(config)
    curves = Curves()
    texts = rewarding.write(prompts, OPINIONS, config.seed + 2)
    tilt(cast(VaeLM, model.get_base_model()), texts, rewarding.liking(texts), course, curves)
    return fit_decoder(model, data, config, course, curves)


def tilt(base: VaeLM, texts: Replies, liking: Tensor, course: Course, curves: Curves) -> None:
    """Move the prior's mean along what the head in latent space likes, mark by mark, within its share of the budget.

    The head learns from `liking`, (n,), float64, the chance of a like of each text that the base wrote.
    """
    labels = Labels(liking, torch.ones_like(liking), torch.tensor(texts.owners))
    with torch.no_grad():
        means = base.encode(tensors(texts.rows, base)[1]).mean.double().cpu()
        head = fit(means, labels)
        liked = (head.projection @ head.weights[:-1]).float()
        liked *= math.sqrt(2.0 * _TILT_USED * course.kl_budget) / max(float(liked.norm()), 1e-6)
        down, up = (getattr(base.tilt, side)["default"].weight for side in ("lora_A", "lora_B"))
        down.zero_()[0, 0] = 1.0
        for step in range(1, _TILT_STEPS + 1):
            up.zero_()[:, 0] = liked * step / _TILT_STEPS
            course.trail.mark()
    curves.kl.append(course.measure_kl())


def fit_decoder(
    model: PeftModelForCausalLM, data: TrainingSet, config: RunConfig, course: Course, curves: Curves
) -> Curves:
    """Fit the decoder to the reward-weighted bound of the rated texts; adds to the curves."""
    base = cast(VaeLM, model.get_base_model())
    weights = data.signed_weights.clamp(min=0.0)
    liked = [i for i, weight in enumerate(weights.tolist()) if weight > 0.0]
    parameters = trained_parameters(model)
    optimizer = optimizer_for(parameters, config.learning_rate or _VAE_RATE)
    batches = _batches(liked, config.batch_size, random.Random(config.seed))
    steps = rated_steps(len(data.rows), config)
    for step in range(1, steps + 1):
        chosen = next(batches)
        prompts, texts = tensors([data.rows[i] for i in chosen], base)
        bound = vae.bound(base, prompts, texts)
        chosen_weights = weights[chosen].to(base.device)
        loss = bound.loss(chosen_weights / chosen_weights.mean(), free_bits=0.0)
        require_finite_loss(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        if not course.goes_on(step, steps, loss.item(), curves):
            break
    return curves


def fit_gan(
    model: PeftModelForCausalLM,
    data: TrainingSet,
    prompts: Sequence[Prompt],
    config: RunConfig,
    course: Course,
    rewarding: Rewarding,
) -> Curves:
    """Let a discriminator of what is liked here teach the generator.

    Raises:
        RunError: as `fit_vae`.
    """
    _begin(config)
    base, curves = cast(GanLM, model.get_base_model()), Curves()
    signs = data.signed_weights.tolist()
    liked, disliked = ([i for i, sign in enumerate(signs) if sign * side > 0.0] for side in (1.0, -1.0))
    parameters = trained_parameters(model)
    optimizer = optimizer_for(parameters, config.learning_rate or _GAN_RATE)
    judge = base.discriminator.requires_grad_(True)
    duel = Duel(base, optimizer, torch.optim.Adam(judge.parameters(), lr=1e-3, betas=(0.5, 0.99)))
    rng = random.Random(config.seed)
    good, bad = _batches(liked, _GAN_BATCH, rng), _batches(disliked, _GAN_BATCH, rng)
    judge.train()
    steps = rated_steps(len(data.rows), config)
    for step in range(1, steps + 1):
        real = tensors([data.rows[i] for i in next(good)], base)
        losses = duel.step(*real, free=_FREE, wrong=tensors([data.rows[i] for i in next(bad)], base))
        require_finite_loss(float(losses.generator))
        if not course.goes_on(step, steps, float(losses.generator), curves):
            break
    judge.eval().requires_grad_(False)
    return curves


def _begin(config: RunConfig) -> None:
    if distributed.count() > 1:
        raise RunError("The VAE and the GAN are trained by one process: start the trainer without torchrun.")
    torch.manual_seed(config.seed)


def tensors(rows: Sequence[Encoded], base: LatentLM) -> tuple[Tensor, Tensor]:
    """(prompts, texts) as `recipes.latent.train` has them: without the noise, padded on the right."""
    noise, start = base.noise, base.config.start_id
    prompts = [[t for t in row.prompt if t != start and not noise.is_noise(t)] for row in rows]
    return padded(prompts).to(base.device), padded([row.completion for row in rows]).to(base.device)


def _batches(places: Sequence[int], size: int, rng: random.Random) -> Iterator[list[int]]:
    """Batches in random order, without end."""
    while True:
        order = rng.sample(places, len(places))
        yield from (order[start : start + size] for start in range(0, len(order), size))
