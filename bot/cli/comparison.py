"""The models that Ovation knows by name, and what each can write. Knows names only, no weights.

What every compared model is asked, and its answers over HTTP, timed. Knows an engine by its client, and no taste.

What is measured on texts: form, diversity, memory and liking. Pure numbers; knows no model and no engine.

Evenings and nights of one compared model: people rate what it writes, the trainer learns, what passes serves.

All parts are the real ones but the people. Knows a taste only as the people's. What is measured stands elsewhere.

How likely a model finds texts, asked of `python -m engine.evaluation.fluency` as a child. Knows lines and
numbers, no model.

Models side by side: the same asks, the same people, the same nights; the grammar as the measure of all.

Knows the order of things. How each is done stands in `comparison_asks`, `comparison_measures` and `comparison_nights`;
how it is shown, in `comparison_page`.

What somebody wants compared, made a plan; each wrong wish is one sentence. Starts nothing.
"""

import asyncio
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import httpx

from bot.common.child_process import describe_end, stop_child
from bot.common.errors import StartError
from bot.common.kinds import MIN_P, TEMPERATURE, TOP_P, Kind, language_of_topic, load_kinds
from bot.common.text import sanitize
from bot.learning.trainer import run_config, train
from bot.reporting.run_messages import share_done
from bot.sandbox.people.judges import Temper, make_judges
from bot.sandbox.people.tastes import TASTES, Taste
from bot.sandbox.people.topics import TOPICS, Asked
from bot.sandbox.world.records import Person
from bot.serving.engine_process import EngineProcess
from engine.api.client import EngineClient
from engine.api.models import SHIPPED, ModelSize, find_source, size_of, version_name
from engine.api.types import Message, Sampling
from engine.data.dataset import RatedGeneration, Rating, dump_dataset
from engine.errors import ModelError, RunError
from engine.latent.slots import lift
from engine.runs.config import write_config
from engine.runs.run_dir import ADAPTER_FOLDER
from engine.runs.text_metrics import count_pairs, distinct_2, self_bleu, words_of
from engine.runs.versions import publish
from recipes import grammar
from recipes.grammar import Language, Topic, is_well_formed
from recipes.latent.lessons import LESSONS, Lessons, skeletons


def kinds_of(model: str) -> tuple[str, ...] | None:
    """The only kinds that a model, also a folder or a hub id, can be asked for; None for one that takes any."""
    lessons = LESSONS.get(model)
    return None if lessons is None else lessons.kinds


def writes(model: str, kind: str) -> bool:
    """Whether a model, also a folder or a hub id, can be asked for this kind."""
    kinds = kinds_of(model)
    return kinds is None or kind in kinds


def shipped_here() -> list[str]:
    """Those whose weights are there."""
    return [model for model in SHIPPED if _is_here(model)]


def _is_here(model: str) -> bool:
    try:
        find_source(model)
    except ModelError:
        return False
    return True


RATED, UNRATED = 0, 1
"""Every second topic is one on which people rate texts; nobody rates any on the others."""
AT_ONCE = 8
_CHINESE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; with the same seed every model is asked the same."""

    asked: Asked
    messages: tuple[Message, ...]
    seed: int
    half: int
    """`RATED` or `UNRATED`."""

    @property
    def language(self) -> Language:
        """The language to answer in."""
        return "zh" if language_of_topic(self.asked.topic) == "zh" else "en"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast texts came, as somebody with a watch would say."""

    texts_a_second: float
    ms_a_token: float


@dataclass(frozen=True, slots=True)
class Answers:
    """The texts, in the order of the asks, and how fast they came."""

    texts: tuple[str, ...]
    pace: Pace


def make_asks(kind: Kind, count: int, chance: Random, *, halves: Sequence[int]) -> list[Ask]:
    """So many asks for a kind, on topics of these halves in turn."""
    made = []
    for place in range(count):
        language = "zh" if chance.random() < _CHINESE_SHARE else "en"
        half = halves[place % len(halves)]
        made.append(ask_for(kind, chance.choice(TOPICS[language][half::2]), chance, half=half))
    return made


