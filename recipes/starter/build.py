"""Make the starter model from nothing: corpus, tokenizer, training, measurements, model card.

    python -m recipes.starter.build

The same seed gives the same corpus and tokenizer on every machine; the weights also depend on how fast it is.
"""

import argparse
import copy
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.logging import RichHandler
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from engine.memory import keep_memory
from recipes import corpus
from recipes.starter import card, measure, train
from recipes.starter.tokenizer import encode, train_tokenizer

logger = logging.getLogger(__name__)

VOCABULARY = 4096
HERE = Path(__file__).parents[2] / "engine" / "starter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to build and where."""

    out: Path
    """Gets `weights/` and `MODEL_CARD.md`."""
    corpus: Path
    """Where the corpus is written, as JSON lines."""
    seed: int
    minutes: float
    texts: int
    """Conversations in the corpus."""
    threads: int
    resume: bool
    """Train the model in `out` further, at half the learning rate, with its tokenizer."""
    steps: int | None
    """At most so many optimizer steps; none: as many as the minutes allow."""
    samples: int
    """Texts of each kind and language to measure."""


def main(arguments: list[str] | None = None) -> int:
    """Build with the options of the command line; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    transformers_logging.disable_progress_bar()
    build(_options(arguments))
    return 0


def build(options: Options) -> None:
    """Write the corpus, train tokenizer and model, measure, and put the folder of weights in place."""
    torch.set_num_threads(options.threads)
    keep_memory()
    logger.info("Writing %d conversations to %s", options.texts, options.corpus)
    conversations = list(corpus.conversations(options.texts, seed=options.seed))
    corpus.write_corpus(options.corpus, conversations)
    weights = options.out / "weights"
    tokenizer, model = _load(weights) if options.resume else _start(conversations, seed=options.seed)
    sequences = encode(tokenizer, [item.messages for item in conversations])
    logger.info("Training %d parameters on %d tokens", model.num_parameters(), sum(map(len, sequences)))
    trained = train.train(
        model,
        tokenizer,
        sequences,
        train.Budget(
            minutes=options.minutes, steps=options.steps, seed=options.seed, peak=0.5 if options.resume else 1.0
        ),
        checkpoint=lambda: save(model, tokenizer, weights),
    )
    save(model, tokenizer, weights)
    logger.info("Measuring")
    figures = measure.figures(model, tokenizer, count=options.samples, seed=options.seed)
    card.write(
        options.out / "MODEL_CARD.md",
        model,
        trained,
        figures,
        seed=options.seed,
        texts=options.texts,
        resumed=options.resume,
    )
    logger.info("Done: %s", weights)


def _start(
    conversations: Sequence[corpus.Conversation], *, seed: int
) -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
    logger.info("Training the tokenizer")
    texts = (message.content for item in conversations for message in item.messages)
    tokenizer = train_tokenizer(texts, vocabulary=VOCABULARY, context=train.CONTEXT)
    return tokenizer, train.new_model(tokenizer, train.Shape(), seed=seed)


def _load(weights: Path) -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(weights)
    return tokenizer, LlamaForCausalLM.from_pretrained(weights, dtype=torch.float32)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write model (half precision) and tokenizer beside the folder, then put them in its place."""
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    half = copy.deepcopy(model).half()
    half.generation_config = GenerationConfig(
        do_sample=True,
        temperature=measure.TEMPERATURE,
        min_p=measure.MIN_P,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    half.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    for file in fresh.iterdir():  # safetensors writes for its owner only, but a package is read by everybody
        file.chmod(0o644)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _options(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m recipes.starter.build", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE, help="gets weights/ and MODEL_CARD.md")
    parser.add_argument("--corpus", type=Path, default=Path("build/starter/corpus.jsonl"), help="the corpus to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=48.0, help="time for training, in minutes")
    parser.add_argument("--texts", type=int, default=200_000, help="conversations in the corpus")
    parser.add_argument("--threads", type=int, default=2, help="processor cores to use")
    parser.add_argument("--resume", action="store_true", help="train the model in OUT further")
    parser.add_argument("--steps", type=int, default=None, help="at most so many optimizer steps")
    parser.add_argument("--samples", type=int, default=40, help="texts of each kind and language to measure")
    return Options(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
