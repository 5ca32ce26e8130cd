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
from benchmarks.seasons import PEOPLE
from benchmarks.tables import Table
from bot.kinds import load_kinds
from bot.sandbox.judges import make_judges
from bot.sandbox.records import Person
from bot.sandbox.tastes import TASTES, Taste
from bot.sandbox.topics import TOPICS, Asked
from bot.trainer import run_config, train
from engine.chat import Message
from engine.chat_template import ChatTemplate
from engine.dataset import RatedGeneration, Rating, dump_dataset
from engine.model import Base, load_base
from engine.objectives import CausalModel
from engine.replies import Prompt, Replies, sample_replies
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
    base, chance = load_base(model), Random(f"{taste.name} 0")
    fresh = _requests(model, Random(99), FRESH, first=1)
    liked = _liking(_write(base, base.model, fresh, MOST_TAKES, seed=7), fresh, taste)
    before, most = float(liked[:TAKES].mean()), float(liked.amax(0).mean())
    judges = make_judges([Person(number, f"Person {number}") for number in range(PEOPLE)], taste, NOISY, "0")
    asked = _requests(model, chance, RATINGS, first=0)
    texts = _write(base, base.model, asked, 1, seed=0).texts
    rated = []
    for place, ((about, messages), text) in enumerate(zip(asked, texts, strict=True)):
        judge, author = chance.choice(judges), f"Person {chance.randrange(PEOPLE)}"
        rating = Rating(judge.person.name, 1.0 if judge.likes(text, chance, about) else -1.0)
        rated.append(
            RatedGeneration(
                id=f"{place}", kind=about.kind, chat="room", author=author, version=model, messages=messages, text=text,
                ratings=(rating,),
            )
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        write_config(Path(folder), run_config(model))
        report = asyncio.run(train(Path(folder), dump_dataset(rated), on_progress=lambda _: None))
        taught = PeftModelForCausalLM.from_pretrained(base.model, str(Path(folder) / ADAPTER_FOLDER)).eval()
    assert isinstance(taught, PeftModelForCausalLM), "a causal model gets a causal adapter"
    after = float(_liking(_write(base, taught, fresh, TAKES, seed=7), fresh, taste).mean())
    shares = [f"{100 * share:.1f}" for share in (before, after, most)]
    gained = f"{(after - before) / (most - before):.0%}"
    return [model, taste.name, *shares, gained, report.reason.code, f"{report.seconds / 60:.1f}"]


def _requests(model: str, chance: Random, count: int, *, first: int) -> list[tuple[Asked, tuple[Message, ...]]]:
    """What is asked, on every second topic from the first."""
    kinds, made = load_kinds().by_name, list[tuple[Asked, tuple[Message, ...]]]()
    for _ in range(count):
        kind, language = chance.choice(LESSONS[model].kinds), "zh" if chance.random() < 0.3 else "en"
        topic = chance.choice(TOPICS[language][first::2])
        made.append(
            (Asked(kind, topic), (Message("system", kinds[kind].instruction[language]), Message("user", topic)))
        )
    return made


def _write(
    base: Base, model: CausalModel, asked: list[tuple[Asked, tuple[Message, ...]]], takes: int, *, seed: int
) -> Replies:
    template = ChatTemplate(base.tokenizer)
    prompts = [Prompt.of(base, template, messages) for _, messages in asked]
    return sample_replies(model, base, prompts, config=run_config(base.name), count=takes * len(prompts), seed=seed)


def _liking(replies: Replies, asked: list[tuple[Asked, tuple[Message, ...]]], taste: Taste) -> torch.Tensor:
    """(takes, prompts)"""
    liked = [taste.liking(text, asked[owner][0]) for text, owner in zip(replies.texts, replies.owners, strict=True)]
    return torch.tensor(liked).reshape(-1, len(asked))


if __name__ == "__main__":
    sys.exit(main())