def ask_for(kind: Kind, topic: str, chance: Random, *, half: int) -> Ask:
    """An ask as the bot would send it."""
    messages = (Message("system", kind.instruction[language_of_topic(topic)]), Message("user", topic))
    return Ask(Asked(kind.name, topic), messages, chance.randrange(2**31), half)


async def answers(
    client: EngineClient,
    version: str,
    asks: Sequence[Ask],
    kind: Kind,
    *,
    at_once: int = AT_ONCE,
    on_done: Callable[[float], None] = lambda _: None,
) -> Answers:
    """What a version writes for the asks, `at_once` of them at a time; `on_done` hears the share that is written.

    Raises:
        EngineError: the engine does not answer.
    """
    turns = asyncio.Semaphore(at_once)
    written = 0

    async def answer(ask: Ask) -> tuple[str, int]:
        nonlocal written
        sampling = Sampling(
            max_tokens=kind.max_tokens, temperature=TEMPERATURE, top_p=TOP_P, min_p=MIN_P, seed=ask.seed
        )
        async with turns:
            reply = await client.complete(ask.messages, sampling, model=version)
        written += 1
        on_done(written / len(asks))
        return sanitize(reply.text), reply.completion_tokens

    began = time.perf_counter()
    replies = await asyncio.gather(*map(answer, asks))
    seconds = time.perf_counter() - began
    tokens = sum(count for _, count in replies)
    return Answers(tuple(text for text, _ in replies), Pace(len(asks) / seconds, 1000.0 * seconds / max(1, tokens)))


@asynccontextmanager
async def engine_for(model: str, versions: Path) -> AsyncIterator[EngineClient]:
    """An engine of our own with this base, for as long as it is needed; it loads versions from `versions`.

    Raises:
        StartError: the model cannot be loaded.
    """
    async with httpx.AsyncClient() as http:
        process = EngineProcess(model=model, versions=versions, http=http)
        try:
            await process.start()
            yield process.client
        finally:
            await process.stop()


