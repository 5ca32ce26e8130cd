"""What a small generator can do, by the grammar that it learned from: is what it writes well-formed, and is it new?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from transformers import PreTrainedTokenizerFast

from engine.latent import vae
from engine.latent.model import LatentLM, padded
from engine.latent.slots import fill
from engine.latent.vae import VaeLM
from recipes.grammar import is_well_formed
from recipes.latent.skeletons import Skeleton
from recipes.latent.train import Rows

LONGEST: Final = 80
IW_TEXTS, IW_SAMPLES = 200, 100


@dataclass(frozen=True, slots=True)
class Writing:
    """Texts drawn at one temperature."""

    well_formed: float
    """Share of the texts that the grammar could have written, for the kind and language asked."""
    distinct: float
    """Of the well-formed ones, the share of different texts with their topics filled in, as people see them."""
    distinct_open: float
    """The same with the topics left open."""
    new: float
    """Of the well-formed ones, the share that stands nowhere in the corpus with its topic filled in."""
    new_open: float
    """The same with the topics left open."""
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Latent:
    """What a VAE's latent holds, on texts that it was not trained on; nats a text."""

    reconstruction: float
    kl: float
    active_units: int
    mutual_information: float
    likelihood: float
    """-log p(x) by importance weighting."""


def writing(
    model: LatentLM, tokenizer: PreTrainedTokenizerFast, asked: Sequence[Skeleton], rows: Rows,
    corpus: Sequence[Skeleton], *, temperature: float, min_p: float = 0.0,
) -> Writing:  # fmt: skip
    """Write one text for each prompt from the prior, and judge it beside the corpus that the model learned from."""
    noise = torch.randn(len(asked), model.config.latent_size, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    context = model.context_of(padded(rows.prompts), noise)
    drawn = model.write(context, longest=LONGEST, temperature=temperature, min_p=min_p)
    texts: list[str] = tokenizer.batch_decode(drawn, skip_special_tokens=True)
    pairs = list(zip(texts, asked, strict=True))
    good = [(text, each.topic) for text, each in pairs if is_well_formed(text, each.kind, each.language)]
    open_texts, filled = [text for text, _ in good], [fill(text, topic) for text, topic in good]
    known_open, known_filled = {each.text for each in corpus}, {fill(each.text, each.topic) for each in corpus}
    count = max(1, len(good))
    return Writing(
        well_formed=len(good) / len(texts),
        distinct=len(set(filled)) / count,
        distinct_open=len(set(open_texts)) / count,
        new=sum(text not in known_filled for text in filled) / count,
        new_open=sum(text not in known_open for text in open_texts) / count,
        samples=tuple(fill(text, each.topic) for text, each in pairs[:12]),
    )


@torch.no_grad()
def latent(model: VaeLM, rows: Rows) -> Latent:
    """Measure the latent on held-out texts."""
    torch.manual_seed(0)
    prompts, texts = padded(rows.prompts), padded(rows.texts)
    bound, posterior = vae.bound(model, prompts, texts), model.encode(texts)
    weighted = vae.importance_weighted(model, prompts[:IW_TEXTS], texts[:IW_TEXTS], samples=IW_SAMPLES)
    return Latent(
        reconstruction=float(bound.reconstruction.mean()),
        kl=float(bound.kl.sum(1).mean()),
        active_units=vae.active_units(posterior),
        mutual_information=vae.mutual_information(posterior),
        likelihood=-float(weighted.mean()),
    )


@torch.no_grad()
def surprise(model: LatentLM, rows: Rows) -> float:
    """-log p(x) of a model whose latent is held at 0, nats a text, on the texts that `latent` weighs."""
    prompts, texts = padded(rows.prompts)[:IW_TEXTS], padded(rows.texts)[:IW_TEXTS]
    return -float(model.log_likelihood(torch.zeros(len(texts), model.config.latent_size), prompts, texts).mean())
