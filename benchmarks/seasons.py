"""A season in one process: simulated people rate what the newest version writes, evening after evening, and it learns.

The trainer is the real one, as the bot starts it; texts are sampled and chosen as the engine does, without HTTP. What
is compared stands in `learning`.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from peft import PeftModel, PeftModelForCausalLM

from bot.common.kinds import load_kinds
from bot.learning.trainer_process import run_config, train
from bot.sandbox.people.raters import Temper, make_raters
from bot.sandbox.people.tastes import KINDS, TOPICS, Asked, Taste
from bot.sandbox.world.records import Person
from engine.api.types import Message
from engine.data.dataset import RatedGeneration, Rating, dump_dataset, examples_of
from engine.evaluation.metrics import cross_entropy
from engine.evaluation.sampling import Prompt, Replies, sample_replies
from engine.models.loader import Base, load_base
from engine.models.logprobs import CausalModel, Encoded
from engine.preference.choice import RecentTexts, nearly_best
from engine.preference.features import text_features
from engine.preference.head import PreferenceHead, fit, labels_of
from engine.runs.config import write_config
from engine.runs.run_dir import ADAPTER_FOLDER, RunReport
from engine.runs.text_metrics import distinct_2
from engine.runs.versions import publish

PEOPLE = 40
BEST_OF = 4
"""What BEST_OF=8 comes to on an idle engine on two cores: see the table on choosing."""
FRESH_PROMPTS, FRESH_TAKES = 150, 32
PAIRS = 1500
_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks, and what the bot would send for it."""

    asked: Asked
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a version fares on topics that nobody has rated."""

    alone: float
    """The hidden taste's mean liking of single texts."""
    chosen: float
    """The same of the texts that are shown, the best of `BEST_OF` by the taste head."""
    alone_distinct_2: float
    """Of single texts."""
    distinct_2: float
    """Of the shown texts."""
    perplexity: float
    """The base's, of the shown texts."""


@cache
def starter() -> Base:
    """The base model, loaded once."""
    return load_base("starter")


def requests(chance: Random, count: int, *, first: int, kinds: Sequence[str] = KINDS) -> list[Request]:
    """Requests of these kinds on every second topic from the first."""
    by_name = load_kinds(model=["starter"]).by_name
    made = []
    for _ in range(count):
        kind, language = chance.choice(kinds), "zh" if chance.random() < 0.3 else "en"
        topic = chance.choice(TOPICS[language][first::2])
        made.append(Request(Asked(kind, topic), by_name[kind].messages(topic, language=language)))
    return made


def write(model: CausalModel, asked: Sequence[Request], *, takes: int, seed: int, base: Base | None = None) -> Replies:
    """`takes` texts for each request, one round of all after the other; the base is the starter if not named."""
    base = base or starter()
    prompts = [Prompt.of(base, each.messages, kind=each.asked.kind) for each in asked]
    config = run_config(base.name)
    return sample_replies(model, base, prompts, config=config, count=takes * len(prompts), seed=seed)


def choose(replies: Replies, head: PreferenceHead | None) -> list[int]:
    """The place of the text to show for each prompt: the newest that is nearly the best; without a head, the first."""
    count = len(replies.prompts)
    if head is None:
        return list(range(count))
    liking = head.logits(text_features(replies.texts)).reshape(-1, count)
    even, shown = np.zeros(len(liking)), RecentTexts()
    takes = [nearly_best(even, liking[:, prompt]) for prompt in range(count)]
    return [
        shown.most_novel(replies.texts, [take * count + prompt for take in takes[prompt]]) for prompt in range(count)
    ]


def head_of(rows: Sequence[RatedGeneration]) -> PreferenceHead:
    """The taste head on these ratings, as the bot teaches it to the engine."""
    examples, _ = examples_of(rows)
    labels = labels_of([e.value for e in examples], [e.weight for e in examples], [e.group for e in examples])
    return fit(text_features([example.text for example in examples]), labels)


@cache
def _fresh() -> tuple[Sequence[Request], Replies]:
    asked = requests(Random(99), FRESH_PROMPTS, first=1)
    return asked, write(starter().model, asked, takes=FRESH_TAKES, seed=7)


