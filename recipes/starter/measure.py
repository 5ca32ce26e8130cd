"""What the starter can do: does it copy a topic that it never saw, does it stop by itself, how sure is it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from recipes import corpus
from recipes.grammar import KINDS, LANGUAGES, TOPIC_KINDS, Language
from recipes.starter.tokenizer import ASSISTANT, encode, token_id
from recipes.starter.train import assistant_loss
from recipes.training import MIN_P, TEMPERATURE


@dataclass(frozen=True, slots=True)
class Sample:
    """One text and what it was to be about."""

    kind: str
    topic: str
    text: str
    ended: bool
    """The model closed its turn within the tokens it was given."""

    @property
    def on_topic(self) -> bool:
        """Whether the topic stands in the text, in whatever letter case (titles change it)."""
        return self.topic.casefold() in self.text.casefold()


def held_out_samples(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, language: Language, *, count: int, seed: int,
    min_p: float = MIN_P,
) -> list[Sample]:  # fmt: skip
    """Texts of every kind with a topic, on topics that the corpus never held; `count` for each kind."""
    random = Random(seed)
    torch.manual_seed(seed)
    asked = [(kind, corpus.held_out_topic(language, random).text) for kind in TOPIC_KINDS for _ in range(count)]
    prompts = [
        [{"role": "system", "content": corpus.instructions(kind, language)[0]}, {"role": "user", "content": name}]
        for kind, name in asked
    ]
    texts = generate(model, tokenizer, prompts, temperature=TEMPERATURE, min_p=min_p)
    return [Sample(*about, *text) for about, text in zip(asked, texts, strict=True)]


@torch.inference_mode()
def generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[list[dict[str, str]]], *,
    temperature: float, min_p: float = 0.0, max_tokens: int = 160,
) -> list[tuple[str, bool]]:  # fmt: skip
    """A text for each conversation, and whether the model ended it; `min_p` as in `engine.api.types.Sampling`."""
    rendered = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
    batch = tokenizer(rendered, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False).to(
        model.device
    )
    output = model.generate(  # type: ignore[operator]  # transformers' stub says Tensor
        **batch, max_new_tokens=max_tokens, do_sample=True, temperature=temperature, top_k=0, top_p=1.0,
        min_p=min_p or None,
    )  # fmt: skip
    written = output[:, batch["input_ids"].shape[1] :]  # (B, new tokens)
    ended = (written == tokenizer.eos_token_id).any(1).tolist()
    return list(zip(tokenizer.batch_decode(written, skip_special_tokens=True), ended, strict=True))


def figures(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, *, count: int, seed: int) -> dict[str, object]:
    """What the model card tells of loss, copying and stopping, by the names of its places; `count` texts a kind."""
    samples, rows, shown = list[Sample](), list[list[float]](), list[Sample]()
    loss, from_all_tokens = dict[str, float](), dict[str, float]()
    for language in LANGUAGES:
        drawn = held_out_samples(model, tokenizer, language, count=count, seed=seed)
        by_kind = [[sample for sample in drawn if sample.kind == kind] for kind in TOPIC_KINDS]
        rows.append([_on_topic(those) for those in by_kind])
        unfiltered = held_out_samples(model, tokenizer, language, count=count, seed=seed, min_p=0.0)
        from_all_tokens[language] = _on_topic(unfiltered)
        loss[language] = held_out_loss(model, tokenizer, language, count=7 * count, seed=seed)
        shown += [those[0] for those in by_kind]
        samples += drawn
    shares = [f"| {kind} | {en:.0%} | {zh:.0%} |" for kind, en, zh in zip(TOPIC_KINDS, *rows, strict=True)]
    en, zh = (sum(row) / len(row) for row in rows)
    return {
        "count": count,
        "rows": "\n".join([*shares, f"| **all** | **{en:.1%}** | **{zh:.1%}** |"]),
        "on_topic": from_all_tokens,
        "ended": sum(sample.ended for sample in samples) / len(samples),
        "loss": loss,
        "samples": "\n".join(f"* {s.kind}, *{s.topic}*: {s.text.replace(chr(10), ' / ')}" for s in shown),
    }


def _on_topic(samples: Sequence[Sample]) -> float:
    return sum(sample.on_topic for sample in samples) / len(samples)


@torch.inference_mode()
def held_out_loss(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, language: Language, *, count: int, seed: int
) -> float:
    """Nats per assistant token on conversations drawn with another seed than the corpus."""
    random = Random(seed + 1_000_003)
    drawn = [corpus.conversation(random.choice(KINDS), language, random).messages for _ in range(count)]
    assistant, end = token_id(tokenizer, ASSISTANT), tokenizer.eos_token_id
    losses = [
        assistant_loss(model, torch.tensor([ids]), assistant=assistant, end=end).item()
        for ids in encode(tokenizer, drawn)
    ]
    return sum(losses) / len(losses)
