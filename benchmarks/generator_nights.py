"""One night of 400 ratings for the small generators: what share of the headroom do single texts gain?

    python -m benchmarks.generator_nights

With the trainer as the bot calls it; 15 % of the ratings are random, and the topics of the measure unrated. The nights
are others than those by which the settings were chosen (seeds 0 to 5).
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from random import Random
from statistics import fmean

import torch
from peft import PeftModelForCausalLM

from benchmarks.learning import NOISY
from benchmarks.seasons import PEOPLE, requests, write
from benchmarks.tables import Table
from bot.learning.trainer_process import run_config, train
from bot.sandbox.people.raters import make_raters
from bot.sandbox.people.tastes import TASTES, Taste
from bot.sandbox.world.records import Person
from engine.data.dataset import RatedGeneration, Rating, dump_dataset
from engine.models.loader import Base, load_base
from engine.models.logprobs import CausalModel
from engine.runs.config import write_config
from engine.runs.run_dir import ADAPTER_FOLDER
from recipes.latent.skeletons import CORPORA

RATINGS, FRESH, TAKES, MOST_TAKES = 400, 100, 4, 16
SEEDS = (6, 7, 8)


def main() -> int:
    """Print the table."""
    rows = [_nights(model, TASTES[name]) for model in CORPORA for name in ("calm", "lively")]
    columns = ["model", "taste", "liked before", "after", "could be", "gained", "mean", "gate", "minutes"]
    sys.stdout.write(Table("One night of the small generators", "400 ratings.", columns, rows).markdown())
    return 0


def _nights(model: str, taste: Taste) -> list[str]:
    base, kinds = load_base(model), CORPORA[model].kinds
    fresh = requests(Random(99), FRESH, first=1, kinds=kinds)

    def liking(writer: CausalModel, takes: int) -> torch.Tensor:
        """(takes, prompts)"""
        replies = write(writer, fresh, takes=takes, seed=7, base=base)
        liked = [taste.liking(text, fresh[i].asked) for text, i in zip(replies.texts, replies.owners, strict=True)]
        return torch.tensor(liked).reshape(takes, -1)

    offered = liking(base.model, MOST_TAKES)
    before, most = float(offered[:TAKES].mean()), float(offered.amax(0).mean())
    after, reports = [], []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            write_config(Path(folder), run_config(model, seed=seed))
            rated = dump_dataset(_rated(model, base, taste, seed))
            reports.append(asyncio.run(train(Path(folder), rated, on_progress=lambda _: None)))
            taught = PeftModelForCausalLM.from_pretrained(load_base(model).model, str(Path(folder) / ADAPTER_FOLDER))
        assert isinstance(taught, PeftModelForCausalLM), "a causal model gets a causal adapter"
        after.append(float(liking(taught.eval(), TAKES).mean()))
    gained = [(each - before) / (most - before) for each in after]
    return [
        model, taste.name, f"{100 * before:.1f}", ", ".join(f"{100 * each:.1f}" for each in after), f"{100 * most:.1f}",
        ", ".join(f"{each:.0%}" for each in gained), f"{fmean(gained):.0%}",
        ", ".join(report.reason.code for report in reports), f"{fmean(report.seconds for report in reports) / 60:.1f}",
    ]  # fmt: skip


def _rated(model: str, base: Base, taste: Taste, seed: int) -> list[RatedGeneration]:
    """What the people made of the base's texts on other topics."""
    chance = Random(f"{taste.name} {seed}")
    raters = make_raters([Person(number, f"Person {number}") for number in range(PEOPLE)], taste, NOISY, f"{seed}")
    asked = requests(chance, RATINGS, first=0, kinds=CORPORA[model].kinds)
    texts = write(base.model, asked, takes=1, seed=seed, base=base).texts
    rated = []
    for place, (request, text) in enumerate(zip(asked, texts, strict=True)):
        rater, author = chance.choice(raters), f"Person {chance.randrange(PEOPLE)}"
        rating = Rating(rater.person.name, 1.0 if rater.likes(text, chance, request.asked) else -1.0)
        rated.append(
            RatedGeneration(
                id=f"{place}", kind=request.asked.kind, chat="room", author=author, version=model,
                messages=request.messages, text=text, ratings=(rating,),
            )
        )  # fmt: skip
    return rated


if __name__ == "__main__":
    sys.exit(main())
