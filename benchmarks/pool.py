"""Texts of a model that are written once and measured often: what a head alone can make of the base's own texts.

They lie in a folder outside of the repository, a line each, and an interrupted writing goes on where it stopped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from peft import PeftModel
from rich.progress import track
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.language_tastes import LanguageTaste
from bot.common.kinds import load_kinds
from bot.common.text import sentence_ends
from bot.sandbox.people.tastes import KINDS, TOPICS, Asked
from engine.api.models import is_gguf, names_of, resolve_model, version_name
from engine.convert import convert
from engine.data.dataset import RatedGeneration, Rating, json_line

FOLDER = Path.home() / ".cache" / "ovation-benchmarks"
FRESH_PROMPTS, RATED = 48, 150
RATERS = 20

_MOST_TOKENS = 112
_AT_ONCE = 48


@dataclass(frozen=True, slots=True)
class PoolText:
    """A text, what it was asked for, and the number of its request, which other takes of it share."""

    prompt: int
    asked: Asked
    text: str


@dataclass(frozen=True, slots=True)
class Pool:
    """A model's texts: `rated` ones a take each, and several of each request on topics that nobody rates.

    The fresh ones are ordered by take: the first of all requests, then the second of all.
    """

    rated: Sequence[PoolText]
    fresh: Sequence[PoolText]


Rated = Sequence[tuple[PoolText, float]]
"""Texts and what somebody thought of each: 1 or -1."""


def opinions(taste: LanguageTaste, texts: Sequence[PoolText], seed: int) -> Rated:
    """One person's opinion of each text."""
    chance = Random(f"{taste.name} {seed}")
    return [(each, 1.0 if taste.is_liked(each.text, each.asked, chance) else -1.0) for each in texts]


def rows_of(model: str, rated: Rated) -> list[RatedGeneration]:
    """The same as the bot's dataset has it, for a trainer; `RATERS` people in turn."""
    kinds = load_kinds(model=names_of(model)).by_name
    return [
        RatedGeneration(
            id=f"{i:04}", kind=each.asked.kind, chat="chat", author="author", version=version_name(model),
            messages=kinds[each.asked.kind].messages(each.asked.topic), text=each.text,
            ratings=(Rating(f"rater{i % RATERS}", value),),
        )
        for i, (each, value) in enumerate(rated)
    ]  # fmt: skip


def requests(chance: Random, count: int, *, first: int) -> list[Asked]:
    """English requests on every second topic from the first."""
    return [Asked(chance.choice(KINDS), chance.choice(TOPICS["en"][first::2])) for _ in range(count)]


def loadable(model: str) -> str:
    """What transformers can load for what MODEL may say: of a GGUF file a folder, into which it is converted once."""
    return str(convert(model, FOLDER / "models")) if is_gguf(resolve_model(model)) else model


def whole(text: str) -> str:
    """The text up to its last whole sentence, as the bot shows one that ran out; all of it where it has none."""
    text = text.strip()
    return text[: max(sentence_ends(text), default=len(text))]


def pool_of(model: str, *, takes: int = 16, folder: Path = FOLDER) -> Pool:
    """The model's pool, read or written; a model's name becomes the file's.

    The texts are asked for and drawn as the bot does it, but have 112 tokens at most, and one that ran out is cut to
    its last whole sentence; by transformers' own `generate`, in bfloat16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{Path(model).name}.jsonl"
    rated, fresh = requests(Random("rated"), RATED, first=0), requests(Random("fresh"), FRESH_PROMPTS, first=1)
    wanted = [*rated, *fresh * takes]
    written = write_texts(file, model, wanted)
    texts = [  # a file may hold more takes than are wanted now
        PoolText(place if place < RATED else RATED + (place - RATED) % FRESH_PROMPTS, asked, whole(written[place]))
        for place, asked in enumerate(wanted)
    ]
    return Pool(texts[:RATED], texts[RATED:])


def write_texts(file: Path, model: str, wanted: Sequence[Asked], *, adapter: Path | None = None) -> Mapping[int, str]:
    """A text for each of these by its place, of the model or of the model with an adapter; a file has what is there."""
    written = _read(file)
    if missing := {place: asked for place, asked in enumerate(wanted) if place not in written}:
        _write(file, model, missing, adapter)
        written = _read(file)
    return written


def _read(file: Path) -> dict[int, str]:
    """The texts by their place."""
    lines = file.read_text(encoding="utf-8").split("\n") if file.exists() else []
    return dict(json.loads(line) for line in lines if line)


def _write(file: Path, model: str, wanted: Mapping[int, Asked], adapter: Path | None) -> None:
    """Write these, in batches of one kind, each of which is kept as soon as it is there."""
    kinds = load_kinds(model=names_of(model)).by_name
    by_kind = [[place for place, asked in wanted.items() if asked.kind == kind] for kind in KINDS]
    batches = [places[i : i + _AT_ONCE] for places in by_kind for i in range(0, len(places), _AT_ONCE)]
    source = resolve_model(model)
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    writer = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    if adapter is not None:
        writer = PeftModel.from_pretrained(writer, str(adapter)).merge_and_unload()
    writer = writer.to(torch.bfloat16)
    for places in track(batches, description=f"{model} writes"):
        kind = kinds[wanted[places[0]].kind]
        asked = [kind.messages(wanted[place].topic) for place in places]
        turns = [[{"role": turn.role, "content": turn.content} for turn in each] for each in asked]
        prompts = [str(tokenizer.apply_chat_template(e, add_generation_prompt=True, tokenize=False)) for e in turns]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        drawn = kind.sampling()
        torch.manual_seed(places[0])
        with torch.inference_mode():
            answers = writer.generate(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, do_sample=True,
                temperature=drawn.temperature, top_p=drawn.top_p, top_k=drawn.top_k, min_p=drawn.min_p,
                repetition_penalty=drawn.repetition_penalty, max_new_tokens=min(drawn.max_tokens, _MOST_TOKENS),
                pad_token_id=tokenizer.pad_token_id,
            )[:, inputs.input_ids.shape[1] :]  # fmt: skip
        texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
        with file.open("a", encoding="utf-8") as lines:
            rows = [json_line(row) for row in zip(places, texts, strict=True)]
            lines.write("\n".join(rows) + "\n")