def reachable(taste: Taste) -> float:
    """The mean liking of the best of 32 texts of the base by the hidden taste itself: what could be had."""
    asked, replies = _fresh()
    liked = torch.tensor(
        [taste.liking(text, asked[i].asked) for text, i in zip(replies.texts, replies.owners, strict=True)]
    )
    return float(liked.reshape(FRESH_TAKES, -1).amax(0).mean())


def standing(model: CausalModel, taste: Taste, head: PreferenceHead | None) -> Standing:
    """Measure a version, with the base's own texts for the base."""
    asked = _fresh()[0]
    replies = write(model, asked, takes=BEST_OF, seed=7)
    liked = [taste.liking(text, asked[i].asked) for text, i in zip(replies.texts, replies.owners, strict=True)]
    shown = choose(replies, head)
    rows = [replies.rows[i] for i in shown]
    return Standing(
        alone=sum(liked) / len(liked),
        chosen=sum(liked[i] for i in shown) / len(shown) if head is not None else sum(liked) / len(liked),
        alone_distinct_2=_diversity(replies.rows),
        distinct_2=_diversity(rows),
        perplexity=_perplexity(rows),
    )


def _diversity(rows: Sequence[Encoded]) -> float:
    return distinct_2([row.completion for row in rows], pairs=PAIRS)


def _perplexity(rows: Sequence[Encoded]) -> float:
    return float(torch.tensor(cross_entropy(starter(), rows, max_tokens=_TOKENS)).exp())


@dataclass(slots=True)
class Season:
    """One audience and what it has rated. `shown_to` people see each of an evening's `texts`."""

    taste: Taste
    seed: int
    temper: Temper
    texts: int = 400
    shown_to: int = 1
    rows: list[RatedGeneration] = field(default_factory=list)
    model: CausalModel = field(default_factory=lambda: starter().model)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp()))
    champion: Path | None = None
    candidate: CausalModel | None = None
    """What the last night trained, promoted or not."""

    def evening(self) -> None:
        """People ask and rate; what is shown is chosen by what they have rated so far."""
        night = len(self.rows) // self.texts
        chance = Random(f"{self.taste.name} {self.seed} {night}")
        people = [Person(number, f"Person {number}") for number in range(PEOPLE)]
        raters = make_raters(people, self.taste, self.temper, str(self.seed))
        asked = requests(chance, self.texts, first=0)
        head = head_of(self.rows) if self.rows else None
        replies = write(self.model, asked, takes=BEST_OF if head else 1, seed=1000 * self.seed + night)
        for place, (request, shown) in enumerate(zip(asked, choose(replies, head), strict=True)):
            text = replies.texts[shown]
            ratings = tuple(
                Rating(rater.person.name, 1.0 if rater.likes(text, chance, request.asked) else -1.0)
                for rater in chance.sample(raters, self.shown_to)
                if not rater.is_silent(chance)
            )
            self.rows.append(
                RatedGeneration(
                    id=f"{night}-{place:04}", kind=request.asked.kind, chat="room", author=chance.choice(people).name,
                    version="starter" if self.champion is None else self.champion.name, messages=request.messages,
                    text=text, ratings=ratings, best_of=BEST_OF if head else 1,
                )
            )  # fmt: skip

    def night(self, changes: Mapping[str, Any] | None = None, *, promote_always: bool = False) -> RunReport:
        """The trainer's run on everything so far; what passes serves from now on."""
        number = len(list(self.folder.iterdir())) + 1
        folder = self.folder / f"run{number}"
        folder.mkdir()
        config = run_config("starter", champion=self.champion, seed=self.seed)
        write_config(folder, replace(config, **(changes or {})))
        report = asyncio.run(train(folder, dump_dataset(self.rows), on_progress=lambda _: None))
        self.candidate = None
        if (folder / ADAPTER_FOLDER).is_dir():
            version = publish(folder / ADAPTER_FOLDER, self.folder / "versions", f"v{number}")
            self.candidate = _with_adapter(version)
            if report.passed or promote_always:
                self.champion, self.model = version, self.candidate
        return report


def _with_adapter(folder: Path) -> PeftModelForCausalLM:
    model = PeftModel.from_pretrained(load_base("starter").model, str(folder)).eval()
    assert isinstance(model, PeftModelForCausalLM), "a causal model's adapter was saved"
    return model
