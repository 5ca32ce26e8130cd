"""Make the starter model from nothing: corpus, tokenizer, training, measurements, model card.

    python -m recipes.starter.build

The same seed gives the same corpus and tokenizer on every machine; the weights also depend on how fast it is.
"""

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from recipes import corpus
from recipes.starter import measure, train
from recipes.starter.tokenizer import encode, train_tokenizer
from recipes.training import MIN_P, STARTER_FOLDER, TEMPERATURE, Budget, save, set_up

logger = logging.getLogger(__name__)

VOCABULARY = 4096
_BUDGET = Budget(minutes=48.0, batch=2048, learning_rate=4e-3)

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

Sampled from all tokens, without min-p: {on_topic[en]:.1%} in English, {on_topic[zh]:.1%} in Chinese.

Of the texts above {ended:.1%} ended by themselves within 160 tokens. Loss on fresh conversations: {loss[en]:.3f} nats
per token in English, {loss[zh]:.3f} in Chinese (means over conversations; most of what
remains is the grammar's own freedom of choice).

## Samples

The first text of each kind in that measurement, not chosen:

{samples}

Licence: Apache-2.0, like the rest of the project.
"""

_RESUMED = " These are the numbers of the last part: it went on from the weights of an earlier training."


def main(arguments: list[str] | None = None) -> int:
    """Build with the options of the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m recipes.starter.build", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=STARTER_FOLDER, help="gets weights/ and MODEL_CARD.md")
    parser.add_argument("--corpus", type=Path, default=Path("build/starter/corpus.jsonl"), help="the corpus to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=48.0, help="time for training, in minutes")
    parser.add_argument("--texts", type=int, default=200_000, help="conversations in the corpus")
    parser.add_argument("--threads", type=int, default=2, help="processor cores to use")
    parser.add_argument("--resume", action="store_true", help="train the model in OUT further")
    parser.add_argument("--steps", type=int, default=None, help="at most so many optimizer steps")
    parser.add_argument("--samples", type=int, default=40, help="texts of each kind and language to measure")
    options = parser.parse_args(arguments)
    set_up(options.threads)
    transformers_logging.disable_progress_bar()
    build(options)
    return 0


def build(options: argparse.Namespace) -> None:
    """Write the corpus, train tokenizer and model, measure, and put the folder of weights in place.

    With `resume`, the model in `out` is trained further, with its tokenizer, at half the learning rate.
    """
    logger.info("Writing %d conversations to %s", options.texts, options.corpus)
    conversations = list(corpus.conversations(options.texts, seed=options.seed))
    corpus.write_corpus(options.corpus, conversations)
    weights, rate = options.out / "weights", _BUDGET.learning_rate
    if options.resume:
        rate /= 2
        tokenizer = PreTrainedTokenizerFast.from_pretrained(weights)
        model = LlamaForCausalLM.from_pretrained(weights, dtype=torch.float32)
    else:
        logger.info("Training the tokenizer")
        texts = (message.content for item in conversations for message in item.messages)
        tokenizer = train_tokenizer(texts, vocabulary=VOCABULARY, context=train.CONTEXT)
        model = train.new_model(tokenizer, seed=options.seed)
    sequences = encode(tokenizer, [item.messages for item in conversations])
    logger.info("Training %d parameters on %d tokens", model.num_parameters(), sum(map(len, sequences)))
    budget = replace(_BUDGET, minutes=options.minutes, steps=options.steps, seed=options.seed, learning_rate=rate)
    clock, tokens = train.train(model, tokenizer, sequences, budget, checkpoint=lambda: save(model, tokenizer, weights))
    save(model, tokenizer, weights)
    logger.info("Measuring")
    figures = measure.figures(model, tokenizer, count=options.samples, seed=options.seed)
    config = model.config
    card = _CARD.format(
        seed=options.seed, texts=options.texts, vocabulary=config.vocab_size, parameters=model.num_parameters(),
        shape=f"{config.num_hidden_layers} layers, width {config.hidden_size}, {config.num_attention_heads} heads",
        minutes=clock.seconds / 60, tokens=tokens, steps=clock.steps, resumed=_RESUMED if options.resume else "",
        temperature=TEMPERATURE, min_p=MIN_P, **figures,
    )  # fmt: skip
    (options.out / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    logger.info("Done: %s", weights)


if __name__ == "__main__":
    sys.exit(main())
