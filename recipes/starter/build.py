"""The model card: what the starter is and is not, with the figures of the build that made it.

Make the starter model from nothing: corpus, tokenizer, training, measurements, model card.

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

from engine.process import keep_memory
from recipes import corpus
from recipes.starter import measure, train
from recipes.starter.measure import MIN_P, TEMPERATURE, TOPIC_KINDS, Figures
from recipes.starter.tokenizer import encode, train_tokenizer
from recipes.starter.train import Trained

_CARD = """\
# The starter model

A very small language model that lets the whole loop of Ovation run offline in minutes: prompts, texts, reactions,
nightly fine-tuning. It writes slogans, titles, poems, very short stories, posts, pitches, characters and short notes
(thanks, invitations, apologies and the like) in English and Simplified Chinese, each in eight or more styles that the
prompt does not name, so that a chat's taste has something to choose from. It also follows a few wishes about its last
text (shorter, longer, with emoji, funnier, make it about something else, ...).

## What it is not

* It is **not a general language model**. It knows the grammar of one generated corpus and nothing of the world: no
  facts, no answers to questions, no other tasks, no other languages. Ask it for anything else and it writes one of
  its texts all the same.
* Its texts are composed from a limited stock of words and turns of phrase. For real use choose an instruct model
  from a hub with `MODEL=`.
* Dates, numbers, names and places in its texts are invented.
* It repeats the words of the prompt, whatever they are; it has no sense of what should not be repeated.

## How it was made

`python -m recipes.starter.build` (seed {seed}). A grammar of templates and word lists
(`recipes/grammar_files/*.toml`, written for this project; no text was taken from
elsewhere) composed {texts:,} conversations; a byte-level BPE tokenizer of
{vocabulary:,} tokens was trained on them; then a Llama of {parameters:,} parameters ({shape}) was trained from random
weights for {minutes:.0f} minutes on {tokens:,} tokens ({steps:,} steps, Muon and AdamW).{resumed} The weights are
stored in half precision.

More than a third of all topics are invented words, so that copying a topic is learned as a skill. Invented words with a
certain checksum and a short list of real ones (`held_out` in `topics.*.toml`) were kept out of the corpus.

## Measured

Sampled as `generation_config.json` says (temperature {temperature}, min-p {min_p}), {count} texts for each kind and
language, on topics that training never saw. The share of texts that hold the topic word for word (letter case aside):

| kind | English | Chinese |
| --- | --- | --- |
{rows}

Sampled from all tokens, without min-p: {all_en:.1%} in English, {all_zh:.1%} in Chinese.

Of the texts above {ended:.1%} ended by themselves within 160 tokens. Loss on fresh conversations: {loss_en:.3f} nats
per token in English, {loss_zh:.3f} in Chinese (means over conversations; most of what
remains is the grammar's own freedom of choice).

## Samples

The first text of each kind in that measurement, not chosen:

{samples}

Licence: Apache-2.0, like the rest of the project.
"""

_RESUMED = " These are the numbers of the last part: it went on from the weights of an earlier training."


def write(
    path: Path, model: LlamaForCausalLM, trained: Trained, figures: Figures, *, seed: int, texts: int, resumed: bool
) -> None:
    """Write the card; the numbers of a resumed training are those of its last part."""
    shares = [[figures.on_topic[language][kind] for language in ("en", "zh")] for kind in TOPIC_KINDS]
    rows = [f"| {kind} | {en:.0%} | {zh:.0%} |" for kind, (en, zh) in zip(TOPIC_KINDS, shares, strict=True)]
    means = [sum(column) / len(column) for column in zip(*shares, strict=True)]
    rows.append(f"| **all** | **{means[0]:.1%}** | **{means[1]:.1%}** |")
    samples = [f"* {s.kind}, *{s.topic}*: {s.text.replace(chr(10), ' / ')}" for s in figures.samples]
    config = model.config
    shape = f"{config.num_hidden_layers} layers, width {config.hidden_size}, {config.num_attention_heads} heads"
    text = _CARD.format(
        seed=seed,
        texts=texts,
        vocabulary=config.vocab_size,
        parameters=model.num_parameters(),
        shape=shape,
        count=figures.count,
        minutes=trained.minutes,
        tokens=trained.tokens,
        steps=trained.steps,
        resumed=_RESUMED if resumed else "",
        rows="\n".join(rows),
        temperature=TEMPERATURE,
        min_p=MIN_P,
        all_en=figures.from_all_tokens["en"],
        all_zh=figures.from_all_tokens["zh"],
        ended=figures.ended,
        loss_en=figures.loss["en"],
        loss_zh=figures.loss["zh"],
        samples="\n".join(samples),
    )
    path.write_text(text, encoding="utf-8")


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
    write(
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
