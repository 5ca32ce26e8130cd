"""Teach SmolLM2 what a finished answer is: the text that was asked for, every detail in it, and nothing else.

    python -m recipes.smollm2.build

An adapter (LoRA: Hu et al. 2021, arXiv 2106.09685) is fitted by plain likelihood to `answers.jsonl`, requests as people
type them and answers that were written for this project; `MODEL=smollm2` has it merged into its weights, at a share of
its strength, for between the two lies a model that has kept more of what it knew (Wortsman et al. 2022, arXiv
2109.01903).
"""

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from engine.api.models import SMOLLM2_ADAPTER, SMOLLM2_ON_HUB, packaged_smollm2
from engine.api.types import Message
from engine.models.loader import Base, load_to_train
from engine.models.logprobs import Encoded, Predictions, collate, encode, micro_batches
from engine.training.stage import adam_w, trained_parameters
from recipes.training import Budget, TrainingClock, batches_of_alike, set_up

logger = logging.getLogger(__name__)

ANSWERS: Final = Path(__file__).with_name("answers.jsonl")
REQUESTS: Final = {
    "write": "{topic}\n\nAnswer in a few sentences.",
    "slogan": "Write one catchy advertising slogan for {topic}. Answer with the slogan only.",
    "poem": "Write a short poem about {topic}. Answer with the poem only.",
    "story": "Write a very short story about {topic}. Answer with the story only.",
    "post": "Write a short announcement that tells people: {topic}. Write only the announcement.",
    "pitch": "Write three sentences that persuade people to try this: {topic}.",
    "title": "Write one title for {topic}. Answer with the title only.",
    "character": "Describe a character of a story in three sentences: {topic}.",
    "scene": "Write a vivid description of {topic}, in one paragraph: what one sees, hears and smells.",
    "article": "Write an article of four paragraphs about {topic}. Begin with a title in bold.",
    "briefing": "Write a report of five paragraphs about {topic}. Give it a title, an introduction, the main points and"
    " a conclusion.",
    "script": "Write a script for a short video about {topic}, in four scenes. For each scene say what is seen and what"
    " is said.",
    "summary": "Summarize this text in three sentences, with nothing that it does not say:\n\n{topic}",
    "continue": "Here is the beginning of a text:\n\n{topic}\n\nWrite one paragraph more. Do not repeat the beginning.",
}
"""What the bot asks this model for each kind, where nobody has chosen a length."""

_RANK = 16
_SHARE = 0.7
"""Of what was learned, as it is merged."""
_BATCH = 16
_PASSES = 2
_RATE = 1e-3
_WARM_UP_STEPS = 4
_HELD_OUT = 20
"""One answer in so many is not learned from, but measured on."""
_MOST_TOKENS = 2500
"""That are in memory between forward and backward at the same time; the whole takes 7.3 GiB."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A request and a good answer to it."""

    kind: str
    topic: str
    """What somebody typed."""
    text: str

    @property
    def messages(self) -> list[Message]:
        """What the model reads."""
        return [Message("user", REQUESTS[self.kind].replace("{topic}", self.topic))]

    @property
    def is_held_out(self) -> bool:
        """Whether it is measured on; the same ones on every machine."""
        return crc32(self.topic.encode()) % _HELD_OUT == 0


def read_answers(file: Path = ANSWERS) -> list[Answer]:
    """The corpus, in the order of the file."""
    return [Answer(**json.loads(line)) for line in file.read_text(encoding="utf-8").split("\n") if line]


def main(arguments: list[str] | None = None) -> int:
    """Train with the options of the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m recipes.smollm2.build", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=str(packaged_smollm2() or SMOLLM2_ON_HUB), help="what to train on")
    parser.add_argument("--out", type=Path, default=SMOLLM2_ADAPTER, help="gets the adapter")
    parser.add_argument("--answers", type=Path, default=ANSWERS)
    parser.add_argument("--steps", type=int, default=None, help="at most so many optimizer steps")
    parser.add_argument("--threads", type=int, default=2, help="processor cores to use")
    options = parser.parse_args(arguments)
    set_up(options.threads)
    base, answers = load_to_train(options.model), read_answers(options.answers)
    train(base, answers, options.out, steps=options.steps)
    return 0


def train(base: Base, answers: Sequence[Answer], out: Path, *, steps: int | None = None, seed: int = 0) -> None:
    """Fit an adapter to the answers that are not held out, and write it to a folder; tells the others' loss."""
    learned, held_out = (
        [encode(base, each.messages, each.text) for each in answers if each.is_held_out is is_held]
        for is_held in (False, True)
    )
    torch.manual_seed(seed)
    settings = LoraConfig(task_type="CAUSAL_LM", r=_RANK, lora_alpha=_RANK, target_modules="all-linear")
    model = get_peft_model(base.model, settings)
    assert isinstance(model, PeftModel), "an adapter's model"
    logger.info("Loss on %d answers held out: %.3f nats a token", len(held_out), _loss(model, base, held_out))
    usual = _PASSES * math.ceil(len(learned) / _BATCH)
    clock = TrainingClock(Budget(minutes=math.inf, steps=min(steps or usual, usual)))
    parameters = trained_parameters(model)
    adam = adam_w(parameters, _RATE)
    for places in batches_of_alike([len(row) for row in learned], _BATCH, seed=seed, spread=6.0):
        rows = [learned[place] for place in places]
        total = sum(len(row.completion) for row in rows)
        loss = 0.0
        for group in micro_batches(rows, size=len(rows), max_tokens=_MOST_TOKENS):
            part = -_log_probs(model, base, [rows[i] for i in group]).sum() / total
            part.backward()
            loss += part.item()
        for settings_of in adam.param_groups:
            settings_of["lr"] = _rate(clock)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        adam.zero_grad()
        clock.tick(loss=loss)
        if clock.spent >= 1.0:
            break
    logger.info("And now: %.3f", _loss(model, base, held_out))
    model.active_peft_config.lora_alpha = round(_SHARE * _RANK)
    model.active_peft_config.base_model_name_or_path = SMOLLM2_ON_HUB
    model.to(torch.bfloat16).save_pretrained(str(out), save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)  # PEFT's empty model card


def _rate(clock: TrainingClock) -> float:
    """It rises for a few steps, and falls to 0 by a cosine."""
    return _RATE * min(1.0, (clock.steps + 1) / _WARM_UP_STEPS) * 0.5 * (1.0 + math.cos(math.pi * clock.spent))


@torch.no_grad()
def _loss(model: PeftModel, base: Base, rows: Sequence[Encoded]) -> float:
    """Nats a token of the answers."""
    total = sum(
        _log_probs(model, base, [rows[i] for i in group]).sum().item()
        for group in micro_batches(rows, size=_BATCH, max_tokens=_MOST_TOKENS)
    )
    return -total / sum(len(row.completion) for row in rows)


def _log_probs(model: PeftModel, base: Base, rows: Sequence[Encoded]) -> torch.Tensor:
    """Of each token of the answers, (N,)."""
    batch = collate(rows, pad_id=base.pad_id, device=base.model.device)
    return Predictions(model, batch).log_probs()


if __name__ == "__main__":
    sys.exit(main())
