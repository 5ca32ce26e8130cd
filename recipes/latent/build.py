"""Make the VAE or the GAN from nothing: skeletons, tokenizer, training.

    python -m recipes.latent.build vae
    python -m recipes.latent.build gan

Other recipes stand beside them in `docs/models.md`: the VAE without its cure, the same network as a language model,
and the GAN's generator trained by likelihood. The same seed gives the same corpus and tokenizer everywhere.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from transformers import PreTrainedTokenizerFast

from engine.api.types import Message
from engine.errors import ModelError
from engine.latent.gan import GanConfig, GanLM
from engine.latent.model import LatentLM
from engine.latent.vae import VaeConfig, VaeLM
from engine.models.loader import ChatTemplate
from recipes.corpus import instructions
from recipes.latent.measure import measure_latent, measure_writing
from recipes.latent.skeletons import CORPORA, CorpusSpec, Skeleton, skeletons
from recipes.latent.tokenizer import train_tokenizer
from recipes.latent.train import Recipe, Rows, train_gan, train_vae
from recipes.training import STARTER_FOLDER, Budget, TrainingClock, save, set_up

logger = logging.getLogger(__name__)

CURVES_FILE: Final = "training.json"
FEWEST_TEXTS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What one of the two is made from."""

    corpus: CorpusSpec
    vocabulary: int
    longest: int
    """Tokens of a text; longer ones are left out."""
    latent: int
    """Numbers of noise a text is written from."""
    budget: Budget


SPECS: Final = {
    "vae": ModelSpec(
        corpus=CORPORA["vae"], vocabulary=4096, longest=48, latent=32,
        budget=Budget(minutes=14.0, batch=64, learning_rate=3e-3),
    ),
    "gan": ModelSpec(
        corpus=CORPORA["gan"], vocabulary=1400, longest=12, latent=16,
        budget=Budget(minutes=8.0, batch=96, learning_rate=2e-3),
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the command line asks for; returns the exit status."""
    options = _parser().parse_args(arguments)
    set_up(options.threads)
    try:
        build(options)
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def build(options: argparse.Namespace) -> None:
    """Write the folder of the model, with the curves of its training.

    Raises:
        ModelError: the corpus is too small to learn from.
    """
    spec = SPECS[options.model]
    wanted = {name: value for name in ("minutes", "steps", "seed") if (value := getattr(options, name)) is not None}
    spec = replace(spec, budget=replace(spec.budget, **wanted))
    if options.texts is not None:
        spec = replace(spec, corpus=replace(spec.corpus, texts=options.texts))
    if spec.corpus.texts < FEWEST_TEXTS:
        raise ModelError(
            f"A corpus of {spec.corpus.texts} texts is too small to learn from: ask for {FEWEST_TEXTS:,} or more."
        )
    corpus = list(skeletons(spec.corpus, seed=0))
    reads_topic = spec.corpus.themed
    texts = [each.text for each in corpus] + ([each.topic for each in corpus] if reads_topic else [])
    tokenizer = train_tokenizer(
        texts, vocabulary=spec.vocabulary, known=spec.corpus.kinds, noise=spec.latent, reads_topic=reads_topic
    )
    rows = rows_of(corpus, tokenizer, longest=spec.longest)
    length = sum(map(len, rows.texts)) / max(1, len(rows.texts))
    logger.info("Training on %d texts of %.1f tokens", len(rows.texts), length)
    model, clock = _train(options, spec, rows, words=len(tokenizer))
    out = options.out or STARTER_FOLDER / options.model
    save(model, tokenizer, out)
    fresh = skeletons(replace(spec.corpus, texts=options.samples), seed=1)
    asked = [each for each in fresh if len(tokenizer(each.text)["input_ids"]) < spec.longest]
    asked_rows = rows_of(asked, tokenizer, longest=spec.longest)
    measured: dict[str, Any] = {"parameters": model.num_parameters()}
    measured |= measure_writing(model, tokenizer, asked, asked_rows, corpus)
    if isinstance(model, VaeLM):
        measured |= measure_latent(model, asked_rows, is_held_at_0=options.recipe == "language-model")
    told = {
        "recipe": options.recipe, "texts": len(rows.texts), "steps": clock.steps, "seconds": clock.seconds,
        "measured": measured, "curves": clock.curves,
    }  # fmt: skip
    (out / CURVES_FILE).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    logger.info("Done: %s, %d steps in %.0f s", out, clock.steps, clock.seconds)


def rows_of(corpus: Sequence[Skeleton], tokenizer: PreTrainedTokenizerFast, *, longest: int) -> Rows:
    """The corpus as token ids: prompts as serving would read them, without their noise and start."""
    template, config = ChatTemplate(tokenizer, folds_system=False), VaeConfig()
    texts = tokenizer([each.text for each in corpus], add_special_tokens=False)["input_ids"]
    prompts, kept = [], []
    for each, ids in zip(corpus, texts, strict=True):
        if len(ids) < longest:
            asked = (Message("system", instructions(each.kind, each.language)[0]), Message("user", each.topic))
            prompt = template.encode(asked)
            prompts.append(prompt[: prompt.index(config.open_id)])
            kept.append([*ids, tokenizer.eos_token_id])
    return Rows(prompts, kept)


def _train(options: argparse.Namespace, spec: ModelSpec, rows: Rows, *, words: int) -> tuple[LatentLM, TrainingClock]:
    torch.manual_seed(spec.budget.seed)
    if options.model == "vae":
        vae = VaeLM(VaeConfig(vocab_size=words, latent_size=spec.latent, hidden_size=192, head_dim=192))
        recipe: Recipe = options.recipe or "free-bits"
        return vae, train_vae(vae, rows, spec.budget, recipe=recipe, free_bits=options.free_bits)
    config = GanConfig(vocab_size=words, latent_size=spec.latent, hidden_size=128, head_dim=128, context_size=16)
    gan = GanLM(config)
    return gan, train_gan(gan, rows, spec.budget, by_likelihood=options.recipe == "likelihood")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recipes.latent.build", description="Train the VAE or the GAN.")
    parser.add_argument("model", choices=tuple(SPECS))
    parser.add_argument("--out", type=Path, help="the folder to write (default: where the shipped model is)")
    parser.add_argument(
        "--recipe", choices=("free-bits", "plain", "language-model", "adversarial", "likelihood"),
        help="the VAE's cure, none, or no latent; the GAN's losses, or likelihood",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="time for training")
    parser.add_argument("--steps", type=int, help="at most so many steps")
    parser.add_argument("--texts", type=int, help=f"texts in the corpus, {FEWEST_TEXTS} at least")
    parser.add_argument("--free-bits", type=float, default=8.0, help="nats a text that the VAE's latent has for free")
    parser.add_argument("--samples", type=int, default=1000, help="texts to measure it by")
    parser.add_argument("--threads", type=int, default=2, help="processor cores to use")
    return parser


if __name__ == "__main__":
    sys.exit(main())
