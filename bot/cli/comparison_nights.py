"""Evenings and nights of one compared model: people rate what it writes, the trainer learns, what passes serves.

All parts are the real ones but the people. Knows a taste only as the people's. What is measured stands elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bot.cli.comparison_asks import RATED, Ask, answers, make_asks
from bot.common.kinds import Kind
from bot.learning.trainer import run_config, train
from bot.reporting.bulletin import share_done
from bot.sandbox.people.judges import Temper, make_judges
from bot.sandbox.people.tastes import Taste
from bot.sandbox.world.records import Person
from engine.api.client import EngineClient
from engine.data.dataset import RatedGeneration, Rating, dump_dataset
from engine.errors import RunError
from engine.runs.run import ADAPTER_FOLDER
from engine.runs.run_config import write_config
from engine.runs.versions import publish

PEOPLE = 40
TALKATIVE = Temper(silence=0.0)
"""Noisy and partly contrary, as always, but nobody lets a text pass, so that every text is rated."""


@dataclass(frozen=True, slots=True)
class Night:
    """How a night ended."""

    reason: str
    """The code of `engine.runs.run`; `failed` or `memory` where there is no report."""
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
