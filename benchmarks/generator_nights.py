"""One night of 400 ratings for the small generators: what share of the headroom do single texts gain?

    python -m benchmarks.generator_nights

In one process, with the trainer as the bot calls it; 15 % of the ratings are random, the topics of the measure unrated.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from random import Random

import torch
from peft import PeftModelForCausalLM

from benchmarks.learning import NOISY
from benchmarks.seasons import PEOPLE, requests, write
from benchmarks.tables import Table
from bot.sandbox.judges import make_judges
from bot.sandbox.records import Person
from bot.sandbox.tastes import TASTES, Taste
from bot.trainer import run_config, train
from engine.dataset import RatedGeneration, Rating, dump_dataset
from engine.model import load_base
from engine.objectives import CausalModel
from engine.run import ADAPTER_FOLDER
from engine.run_config import write_config
from engine.starter.lessons import LESSONS

RATINGS, FRESH, TAKES, MOST_TAKES = 400, 100, 4, 16


def main() -> int:
    """Print the table."""
    rows = [_night(model, TASTES[name]) for model in LESSONS for name in ("calm", "lively")]
    columns = ["model", "taste", "liked before", "after", "could be", "gained", "gate", "minutes"]
    sys.stdout.write(Table("One night of the small generators", "400 ratings.", columns, rows).markdown())
    return 0


def _night(model: str, taste: Taste) -> list[str]:
    base, chance, kinds = load_base(model), Random(f"{taste.name} 0"), LESSONS[model].kinds
    fresh = requests(Random(99), FRESH, first=1, kinds=kinds)

    def liking(writer: CausalModel, takes: int) -> torch.Tensor:
        """(takes, prompts)"""
        replies = write(writer, fresh, takes=takes, seed=7, base=base)
        liked = [taste.liking(text, fresh[i].asked) for text, i in zip(replies.texts, replies.owners, strict=True)]
        return torch.tensor(liked).reshape(takes, -1)

    offered = liking(base.model, MOST_TAKES)
    before, most = float(offered[:TAKES].mean()), float(offered.amax(0).mean())
    judges = make_judges([Person(number, f"Person {number}") for number in range(PEOPLE)], taste, NOISY, "0")
    asked = requests(chance, RATINGS, first=0, kinds=kinds)
    texts = write(base.model, asked, takes=1, seed=0, base=base).texts
    rated = []
    for place, (request, text) in enumerate(zip(asked, texts, strict=True)):
        judge, author = chance.choice(judges), f"Person {chance.randrange(PEOPLE)}"
        rating = Rating(judge.person.name, 1.0 if judge.likes(text, chance, request.asked) else -1.0)
        rated.append(
            RatedGeneration(
                id=f"{place}", kind=request.asked.kind, chat="room", author=author, version=model,
                messages=request.messages, text=text, ratings=(rating,),
            )
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        write_config(Path(folder), run_config(model))
        report = asyncio.run(train(Path(folder), dump_dataset(rated), on_progress=lambda _: None))
        taught = PeftModelForCausalLM.from_pretrained(base.model, str(Path(folder) / ADAPTER_FOLDER)).eval()
    assert isinstance(taught, PeftModelForCausalLM), "a causal model gets a causal adapter"
    after = float(liking(taught, TAKES).mean())
    shares = [f"{100 * share:.1f}" for share in (before, after, most)]
    gained = f"{(after - before) / (most - before):.0%}"
    return [model, taste.name, *shares, gained, report.reason.code, f"{report.seconds / 60:.1f}"]


if __name__ == "__main__":
    sys.exit(main())
