"""What a small generator can do, by the grammar that it learned from: is what it writes well-formed, and is it new?"""

import math
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from engine.latent import vae
from engine.latent.model import LatentLM, padded
from engine.latent.slots import fill
from engine.latent.vae import Posterior, VaeLM
from recipes.grammar import is_well_formed
from recipes.latent.skeletons import Skeleton
from recipes.latent.train import Rows
from recipes.training import MIN_P, TEMPERATURE

LONGEST: Final = 80
IW_TEXTS, IW_SAMPLES = 200, 100
SAMPLINGS: Final = (
    ("greedy", 0.0, 0.0),
    ("temperature 1", 1.0, 0.0),
    ("temperature 0.7", 0.7, 0.0),
    ("served", TEMPERATURE, MIN_P),
)
"""Temperature and min-p; the last is how the bot samples."""


def measure_writing(
    model: LatentLM, tokenizer: PreTrainedTokenizerFast, asked: Sequence[Skeleton], rows: Rows,
    corpus: Sequence[Skeleton],
) -> dict[str, Any]:  # fmt: skip
    """By each sampling, what texts are like that are written from the prior, one for each of the prompts.

    `asked` are skeletons of another seed than the corpus that the model has learned from, `rows` the same as token ids.
    """
    noise = torch.randn(len(asked), model.config.latent_size, generator=torch.Generator().manual_seed(0))
    known_open, known = {each.text for each in corpus}, {fill(each.text, each.topic) for each in corpus}
    found = {}
    for name, temperature, min_p in SAMPLINGS:
        torch.manual_seed(0)
        context = model.context_of(padded(rows.prompts), noise)
        drawn = model.write(context, longest=LONGEST, temperature=temperature, min_p=min_p)
        texts: list[str] = tokenizer.batch_decode(drawn, skip_special_tokens=True)
        pairs = list(zip(texts, asked, strict=True))
        good = [(text, each.topic) for text, each in pairs if is_well_formed(text, each.kind, each.language)]
        left_open, filled = [text for text, _ in good], [fill(text, topic) for text, topic in good]
        count = max(1, len(good))
        found[name] = {  # shares; all but the first are of the well-formed texts, `open` with their topics left open
            "well_formed": len(good) / len(texts),
            "distinct": len(set(filled)) / count,
            "distinct_open": len(set(left_open)) / count,
            "new": sum(text not in known for text in filled) / count,
            "new_open": sum(text not in known_open for text in left_open) / count,
            "samples": [fill(text, each.topic) for text, each in pairs[:12]],
        }
    return found


@torch.no_grad()
def measure_latent(model: VaeLM, rows: Rows, *, is_held_at_0: bool) -> dict[str, float]:
    """What a VAE's latent holds, on texts that it was not trained on; in nats a text but for the active units.

    Of one whose latent is held at 0, which makes it a language model, there is the likelihood only.
    """
    prompts, texts = padded(rows.prompts), padded(rows.texts)
    some_prompts, some_texts = prompts[:IW_TEXTS], texts[:IW_TEXTS]
    if is_held_at_0:
        latent = torch.zeros(len(some_texts), model.config.latent_size)
        return {"likelihood": -float(model.log_likelihood(latent, some_prompts, some_texts).mean())}
    torch.manual_seed(0)
    bound, posterior = vae.bound(model, prompts, texts), model.encode(texts)
    weighted = importance_weighted(model, some_prompts, some_texts, samples=IW_SAMPLES)
    return {
        "reconstruction": float(bound.reconstruction.mean()),
        "kl": float(bound.kl.sum(1).mean()),
        "active_units": active_units(posterior),
        "mutual_information": mutual_information(posterior),
        "likelihood": -float(weighted.mean()),
    }


@torch.no_grad()
def importance_weighted(model: VaeLM, prompts: Tensor, texts: Tensor, *, samples: int) -> Tensor:
    """log 1/K sum p(x|z_k) p(z_k) / q(z_k|x), a bound on log p(x), (B,), nats (arXiv 1509.00519, equation 8)."""
    posterior = model.encode(texts)
    ratios = []
    for _ in range(samples):
        latent = posterior.sample()
        prior = -0.5 * (latent.square() + math.log(2.0 * math.pi)).sum(1)
        ratios.append(model.log_likelihood(latent, prompts, texts) + prior - posterior.log_density(latent))
    return torch.stack(ratios).logsumexp(0) - math.log(samples)


@torch.no_grad()
def mutual_information(posterior: Posterior) -> float:
    """I(x; z) of a batch under q, nats: E log q(z|x) - E log q(z), with q(z) the mean of the batch's posteriors.

    Hoffman and Johnson 2016 (ELBO surgery); at most the log of the batch's size.
    """
    latent = posterior.sample()
    each = [
        Posterior(mean[None], log_variance[None]).log_density(latent)
        for mean, log_variance in zip(*posterior, strict=True)
    ]
    aggregate = torch.stack(each).logsumexp(0) - math.log(len(latent))
    return float((posterior.log_density(latent) - aggregate).mean())


def active_units(posterior: Posterior) -> int:
    """How many dimensions have posterior means of a variance above 0.01 over the texts (arXiv 1509.00519, 5.2)."""
    return int((posterior.mean.var(0) > 0.01).sum())
