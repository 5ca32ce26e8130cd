"""`ovation models compare`: the same prompts, people and nights for every model, and the grammar as a measure of all.

In the order of the work: the plan, the comparison, what models are asked, what people and nights make of them, and what
is measured on their texts. How the results are shown: `bot.cli.comparison_report`.
"""

import asyncio
import json
import math
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import httpx

from bot.common.child_process import describe_end
from bot.common.errors import StartError
from bot.common.kinds import Kind, language_of_topic, load_kinds
from bot.common.settings import computing_environment
from bot.common.text import sanitize
from bot.learning.trainer_process import run_config, train
from bot.reporting.run_messages import share_done
from bot.sandbox.people.raters import Temper, make_raters
from bot.sandbox.people.tastes import TASTES, TOPICS, Asked, Taste
from bot.sandbox.world.records import Person
from bot.serving.engine_process import EngineProcess
from engine.api.client import EngineClient
from engine.api.models import SHIPPED, ModelSize, resolve_model, size_of, version_name
from engine.api.types import Message
from engine.data.dataset import RatedGeneration, Rating, dump_dataset
from engine.errors import ModelError, RunError
from engine.runs.config import write_config
from engine.runs.run_dir import ADAPTER_FOLDER
from engine.runs.text_metrics import count_pairs, distinct_2, self_bleu, words_of
from engine.runs.versions import publish
from recipes import grammar
from recipes.grammar import TOPIC_KINDS, Language, Topic
from recipes.latent.skeletons import CORPORA, check_text

GRAMMAR = "the grammar itself"
JUDGE = "starter"
"""The model whose surprise is the measure of fluency."""
RATED, UNRATED = 0, 1
"""Every second topic is one on which people rate texts; nobody rates any on the others."""
AT_ONCE = 8
BEST_OF = 16
"""Texts on each topic, the best of which says what could be had."""
PEOPLE = 40
TALKATIVE = Temper(silence=0.0)
"""Noisy and partly contrary, as always, but nobody lets a text pass, so that every text is rated."""
_ALONE = 24
"""Texts that are asked for one at a time: enough for a speed, and not an hour of a slow model."""
_WARMING = 2
_CHINESE_SHARE = 0.3
_Z = 1.96

Texts = tuple[str, ...]
"""What one version wrote, in the order of the asks."""
OnShare = Callable[[float], None]
"""Is told the share of a step that is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPlan:
    """What is to be compared."""

    models: tuple[str, ...]
    kind: Kind
    taste: Taste
    texts: int = 200
    nights: int = 3
    ratings: int = 400
    seed: int = 1


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
class Speed:
    """How fast texts came, by the clock."""

    texts_a_second: float
    ms_a_token: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What texts are like, whoever likes them; the notes of `bot.cli.comparison_report` explain each number."""

    well_formed: float
    distinct_2: float
    self_bleu: float
    different: float
    memorised: float
    fluency: float


@dataclass(frozen=True, slots=True)
class Liking:
    """The mean liking of texts by the hidden taste."""

    mean: float
    margin: float
    """Half of the 95 % interval."""
    unrated: float
    """The mean over topics on which nobody has rated anything."""


@dataclass(frozen=True, slots=True)
class MeasuredTexts:
    """The texts of one version for the common asks, and what they are like."""

    texts: Texts
    liking: Liking
    quality: Quality


