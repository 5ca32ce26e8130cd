"""What a night teaches: people with a hidden taste rate the starter's texts; how well do they like what comes next?"""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from peft import PeftModel, PeftModelForCausalLM

from benchmarks.tables import Table
from bot.kinds import MIN_P, TEMPERATURE, TOP_P, load_kinds
from bot.sandbox.judges import Judge, Temper, make_judge
from bot.sandbox.records import Person
from bot.sandbox.tastes import TASTES, Taste
from bot.sandbox.topics import KINDS, TOPICS
from bot.trainer import train
from engine.chat import Message
from engine.chat_template import ChatTemplate
from engine.dataset import RatedGeneration, Rating, write_dataset
from engine.model import Base, load_base
from engine.objectives import CausalModel
from engine.replies import Prompt, sample_replies
from engine.run import ADAPTER_FOLDER, DATASET_FILE, SKIPPED, RunConfig, RunReport, write_config

PEOPLE = 20
TEXTS = 160
RATERS_A_TEXT = 4
FRESH_TEXTS = 600
"""Texts on topics that nobody rated, from which the liking before and after is taken; standard error about .012."""


def measure() -> Table:
    """One night for each of the demo's tastes."""
    note = (
        f"{PEOPLE} simulated people, {TEXTS} texts, {RATERS_A_TEXT} raters a text of whom a quarter keep silent; the"
        f" liking is the hidden taste's own, over {FRESH_TEXTS} texts on other topics (at best .85, at worst .15)."
        " One run each."
    )
    rows = [_night(taste, seed) for seed, taste in enumerate(TASTES.values())]
    columns = ["taste", "liking before", "candidate's liking", "KL, nats a text", "verdict", "seconds"]
    return Table("Learning", note, columns, rows)


def _night(taste: Taste, seed: int) -> list[str]:
    base = load_base("starter")
    config = RunConfig(
        seed=seed,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        min_p=MIN_P,
        max_new_tokens=load_kinds().longest,
        threads=os.cpu_count() or 1,
    )
    before = _liking(base.model, base, taste, config)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_config(folder, config)
        write_dataset(folder / DATASET_FILE, _rated(base, taste, config))
        report = asyncio.run(train(folder, on_progress=lambda _: None))
        after, kl = "–", "–"
        if (folder / ADAPTER_FOLDER).is_dir():
            model = PeftModel.from_pretrained(base.model, str(folder / ADAPTER_FOLDER)).eval()
            assert isinstance(model, PeftModelForCausalLM)
            after = f"{_liking(model, base, taste, config):.3f}"
            kl = f"{next(check.value for check in report.checks if check.name == 'kl'):.2f}"
    return [taste.name, f"{before:.3f}", after, kl, _verdict(report), f"{report.seconds:.0f}"]


def _verdict(report: RunReport) -> str:
    if report.passed:
        return "promoted"
    return f"{'skipped' if report.reason.code in SKIPPED else 'rejected'}: {report.reason.code}"


def _liking(model: CausalModel, base: Base, taste: Taste, config: RunConfig) -> float:
    """The hidden taste's mean liking of texts on topics that nobody rated."""
    prompts = [_prompt(base, asked) for _, asked in _asked(Random(99), 200, first=1)]
    replies = sample_replies(model, base, prompts, config=config, count=FRESH_TEXTS, seed=7)
    return sum(map(taste.liking, replies.texts)) / FRESH_TEXTS


def _rated(base: Base, taste: Taste, config: RunConfig) -> Sequence[RatedGeneration]:
    """An evening's texts, and what people said to them."""
    chance = Random(config.seed)
    judges = [make_judge(Person(number, f"Person {number}"), taste, Temper(), chance) for number in range(PEOPLE)]
    asked = _asked(chance, TEXTS, first=0)
    prompts = [_prompt(base, messages) for _, messages in asked]
    replies = sample_replies(base.model, base, prompts, config=config, count=TEXTS, seed=1000 + config.seed)
    return [
        RatedGeneration(
            id=str(number),
            kind=kind,
            chat="room",
            author="nobody",
            version="starter",
            messages=messages,
            text=text,
            ratings=_ratings(judges, text, chance),
        )
        for number, ((kind, messages), text) in enumerate(zip(asked, replies.texts, strict=True))
    ]


def _ratings(judges: Sequence[Judge], text: str, chance: Random) -> tuple[Rating, ...]:
    return tuple(
        Rating(judge.person.name, 1.0 if judge.likes(text, chance) else -1.0)
        for judge in chance.sample(judges, RATERS_A_TEXT)
        if not judge.is_silent(chance)
    )


def _asked(chance: Random, count: int, *, first: int) -> list[tuple[str, tuple[Message, ...]]]:
    """Kinds and the messages that the bot would send for them, on every second topic from the first."""
    kinds = load_kinds().by_name
    asked: list[tuple[str, tuple[Message, ...]]] = []
    for _ in range(count):
        kind, language = chance.choice(KINDS), "zh" if chance.random() < 0.3 else "en"
        instruction, topic = kinds[kind].instruction[language], chance.choice(TOPICS[language][first::2])
        asked.append((kind, (Message("system", instruction), Message("user", topic))))
    return asked


def _prompt(base: Base, messages: Sequence[Message]) -> Prompt:
    return Prompt(tuple(ChatTemplate(base.tokenizer).encode(messages)), messages[-1].content)
