"""The model card: what the starter is and is not, with the figures of the build that made it."""

from pathlib import Path

from transformers import LlamaForCausalLM

from recipes.starter.measure import MIN_P, TEMPERATURE, TOPIC_KINDS, Figures
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

`python -m recipes.starter.build` (seed {seed}). A grammar of templates and word lists (`grammar/*.toml`, written for
this project; no text was taken from elsewhere) composed {texts:,} conversations; a byte-level BPE tokenizer of
{vocabulary:,} tokens was trained on them; then a Llama of {parameters:,} parameters ({shape}) was trained from random
weights for {minutes:.0f} minutes on {tokens:,} tokens ({steps:,} steps, Muon and AdamW).{resumed} The weights are
stored in half precision.

More than a third of all topics are invented words, so that copying a topic is learned as a skill. Invented words with a
certain checksum and a short list of real ones (`held_out` in `grammar/topics.*.toml`) were kept out of the corpus.

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
