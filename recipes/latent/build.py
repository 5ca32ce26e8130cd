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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from rich.logging import RichHandler
from transformers import PreTrainedTokenizerFast

from engine.api.types import Message
from engine.errors import ModelError
from engine.latent.gan import GanConfig, GanLM
from engine.latent.model import LatentLM
from engine.latent.vae import VaeConfig, VaeLM
from engine.models.chat_template import ChatTemplate
from engine.process import keep_memory
from recipes.corpus import instructions
from recipes.latent.lessons import LESSONS, Lessons, Skeleton, skeletons
from recipes.latent.measure import known_of, latent, surprise, writing
from recipes.latent.tokenizer import train_tokenizer
from recipes.latent.train import Budget, Course, Recipe, Rows, train_gan, train_vae
from recipes.starter.build import save

logger = logging.getLogger(__name__)

CURVES_FILE: Final = "training.json"
FEWEST_TEXTS: Final = 1000
SAMPLINGS: Final = (
    ("greedy", 0.0, 0.0),
    ("temperature 1", 1.0, 0.0),
    ("temperature 0.7", 0.7, 0.0),
    ("served", 0.9, 0.05),
)
"""Temperature and min-p; the last is how the bot samples."""
_HERE = Path(__file__).parents[2] / "engine" / "starter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one of the two is made from."""

    lessons: Lessons
    vocabulary: int
    longest: int
    """Tokens of a text; longer ones are left out."""
    latent: int
    """Numbers of noise a text is written from."""
    budget: Budget


PLANS: Final = {
    "vae": Plan(
        lessons=LESSONS["vae"], vocabulary=4096, longest=48, latent=32,
        budget=Budget(minutes=14.0, batch=64, learning_rate=3e-3),
    ),
    "gan": Plan(
        lessons=LESSONS["gan"], vocabulary=1400, longest=12, latent=16,
        budget=Budget(minutes=8.0, batch=96, learning_rate=2e-3),
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the command line asks for; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    options = _parser().parse_args(arguments)
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
    torch.set_num_threads(options.threads)
    keep_memory()
    plan = PLANS[options.model]
    texts = plan.lessons.texts if options.texts is None else options.texts
    if texts < FEWEST_TEXTS:
        raise ModelError(f"A corpus of {texts} texts is too small to learn from: ask for {FEWEST_TEXTS:,} or more.")
    minutes = plan.budget.minutes if options.minutes is None else options.minutes
    budget = Budget(
        minutes=minutes, steps=options.steps, batch=plan.budget.batch, learning_rate=plan.budget.learning_rate,
        seed=options.seed,
    )  # fmt: skip
    corpus = list(skeletons(texts, plan.lessons.kinds, themed=plan.lessons.themed, seed=0))
    tokenizer = tokenizer_of(corpus, plan)
    rows = rows_of(corpus, tokenizer, longest=plan.longest)
    logger.info("Training on %d texts of %.1f tokens", len(rows.texts), _mean_length(rows))
    model, course = _train(options, tokenizer, rows, budget)
    out = options.out or _HERE / options.model
    save(model, tokenizer, out)
    told = {"recipe": options.recipe, "texts": len(rows.texts), "steps": course.steps, "seconds": course.seconds}
    figures = measure(model, tokenizer, plan, corpus, recipe=options.recipe, count=options.samples)
    told |= {"measured": figures, "curves": course.curves}
    (out / CURVES_FILE).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    logger.info("Done: %s, %d steps in %.0f s", out, course.steps, course.seconds)


def tokenizer_of(corpus: Sequence[Skeleton], plan: Plan) -> PreTrainedTokenizerFast:
    """The tokenizer that a plan's model gets from its corpus."""
    texts = [each.text for each in corpus] + ([each.topic for each in corpus] if plan.lessons.themed else [])
    return train_tokenizer(
        texts,
        vocabulary=plan.vocabulary,
        known=plan.lessons.kinds,
        noise=plan.latent,
        reads_topic=plan.lessons.themed,
        context=1024,
    )


def rows_of(corpus: Sequence[Skeleton], tokenizer: PreTrainedTokenizerFast, *, longest: int) -> Rows:
    """The corpus as token ids: prompts as serving would read them, without their noise and start."""
    template, config = ChatTemplate(tokenizer), VaeConfig()
    texts = tokenizer([each.text for each in corpus], add_special_tokens=False)["input_ids"]
    prompts, kept = [], []
    for each, ids in zip(corpus, texts, strict=True):
        if len(ids) < longest:
            asked = (Message("system", instructions(each.kind, each.language)[0]), Message("user", each.topic))
            prompt = template.encode(asked)
            prompts.append(prompt[: prompt.index(config.open_id)])
            kept.append([*ids, tokenizer.eos_token_id])
    return Rows(prompts, kept)


def measure(
    model: LatentLM,
    tokenizer: PreTrainedTokenizerFast,
    plan: Plan,
    corpus: Sequence[Skeleton],
    *,
    recipe: str | None,
    count: int,
) -> dict[str, Any]:
    """What the model can do, on prompts and texts of another seed."""
    asked = [
        each
        for each in skeletons(count, plan.lessons.kinds, themed=plan.lessons.themed, seed=1)
        if len(tokenizer(each.text)["input_ids"]) < plan.longest
    ]
    rows = rows_of(asked, tokenizer, longest=plan.longest)
    known = known_of(corpus)
    figures: dict[str, Any] = {"parameters": model.num_parameters()}
    for name, temperature, min_p in SAMPLINGS:
        found = writing(model, tokenizer, asked, rows, known, temperature=temperature, min_p=min_p)
        figures[name] = asdict(found)
    if isinstance(model, VaeLM):
        figures |= {"likelihood": surprise(model, rows)} if recipe == "language-model" else asdict(latent(model, rows))
    return figures


def _train(
    options: argparse.Namespace, tokenizer: PreTrainedTokenizerFast, rows: Rows, budget: Budget
) -> tuple[VaeLM | GanLM, Course]:
    torch.manual_seed(budget.seed)
    words, size = len(tokenizer), PLANS[options.model].latent
    if options.model == "vae":
        recipe: Recipe = options.recipe or "free-bits"
        vae = VaeLM(VaeConfig(vocab_size=words, latent_size=size, hidden_size=192, head_dim=192))
        return vae, train_vae(vae, rows, budget, recipe=recipe, free_bits=options.free_bits)
    gan = GanLM(GanConfig(vocab_size=words, latent_size=size, hidden_size=128, head_dim=128, context_size=16))
    return gan, train_gan(gan, rows, budget, by_likelihood=options.recipe == "likelihood")


def _mean_length(rows: Rows) -> float:
    return sum(map(len, rows.texts)) / max(1, len(rows.texts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recipes.latent.build", description="Train the VAE or the GAN.")
    parser.add_argument("model", choices=tuple(PLANS))
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
