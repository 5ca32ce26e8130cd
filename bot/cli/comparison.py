"""Models side by side: the same asks, the same people, the same nights; the grammar as the measure of all.

Knows the order of things. How each is done stands in `comparison_asks`, `comparison_measures` and `comparison_nights`;
how it is shown, in `comparison_page`.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from bot.cli import comparison_measures as measures
from bot.cli.comparison_asks import RATED, UNRATED, Ask, Pace, answers, ask_for, engine_for, make_asks
from bot.cli.comparison_measures import Liking, Quality
from bot.cli.comparison_nights import Night, Season
from bot.cli.fluency import surprises
from bot.common.kinds import Kind
from bot.sandbox.people.tastes import Taste
from engine.api.client import EngineClient
from engine.api.model_size import ModelSize, size_of
from recipes.latent.lessons import LESSONS, Lessons

BEST_OF = 16
"""Texts on each topic, the best of which says what could be had."""
GRAMMAR = "the grammar itself"
JUDGE = "starter"
"""Whose surprise is the measure of fluency."""
_ALONE = 24
"""Texts that are asked for one at a time: enough for a speed, and not an hour of a slow model."""
_WARMING = 2

Tell = Callable[[str, float], None]
"""Hears what is being done, and how much of everything is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be compared."""

    models: tuple[str, ...]
    kind: Kind
    taste: Taste
    texts: int = 200
    nights: int = 3
    ratings: int = 400
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Shown:
    """The texts of one version for the common asks, and what they are like."""

    texts: tuple[str, ...]
    liking: Liking
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row of the comparison."""

    model: str
    shown: tuple[Shown, ...]
    """Before the first night and after each."""
    size: ModelSize | None = None
    alone: Pace | None = None
    """One text at a time."""
    together: Pace | None = None
    """Eight at once."""
    reachable: float | None = None
    """The mean over the asks of the best of `BEST_OF` texts on their topic by the hidden taste."""
    nights: tuple[Night, ...] = ()

    @property
    def title(self) -> str:
        """What a reader calls it: of a folder or hub id, the last part."""
        return self.model.rstrip("/").rpartition("/")[2]


@dataclass(slots=True)
class _Draft:
    """A row before all are there, for diversity is taken over as many words in each."""

    model: str
    lessons: Lessons
    """What it has learned from, or a small generator of that kind would."""
    texts: list[tuple[str, ...]] = field(default_factory=list)
    size: ModelSize | None = None
    alone: Pace | None = None
    together: Pace | None = None
    reachable: float | None = None
    nights: list[Night] = field(default_factory=list)


class _Course:
    """Where the comparison stands."""

    def __init__(self, tell: Tell, steps: int) -> None:
        self._tell, self._steps, self._begun, self._words = tell, steps, 0, ""

    def begin(self, words: str) -> None:
        self._words = words
        self._begun += 1
        self.within(0.0)

    def within(self, share: float) -> None:
        self._tell(self._words, (self._begun - 1 + share) / self._steps)


async def compare(plan: Plan, tell: Tell) -> tuple[list[Ask], list[Result]]:
    """The common asks, and a row for each model; the last is the grammar's.

    Raises:
        StartError: a model cannot be loaded; told before anything long begins.
        EngineError: an engine, or the measure of fluency, broke off.
    """
    course = _Course(tell, len(plan.models) * (3 + 3 * plan.nights))
    asks = make_asks(plan.kind, plan.texts, Random(f"asks {plan.seed}"), halves=(RATED, UNRATED))
    with TemporaryDirectory(prefix="ovation-") as name:
        folder = Path(name)
        for model in plan.models[1:]:  # the first is loaded at once anyway
            course.begin(f"Loading {model} …")
            async with engine_for(model, folder):
                pass
        drafts = [await _of_model(plan, model, asks, folder / str(n), course) for n, model in enumerate(plan.models)]
    course.begin("Measuring …")
    by_grammar = measures.by_grammar(asks, Random(f"grammar {plan.seed}"))
    drafts.append(_Draft(GRAMMAR, Lessons((plan.kind.name,)), [by_grammar]))
    return asks, await _measured(plan, asks, drafts)


async def _measured(plan: Plan, asks: Sequence[Ask], drafts: Sequence[_Draft]) -> list[Result]:
    versions = list(dict.fromkeys(texts for draft in drafts for texts in draft.texts))
    prompts = [ask.messages for _ in versions for ask in asks]
    found = await surprises(prompts, [text for texts in versions for text in texts], model=JUDGE)
    fluency = {
        texts: statistics.fmean(found[place * len(asks) : (place + 1) * len(asks)])
        for place, texts in enumerate(versions)
    }
    pairs = min(map(measures.pairs_in, versions))
    results = []
    for draft in drafts:
        corpus = measures.corpus_of(draft.lessons)
        shown = tuple(
            Shown(
                texts,
                measures.liking(plan.taste, asks, texts),
                measures.quality(asks, texts, corpus, pairs=pairs, fluency=fluency[texts]),
            )
            for texts in draft.texts
        )
        results.append(
            Result(
                model=draft.model, shown=shown, size=draft.size, alone=draft.alone, together=draft.together,
                reachable=draft.reachable, nights=tuple(draft.nights),
            )
        )  # fmt: skip
    return results


async def _of_model(plan: Plan, model: str, asks: Sequence[Ask], folder: Path, course: _Course) -> _Draft:
    draft = _Draft(model, LESSONS.get(model) or Lessons((plan.kind.name,)), size=size_of(model))
    async with engine_for(model, folder / "versions") as client:
        base = await client.find_base(model)
        season = Season(model, base, client, folder)
        course.begin(f"{model} writes …")
        await answers(client, base, asks[:_WARMING], plan.kind)
        draft.alone = (await answers(client, base, asks[:_ALONE], plan.kind, at_once=1)).pace
        written = await answers(client, base, asks, plan.kind, on_done=course.within)
        draft.together = written.pace
        draft.texts.append(written.texts)
        course.begin(f"{model}: what could be had …")
        draft.reachable = await _reachable(plan, asks, client, base, course)
        for night in range(1, plan.nights + 1):
            course.begin(f"{model}: evening {night} of {plan.nights} …")
            await season.evening(plan.kind, plan.taste, texts=plan.ratings, seed=plan.seed, on_done=course.within)
            course.begin(f"{model}: night {night} of {plan.nights} …")
            draft.nights.append(await season.night(seed=plan.seed, on_done=course.within))
            course.begin(f"{model}: after night {night} …")
            if draft.nights[-1].has_passed:
                written = await answers(client, season.version, asks, plan.kind, on_done=course.within)
            draft.texts.append(written.texts)
    return draft


async def _reachable(plan: Plan, asks: Sequence[Ask], client: EngineClient, base: str, course: _Course) -> float:
    chance = Random(f"reachable {plan.seed}")
    halves = {ask.asked.topic: ask.half for ask in asks}
    many = [ask_for(plan.kind, topic, chance, half=half) for topic, half in halves.items() for _ in range(BEST_OF)]
    written = await answers(client, base, many, plan.kind, on_done=course.within)
    best = measures.best_by_topic(plan.taste, many, written.texts)
    return statistics.fmean(best[ask.asked.topic] for ask in asks)