_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What texts are like, whoever likes them."""

    well_formed: float
    """Share that the grammar could have written."""
    distinct_2: float
    self_bleu: float
    different: float
    """Different texts among all, their topics left open."""
    memorised: float
    """Share that stand in the corpus word for word, their topics left open."""
    fluency: float
    """Nats a token, under the starter."""


@dataclass(frozen=True, slots=True)
class Liking:
    """The mean liking of texts by the hidden taste."""

    mean: float
    margin: float
    """Half of the 95 % interval."""
    unrated: float
    """The mean over topics on which nobody has rated anything."""


def quality(
    asks: Sequence[Ask], texts: Sequence[str], corpus: Collection[str], *, pairs: int, fluency: float
) -> Quality:
    """Measure texts; `pairs` as in `engine.runs.text_metrics.distinct_2`."""
    lifted = lifted_texts(asks, texts)
    words = word_numbers(texts)
    return Quality(
        well_formed=_share([is_well_formed(a, b.asked.kind, b.language) for a, b in zip(lifted, asks, strict=True)]),
        distinct_2=distinct_2(words, pairs=pairs),
        self_bleu=self_bleu(words),
        different=len(set(lifted)) / len(lifted),
        memorised=_share([text in corpus for text in lifted]),
        fluency=fluency,
    )


def pairs_in(texts: Sequence[str]) -> int:
    """How many pairs of neighbouring words there are."""
    return count_pairs(word_numbers(texts))


def word_numbers(texts: Sequence[str]) -> list[list[int]]:
    """The words of each text as numbers, equal words as equal ones."""
    numbers: dict[str, int] = {}
    return [[numbers.setdefault(word, len(numbers)) for word in words_of(text)] for text in texts]


def lifted_texts(asks: Sequence[Ask], texts: Sequence[str]) -> list[str]:
    """The texts with what they were asked about left open."""
    return [lift(text, ask.asked.topic) for ask, text in zip(asks, texts, strict=True)]


@cache
def corpus_of(lessons: Lessons) -> frozenset[str]:
    """What a small generator learns from: texts of the grammar, their topics left open."""
    return frozenset(each.text for each in skeletons(lessons.texts, lessons.kinds, themed=lessons.themed, seed=0))


def by_grammar(asks: Sequence[Ask], chance: Random) -> tuple[str, ...]:
    """What the grammar itself writes for the asks."""
    return tuple(
        grammar.write(
            ask.asked.kind,
            chance.choice(grammar.styles(ask.asked.kind, ask.language)),
            Topic(ask.asked.topic),
            ask.language,
            chance,
        )
        for ask in asks
    )


def liking(taste: Taste, asks: Sequence[Ask], texts: Sequence[str]) -> Liking:
    """How the hidden taste likes the texts."""
    liked = [taste.liking(text, ask.asked) for ask, text in zip(asks, texts, strict=True)]
    unrated = [value for value, ask in zip(liked, asks, strict=True) if ask.half == UNRATED]
    spread = statistics.stdev(liked) if len(liked) > 1 else 0.0
    return Liking(statistics.fmean(liked), _Z * spread / math.sqrt(len(liked)), statistics.fmean(unrated or liked))


def best_by_topic(taste: Taste, asks: Sequence[Ask], texts: Sequence[str]) -> Mapping[str, float]:
    """The liking of the best text on each topic."""
    best: dict[str, float] = {}
    for ask, text in zip(asks, texts, strict=True):
        best[ask.asked.topic] = max(best.get(ask.asked.topic, 0.0), taste.liking(text, ask.asked))
    return best


def gain(before: float, after: float, reachable: float) -> float | None:
    """What was gained, as a share of what could be had; None where nothing could."""
    headroom = reachable - before
    return (after - before) / headroom if headroom > 1e-3 else None


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


PEOPLE = 40
TALKATIVE = Temper(silence=0.0)
"""Noisy and partly contrary, as always, but nobody lets a text pass, so that every text is rated."""


@dataclass(frozen=True, slots=True)
class Night:
    """How a night ended."""

    reason: str
    """The code of `engine.runs.run_dir`; `failed` or `memory` where there is no report."""
    has_passed: bool
    seconds: float = 0.0
    told: str = ""
    """What went wrong, where it failed."""


class Season:
    """One model among its people."""

    def __init__(self, model: str, base: str, client: EngineClient, folder: Path) -> None:
        """`folder` holds the runs; the engine loads versions from `folder/versions`."""
        self._model = model
        self._client = client
        self._folder = folder
        self._champion: Path | None = None
        self._rows: list[RatedGeneration] = []
        self._nights = 0
        self.version = base
        """What serves."""

    async def evening(
        self, kind: Kind, taste: Taste, *, texts: int, seed: int, on_done: Callable[[float], None] = lambda _: None
    ) -> None:
        """People ask the version that serves for so many texts, and rate each.

        Raises:
            EngineError: the engine does not answer.
        """
        chance = Random(f"{taste.name} {seed} {self._nights}")
        people = [Person(number, f"Person {number}") for number in range(PEOPLE)]
        judges = make_judges(people, taste, TALKATIVE, str(seed))
        asks = make_asks(kind, texts, chance, halves=(RATED,))
        written = await answers(self._client, self.version, asks, kind, on_done=on_done)
        for place, (ask, text) in enumerate(zip(asks, written.texts, strict=True)):
            judge = chance.choice(judges)
            rating = Rating(judge.person.name, 1.0 if judge.likes(text, chance, ask.asked) else -1.0)
            self._rows.append(self._row(place, ask, text, rating, author=chance.choice(people).name))

    async def night(self, *, seed: int, on_done: Callable[[float], None] = lambda _: None) -> Night:
        """The trainer's run on all ratings so far; what passes serves from now on.

        Raises:
            EngineError: the engine does not take the new version.
        """
        self._nights += 1
        folder = self._folder / f"run{self._nights}"
        folder.mkdir(parents=True)
        write_config(folder, run_config(self._model, champion=self._champion, seed=seed))
        try:
            report = await train(
                folder, dump_dataset(self._rows), on_progress=lambda progress: on_done(share_done(progress))
            )
        except MemoryError as error:
            return Night("memory", has_passed=False, told=str(error))
        except RunError as error:
            return Night("failed", has_passed=False, told=str(error))
        if report.passed:
            await self._serve(folder / ADAPTER_FOLDER)
        return Night(report.reason.code, report.passed, report.seconds)

    async def _serve(self, adapter: Path) -> None:
        before, had_adapter = self.version, self._champion is not None
        name = f"night-{self._nights}"
        self._champion = publish(adapter, self._folder / "versions", name).absolute()
        await self._client.load_adapter(name, self._champion)
        self.version = name
        if had_adapter:
            await self._client.unload_adapter(before)

    def _row(self, place: int, ask: Ask, text: str, rating: Rating, *, author: str) -> RatedGeneration:
        return RatedGeneration(
            id=f"{self._nights}-{place:04}", kind=ask.asked.kind, chat="room", author=author, version=self.version,
            messages=ask.messages, text=text, ratings=(rating,),
        )  # fmt: skip


async def surprises(prompts: Sequence[Sequence[Message]], texts: Sequence[str], *, model: str) -> list[float]:
    """The mean surprise at each text after its prompt, nats a token; cancelling this ends the child.

    Raises:
        ModelError: the model cannot be loaded, or cannot read a text.
    """
    lines = [
        json.dumps({"messages": [{"role": each.role, "content": each.content} for each in messages], "text": text})
        for messages, text in zip(prompts, texts, strict=True)
    ]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine.evaluation.fluency", "--model", model, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        stdout, stderr = await child.communicate("\n".join(lines).encode())
    finally:
        await stop_child(child)
    if child.returncode:
        said = stderr.decode(errors="replace").strip().splitlines()
        raise ModelError(
            f"The fluency of texts cannot be measured: it {describe_end(child.returncode, said)}."
            f" {said[-1] if said else ''}".rstrip()
        )
    return [float(number) for number in stdout.split()]


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
    written = by_grammar(asks, Random(f"grammar {plan.seed}"))
    drafts.append(_Draft(GRAMMAR, Lessons((plan.kind.name,)), [written]))
    return asks, await _measured(plan, asks, drafts)


async def _measured(plan: Plan, asks: Sequence[Ask], drafts: Sequence[_Draft]) -> list[Result]:
    versions = list(dict.fromkeys(texts for draft in drafts for texts in draft.texts))
    prompts = [ask.messages for _ in versions for ask in asks]
    found = await surprises(prompts, [text for texts in versions for text in texts], model=JUDGE)
    fluency = {
        texts: statistics.fmean(found[place * len(asks) : (place + 1) * len(asks)])
        for place, texts in enumerate(versions)
    }
    pairs = min(map(pairs_in, versions))
    results = []
    for draft in drafts:
        corpus = corpus_of(draft.lessons)
        shown = tuple(
            Shown(
                texts,
                liking(plan.taste, asks, texts),
                quality(asks, texts, corpus, pairs=pairs, fluency=fluency[texts]),
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
    best = best_by_topic(plan.taste, many, written.texts)
    return statistics.fmean(best[ask.asked.topic] for ask in asks)


KINDS = tuple(kind for kind in grammar.KINDS if kind in grammar.templates("en"))
"""What the grammar has a form for; /write is asked for in too many ways."""


def plan_for(names: Sequence[str], *, kind: str, taste: str) -> Plan:
    """The plan for models by these names, with the usual numbers.

    Raises:
        StartError: a model, the kind or the taste is none that can be compared.
    """
    models = tuple(dict.fromkeys(model for name in names if (model := name.strip())))
    if not models:
        raise StartError("No model is named: give --models starter, for example.")
    if kind not in KINDS:
        raise StartError(f"The kind {kind!r} cannot be compared: choose one of {', '.join(KINDS)}.")
    if taste not in TASTES:
        raise StartError(f"There is no taste {taste!r}: choose one of {', '.join(TASTES)}.")
    for model in models:
        try:
            find_source(model)
        except ModelError as error:
            raise StartError(str(error)) from error
        if not writes(model, kind):
            raise StartError(f"The model {model} writes no {kind}: it knows {', '.join(kinds_of(model) or ())}.")
    called = Counter(map(version_name, models)).most_common(1)[0]
    if called[1] > 1:
        raise StartError(f"{called[1]} of the models are called {called[0]}: give their folders different names.")
    return Plan(models=models, kind=load_kinds().by_name[kind], taste=TASTES[taste])