@dataclass(frozen=True, slots=True)
class Night:
    """How a night ended."""

    reason: str
    """The code of `engine.runs.run_dir`; `failed` or `memory` where there is no report."""
    has_passed: bool
    seconds: float = 0.0
    told: str = ""
    """What went wrong, where it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult:
    """One row of the comparison."""

    model: str
    shown: tuple[MeasuredTexts, ...] = ()
    """Before the first night and after each."""
    size: ModelSize | None = None
    alone: Speed | None = None
    """One text at a time."""
    together: Speed | None = None
    """`AT_ONCE` texts at once."""
    reachable: float | None = None
    """The mean over the asks of the best of `BEST_OF` texts on their topic by the hidden taste."""
    nights: tuple[Night, ...] = ()

    @property
    def title(self) -> str:
        """What a reader calls it: of a folder or hub id, the last part."""
        return self.model.rstrip("/").rpartition("/")[2]


def plan_for(names: Sequence[str], *, kind: str, taste: str) -> ComparisonPlan:
    """The plan for models by these names, or for all that are shipped and write this kind, with the usual numbers.

    Raises:
        StartError: a model, the kind or the taste is none that can be compared.
    """
    shipped = [model for model, folder in SHIPPED.items() if (folder / "config.json").is_file()]
    names = names or [model for model in shipped if kind in _kinds_of(model)]
    models = tuple(dict.fromkeys(model for name in names if (model := name.strip())))
    if kind not in TOPIC_KINDS:
        raise StartError(f"The kind {kind!r} cannot be compared: choose one of {', '.join(TOPIC_KINDS)}.")
    if not models:
        raise StartError("No model is named: give --models starter, for example.")
    if taste not in TASTES:
        raise StartError(f"There is no taste {taste!r}: choose one of {', '.join(TASTES)}.")
    for model in models:
        try:
            resolve_model(model)
        except ModelError as error:
            raise StartError(str(error)) from error
        if kind not in _kinds_of(model):
            raise StartError(f"The model {model} writes no {kind}: it knows {', '.join(_kinds_of(model))}.")
    called, times = Counter(map(version_name, models)).most_common(1)[0]
    if times > 1:
        raise StartError(f"{times} of the models are called {called}: give their folders different names.")
    asked_alike = load_kinds(model=["starter"]).by_name[kind]
    return ComparisonPlan(models=models, kind=asked_alike, taste=TASTES[taste])


def _kinds_of(model: str) -> tuple[str, ...]:
    """What a model, also a folder or a hub id, can be asked for."""
    return CORPORA[model].kinds if model in CORPORA else TOPIC_KINDS


def compare(plan: ComparisonPlan, tell: Callable[[str, float], None]) -> tuple[list[Ask], list[ModelResult]]:
    """The common asks, and a row for each model; the last is the grammar's.

    Raises:
        StartError: a model cannot be loaded; told before anything long begins.
        EngineError: an engine, or the measure of fluency, broke off.
    """
    steps, begun = len(plan.models) * (3 + 3 * plan.nights), count()

    def begin(words: str) -> OnShare:
        step = next(begun)
        tell(words, step / steps)
        return lambda share: tell(words, (step + share) / steps)

    asks = make_asks(plan.kind, plan.texts, Random(f"asks {plan.seed}"), halves=(RATED, UNRATED))
    rows = asyncio.run(_run_models(plan, asks, begin))
    begin("Measuring …")
    rows.append((ModelResult(model=GRAMMAR), [by_grammar(asks, Random(f"grammar {plan.seed}"))]))
    return asks, _evaluate(plan, asks, rows)


async def _run_models(
    plan: ComparisonPlan, asks: Sequence[Ask], begin: Callable[[str], OnShare]
) -> list[tuple[ModelResult, list[Texts]]]:
    with TemporaryDirectory(prefix="ovation-") as name:
        folder = Path(name)
        for model in plan.models[1:]:  # the first is loaded at once anyway
            begin(f"Loading {model} …")
            async with engine_for(model, folder):
                pass
        return [await _run_model(plan, model, asks, folder / str(n), begin) for n, model in enumerate(plan.models)]


async def _run_model(
    plan: ComparisonPlan, model: str, asks: Sequence[Ask], folder: Path, begin: Callable[[str], OnShare]
) -> tuple[ModelResult, list[Texts]]:
    """A row without what is measured on texts, and the texts before the first night and after each."""
    async with engine_for(model, folder / "versions") as client:
        base = await client.find_base(model)
        loop = LearningLoop(plan, model, base, client, folder)
        writing = begin(f"{model} writes …")
        await complete(client, base, asks[:_WARMING], plan.kind)
        _, alone = await complete(client, base, asks[:_ALONE], plan.kind, at_once=1)
        texts, together = await complete(client, base, asks, plan.kind, on_done=writing)
        reachable = await _reachable(plan, asks, client, base, begin(f"{model}: what could be had …"))
        written, nights = [texts], list[Night]()
        for night in range(1, plan.nights + 1):
            await loop.evening(begin(f"{model}: evening {night} of {plan.nights} …"))
            nights.append(await loop.night(begin(f"{model}: night {night} of {plan.nights} …")))
            writing = begin(f"{model}: after night {night} …")
            if nights[-1].has_passed:
                texts, _ = await complete(client, loop.version, asks, plan.kind, on_done=writing)
            written.append(texts)
    result = ModelResult(
        model=model, size=size_of(model), alone=alone, together=together, reachable=reachable, nights=tuple(nights)
    )
    return result, written


async def _reachable(
    plan: ComparisonPlan, asks: Sequence[Ask], client: EngineClient, base: str, on_done: OnShare
) -> float:
    chance = Random(f"reachable {plan.seed}")
    halves = {ask.asked.topic: ask.half for ask in asks}
    many = [ask_for(plan.kind, topic, chance, half=half) for topic, half in halves.items() for _ in range(BEST_OF)]
    texts, _ = await complete(client, base, many, plan.kind, on_done=on_done)
    best = best_by_topic(plan.taste, many, texts)
    return statistics.fmean(best[ask.asked.topic] for ask in asks)


def _evaluate(
    plan: ComparisonPlan, asks: Sequence[Ask], rows: Sequence[tuple[ModelResult, Sequence[Texts]]]
) -> list[ModelResult]:
    """Measure all texts at once, for diversity is taken over as many words in each row."""
    versions = list(dict.fromkeys(texts for _, written in rows for texts in written))
    prompts = [ask.messages for _ in versions for ask in asks]
    found = surprises(prompts, [text for texts in versions for text in texts], model=JUDGE)
    fluency = {
        texts: statistics.fmean(found[place * len(asks) : (place + 1) * len(asks)])
        for place, texts in enumerate(versions)
    }
    pairs = min(count_pairs([*map(words_of, texts)]) for texts in versions)

    def evaluation(model: str, texts: Texts) -> MeasuredTexts:
        measured = quality(asks, texts, model=model, pairs=pairs, fluency=fluency[texts])
        return MeasuredTexts(texts, liking(plan.taste, asks, texts), measured)

    return [replace(row, shown=tuple(evaluation(row.model, texts) for texts in written)) for row, written in rows]


def make_asks(kind: Kind, number: int, chance: Random, *, halves: Sequence[int]) -> list[Ask]:
    """So many asks for a kind, on topics of these halves in turn."""
    made = []
    for place in range(number):
        language = "zh" if chance.random() < _CHINESE_SHARE else "en"
        half = halves[place % len(halves)]
        made.append(ask_for(kind, chance.choice(TOPICS[language][half::2]), chance, half=half))
    return made


def ask_for(kind: Kind, topic: str, chance: Random, *, half: int) -> Ask:
    """An ask as the bot would send it."""
    return Ask(Asked(kind.name, topic), kind.messages(topic), chance.randrange(2**31), half)


@asynccontextmanager
async def engine_for(model: str, versions: Path) -> AsyncIterator[EngineClient]:
    """An engine of our own with this base, for as long as it is needed; it loads versions from `versions`.

    Raises:
        StartError: the model cannot be loaded.
    """
    async with httpx.AsyncClient(trust_env=False) as http:  # an engine of ours is reached through no proxy
        process = EngineProcess(model=model, versions=versions, http=http)
        try:
            await process.start()
            yield process.client
        finally:
            await process.stop()


async def complete(
    client: EngineClient, version: str, asks: Sequence[Ask], kind: Kind, *, at_once: int = AT_ONCE,
    on_done: OnShare = lambda _: None,
) -> tuple[Texts, Speed]:  # fmt: skip
    """What a version writes for the asks, `at_once` of them at a time, and how fast.

    Raises:
        EngineError: the engine does not answer.
    """
    turns, written = asyncio.Semaphore(at_once), count(1)

    async def answer(ask: Ask) -> tuple[str, int]:
        async with turns:
            reply = await client.complete(ask.messages, kind.sampling(seed=ask.seed), model=version)
        on_done(next(written) / len(asks))
        return sanitize(reply.text), reply.completion_tokens

    began = time.perf_counter()
    replies = await asyncio.gather(*map(answer, asks))
    seconds = time.perf_counter() - began
    tokens = sum(tokens for _, tokens in replies)
    return tuple(text for text, _ in replies), Speed(len(asks) / seconds, 1000.0 * seconds / max(1, tokens))


class LearningLoop:
    """Evenings and nights of one model: people rate what it writes, the trainer learns, what passes serves.

    All parts are the real ones but the people.
    """

    def __init__(self, plan: ComparisonPlan, model: str, base: str, client: EngineClient, folder: Path) -> None:
        """`folder` holds the runs; the engine loads versions from `folder/versions`."""
        self.version = base
        """What serves."""
        self._plan = plan
        self._model = model
        self._client = client
        self._folder = folder
        self._champion: Path | None = None
        self._rows: list[RatedGeneration] = []
        self._nights = 0

    async def evening(self, on_done: OnShare = lambda _: None) -> None:
        """People ask the version that serves for texts, and rate each.

        Raises:
            EngineError: the engine does not answer.
        """
        kind, taste, seed = self._plan.kind, self._plan.taste, self._plan.seed
        chance = Random(f"{taste.name} {seed} {self._nights}")
        people = [Person(number, f"Person {number}") for number in range(PEOPLE)]
        raters = make_raters(people, taste, TALKATIVE, str(seed))
        asks = make_asks(kind, self._plan.ratings, chance, halves=(RATED,))
        written, _ = await complete(self._client, self.version, asks, kind, on_done=on_done)
        for place, (ask, text) in enumerate(zip(asks, written, strict=True)):
            rater = chance.choice(raters)
            rating = Rating(rater.person.name, 1.0 if rater.likes(text, chance, ask.asked) else -1.0)
            row = RatedGeneration(
                id=f"{self._nights}-{place:04}", kind=ask.asked.kind, chat="room", author=chance.choice(people).name,
                version=self.version, messages=ask.messages, text=text, ratings=(rating,),
            )  # fmt: skip
            self._rows.append(row)

    async def night(self, on_done: OnShare = lambda _: None) -> Night:
        """The trainer's run on all ratings so far; what passes serves from now on.

        Raises:
            EngineError: the engine does not take the new version.
        """
        self._nights += 1
        folder = self._folder / f"run{self._nights}"
        folder.mkdir(parents=True)
        write_config(folder, run_config(self._model, champion=self._champion, seed=self._plan.seed))
        try:
            report = await train(folder, dump_dataset(self._rows), on_progress=lambda step: on_done(share_done(step)))
        except (MemoryError, RunError) as error:
            reason = "memory" if isinstance(error, MemoryError) else "failed"
            return Night(reason, has_passed=False, told=str(error))
        if report.passed:
            await self._serve(folder / ADAPTER_FOLDER)
        return Night(report.reason.code, report.passed, report.seconds)

    async def _serve(self, adapter: Path) -> None:
        before, had_adapter = self.version, self._champion is not None
        self.version = f"night-{self._nights}"
        self._champion = publish(adapter, self._folder / "versions", self.version).absolute()
        await self._client.load_adapter(self.version, self._champion)
        if had_adapter:
            await self._client.unload_adapter(before)


def by_grammar(asks: Sequence[Ask], chance: Random) -> Texts:
    """What the grammar itself writes for the asks."""
    texts = []
    for ask in asks:
        style = chance.choice(grammar.styles(ask.asked.kind, ask.language))
        texts.append(grammar.write(ask.asked.kind, style, Topic(ask.asked.topic), ask.language, chance))
    return tuple(texts)


def quality(asks: Sequence[Ask], texts: Sequence[str], *, model: str, pairs: int, fluency: float) -> Quality:
    """Measure texts of a model; `pairs` as in `engine.runs.text_metrics.distinct_2`."""
    checks = [
        check_text(text, ask.asked.topic, ask.asked.kind, ask.language, model=model)
        for ask, text in zip(asks, texts, strict=True)
    ]
    words = [words_of(text) for text in texts]
    return Quality(
        well_formed=sum(check.is_well_formed for check in checks) / len(checks),
        distinct_2=distinct_2(words, pairs=pairs),
        self_bleu=self_bleu(words),
        different=len({check.skeleton for check in checks}) / len(checks),
        memorised=sum(check.is_in_corpus for check in checks) / len(checks),
        fluency=fluency,
    )


def liking(taste: Taste, asks: Sequence[Ask], texts: Sequence[str]) -> Liking:
    """How the hidden taste likes the texts."""
    liked = [taste.liking(text, ask.asked) for ask, text in zip(asks, texts, strict=True)]
    unrated = [value for value, ask in zip(liked, asks, strict=True) if ask.half == UNRATED]
    spread = statistics.stdev(liked) if len(liked) > 1 else 0.0
    return Liking(statistics.fmean(liked), _Z * spread / math.sqrt(len(liked)), statistics.fmean(unrated or liked))


def best_by_topic(taste: Taste, asks: Sequence[Ask], texts: Sequence[str]) -> Mapping[str, float]:
    """The liking of the best text on each topic."""
    best: dict[str, float] = defaultdict(float)
    for ask, text in zip(asks, texts, strict=True):
        best[ask.asked.topic] = max(best[ask.asked.topic], taste.liking(text, ask.asked))
    return best


def gain(before: float, after: float, reachable: float) -> float | None:
    """What was gained, as a share of what could be had; None where nothing could."""
    headroom = reachable - before
    return (after - before) / headroom if headroom > 1e-3 else None


def surprises(prompts: Sequence[Sequence[Message]], texts: Sequence[str], *, model: str) -> list[float]:
    """The mean surprise at each text after its prompt, nats a token, measured in a process of its own.

    Raises:
        ModelError: the model cannot be loaded, or cannot read a text.
    """
    lines = [
        json.dumps({"messages": [{"role": each.role, "content": each.content} for each in messages], "text": text})
        for messages, text in zip(prompts, texts, strict=True)
    ]
    program = [sys.executable, "-m", "engine.evaluation.fluency", "--model", model]
    done = subprocess.run(
        program,
        input="\n".join(lines),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        env=computing_environment(),
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        told = f"The fluency of texts cannot be measured: it {describe_end(done.returncode, said)}."
        raise ModelError(" ".join([told, *said[-1:]]))
    return [float(number) for number in done.stdout.split()]
