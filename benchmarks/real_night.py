"""A default night with a real model: `python -m benchmarks.real_night --help`.

The model writes texts for ordinary requests, simulated people with a hidden taste rate them, and the trainer learns
from that as the bot starts it. Told are the plan and what came of it by stage: wall and CPU seconds, peak memory,
verdict, and what the candidate gains in the true taste, on requests that nobody has rated.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from statistics import fmean

import torch
from peft import PeftModel

from benchmarks.seasons import Request, requests
from bot.common.kinds import load_kinds
from bot.learning.trainer_process import run_config, train
from engine.api.models import names_of
from engine.data.dataset import RatedGeneration, Rating, dump_dataset
from engine.evaluation.sampling import Prompt, Replies, sample_replies
from engine.models.loader import Base, load_to_train
from engine.models.logprobs import CausalModel
from engine.runs.config import RunConfig, write_config
from engine.runs.run_dir import ADAPTER_FOLDER

PEOPLE = 40
NOISE = 0.15
"""Of the ratings are a toss of a coin."""

Taste = Callable[[str, Request], float]


def short_sentences(text: str, _: Request) -> float:
    """1 where sentences have eight words or fewer on average, 0 from twenty-four on."""
    sentences = [part.split() for part in text.replace("!", ".").replace("?", ".").split(".") if part.strip()]
    mean = sum(map(len, sentences)) / max(1, len(sentences))
    return min(1.0, max(0.0, (24.0 - mean) / 16.0))


def names_the_topic(text: str, request: Request) -> float:
    """The share of the topic's longer words that the text has."""
    words = [word for word in request.asked.topic.lower().split() if len(word) > 3] or [request.asked.topic.lower()]
    return sum(word in text.lower() for word in words) / len(words)


TASTES: dict[str, Taste] = {"short": short_sentences, "topic": names_the_topic}


def asked_of(model: str, count: int, *, first: int, seed: int) -> list[Request]:
    """Requests in English, put as this model is asked."""
    kinds = load_kinds(model=names_of(model)).by_name
    made = [each for each in requests(Random(seed), 2 * count, first=first) if each.asked.topic.isascii()][:count]
    return [Request(each.asked, kinds[each.asked.kind].messages(each.asked.topic)) for each in made]


def written(model: CausalModel, base: Base, asked: Sequence[Request], config: RunConfig, *, seed: int) -> Replies:
    """A text for each request, sampled as serving does."""
    prompts = [Prompt.of(base, each.messages, kind=each.asked.kind) for each in asked]
    return sample_replies(model, base, prompts, config=config, count=len(prompts), seed=seed)


def rated(asked: Sequence[Request], replies: Replies, base: Base, taste: Taste, seed: int) -> list[RatedGeneration]:
    """Each text with one rating, by somebody whose bar is the text in the middle."""
    scores = [taste(text, request) for text, request in zip(replies.texts, asked, strict=True)]
    bar, chance = sorted(scores)[len(scores) // 2], Random(f"{seed} people")
    rows = []
    for place, (request, text, score) in enumerate(zip(asked, replies.texts, scores, strict=True)):
        likes = chance.random() < 0.5 if chance.random() < NOISE else score > bar or (score == bar > 0.5)
        rating = Rating(f"p{chance.randrange(PEOPLE)}", 1.0 if likes else -1.0)
        rows.append(
            RatedGeneration(
                id=f"{place:05}", kind=request.asked.kind, chat="room", author=f"p{place % PEOPLE}", version=base.name,
                messages=request.messages, text=text, ratings=(rating,),
                is_cut=replies.rows[place].completion[-1] not in base.end_tokens,
            )
        )  # fmt: skip
    return rows


def mean_score(taste: Taste, asked: Sequence[Request], replies: Replies) -> float:
    """Of single texts."""
    return fmean(taste(text, request) for text, request in zip(replies.texts, asked, strict=True))


def main() -> None:
    """Run it and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--ratings", type=int, default=400)
    parser.add_argument("--fresh", type=int, default=120, help="requests that the candidate is measured on")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--taste", choices=tuple(TASTES), default="short")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--niceness", type=int, default=10)
    options = parser.parse_args()
    taste, folder = TASTES[options.taste], Path(tempfile.mkdtemp())
    base = load_to_train(options.model)
    config = run_config(options.model, minutes=options.minutes, seed=options.seed, niceness=options.niceness)
    asked = asked_of(options.model, options.ratings, first=0, seed=options.seed)
    rows = rated(asked, written(base.model, base, asked, config, seed=options.seed), base, taste, options.seed)
    write_config(folder, config)
    started = time.monotonic()
    report = asyncio.run(train(folder, dump_dataset(rows), on_progress=lambda _: None))
    told = {
        "model": options.model, "taste": options.taste, "ratings": options.ratings, "threads": torch.get_num_threads(),
        "wall_seconds": round(time.monotonic() - started), "passed": report.passed, "reason": report.reason.code,
        "numbers": report.reason.numbers, "forecast": report.forecast and asdict(report.forecast),
        "cut": sum(row.is_cut for row in rows),
    }  # fmt: skip
    if (folder / ADAPTER_FOLDER).is_dir():
        fresh = asked_of(options.model, options.fresh, first=1, seed=99)
        told["base_score"] = mean_score(taste, fresh, written(base.model, base, fresh, config, seed=7))
        candidate = PeftModel.from_pretrained(base.model, str(folder / ADAPTER_FOLDER)).eval()
        told["candidate_score"] = mean_score(taste, fresh, written(candidate, base, fresh, config, seed=7))
    sys.stdout.write(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
