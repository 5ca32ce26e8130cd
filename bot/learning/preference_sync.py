"""Keeps the engine's preference model in step with the ratings as they come.

A fit takes a moment and lets the engine choose the best of several texts, long before the night trains a version. This
module refits in the background, and says for each text how it is to be chosen. It posts only what author and rater
agree to now. Only people who wished for it have a model of their own there, under a name that each process draws
for itself. `docs/decisions/0015-taste-between-nights.md` says why its numbers are what they are.
"""

import asyncio
import hashlib
import logging
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.common.metrics import BotMetrics
from bot.common.settings import Settings
from bot.common.tasks import BackgroundTasks
from bot.common.timing import USUAL, Timing
from bot.learning.dataset import dataset_of
from engine.api.client import EngineClient
from engine.api.types import ONE_TEXT, PersonalRating, RatedText, Selection, TasteFit, group_of
from engine.data.dataset import RatedGeneration, examples_of
from engine.errors import EngineError, NoTaste, RequestError
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.db.records import Generation
from storage.tables import people, ratings

logger = logging.getLogger(__name__)

OWN_TASTE = "own_taste"
"""The setting of those who want texts chosen by their own ratings; "on" is the one value that means yes."""

CONTROL_SHARE = 0.1
"""This share of the texts is not chosen at all: their ratings say how the version writes by itself."""
EXPLORE = 0.25
"""This share of the choices follows a draw from the model's posterior, so that it learns where it is not sure."""
FEWEST_TEXTS = 10
"""Rated texts, liked and disliked, before anything is chosen by them."""
MOST_TEXTS = 2000
"""The newest; older ratings are left to the nights."""
RETRY_SECONDS = 30.0


@dataclass(kw_only=True, eq=False)
class PreferenceSync:
    """One preference model in one engine, under `name`. Call `start` once the engine answers."""

    db: Database
    engine: EngineClient
    metrics: BotMetrics
    name: str
    settings: Settings
    timing: Timing = USUAL
    _is_supported: bool = field(default=True, init=False)
    """Whether the engine learns preferences at all."""
    _names: dict[str, str] = field(default_factory=dict, init=False)
    """What the engine calls those who have a model of their own."""
    _asked_at: float | None = field(default=None, init=False)
    _due: float | None = field(default=None, init=False)
    _withdrawals: int = field(default=0, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _tasks: BackgroundTasks = field(default_factory=BackgroundTasks, init=False)
    fitted: TasteFit | None = field(default=None, init=False)
    """The model that chooses now, if there is one."""

    @property
    def is_available(self) -> bool:
        """Whether texts are compared at all here, once there are ratings."""
        return self.settings.best_of > 1 and self._is_supported

    def start(self) -> None:
        """Begin to refit, with a fit at once."""
        if self.settings.best_of > 1:
            self._tasks.start(self._keep_fitting(), name="preference sync")
            self.reset()

    async def close(self) -> None:
        """Stop at once; the next start fits again."""
        await self._tasks.close()

    def refit_soon(self) -> None:
        """There is another rating; it is learned soon, together with those that come meanwhile."""
        now = _clock()
        self._asked_at = now if self._asked_at is None else self._asked_at
        self._be_due(min(now + self.timing.taste_quiet, self._asked_at + self.timing.taste_longest))

    def reset(self) -> None:
        """Somebody has withdrawn what was learned of them: nothing is chosen until a fit without them."""
        self.fitted = None
        self._withdrawals += 1
        self._asked_at = _clock() - self.timing.taste_longest  # a rating that comes now puts nothing off
        self._be_due(_clock())

    def engine_started(self) -> None:
        """What the engine had learned is gone, and it may be another engine."""
        self._is_supported = True
        self.reset()

    def selection_for(self, generation: Generation, *, own_taste: bool) -> Selection:
        """How the text of a generation is to be chosen; the same after a crash, as long as the model is.

        `own_taste`: the author wants texts chosen by their own ratings.
        """
        if self.fitted is None or is_control(generation.seed):
            return ONE_TEXT
        person = self._names.get(generation.author) if own_taste else None
        return Selection(best_of=self.settings.best_of, taste=self.name, person=person, explore=EXPLORE)

    def _be_due(self, at: float) -> None:
        self._due = at
        self._changed.set()

    async def _keep_fitting(self) -> None:
        while True:
            await self._until_due()
            self._asked_at = self._due = None  # what comes from here on is for the next fit
            if not self._is_supported:
                continue
            try:
                await self._fit()
            except NoTaste:
                self._is_supported = False
                logger.info("this engine learns no preferences: each prompt gets the one text that it writes")
            except (EngineError, StorageError) as error:
                kind = type(error).__name__  # its words may quote a text
                logger.warning("the preference model is not fitted: %s", kind)
                if self._due is None and not isinstance(error, RequestError):
                    self._due = _clock() + RETRY_SECONDS

    async def _until_due(self) -> None:
        while self._due is None or self._due > _clock():
            self._changed.clear()
            try:
                async with asyncio.timeout_at(self._due):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _fit(self) -> None:
        """Learn from the ratings of now, or forget where there are too few; after an error the old model stays."""
        withdrawals = self._withdrawals
        wishes = await people.with_preference(self.db, OWN_TASTE, "on")
        stored = await ratings.consented(self.db, newest=MOST_TEXTS)
        rows = list(dataset_of(stored, now=datetime.now(UTC), tenure_days=self.settings.tenure_days))
        names = {person: self._names.get(person) or secrets.token_hex(8) for person, _ in wishes}
        texts, personal = await asyncio.to_thread(
            training_texts, rows, {(person, chat): names[person] for person, chat in wishes}
        )
        fitted = await self.engine.fit_taste(self.name, texts, personal)
        self._names = {person: name for person, name in names.items() if name in personal}
        self.fitted = fitted if fitted.texts and self._withdrawals == withdrawals else None
        self.metrics.taste_texts.set(fitted.texts)
        self.metrics.taste_people.set(fitted.people)
        self.metrics.taste_auroc.set(math.nan if fitted.auroc is None else fitted.auroc)


def is_control(seed: int) -> bool:
    """Whether the text with this seed is one of those that are not chosen; looks random, and stays the same."""
    draw = int.from_bytes(hashlib.sha256(f"{seed} is plain".encode()).digest()[:8]) / 2**64
    return draw < CONTROL_SHARE


def training_texts(
    rows: Sequence[RatedGeneration], names: dict[tuple[str, str], str]
) -> tuple[list[RatedText], dict[str, list[PersonalRating]]]:
    """The texts with what everybody together thinks of them, and by name what those of `names` think themselves.

    `names` has a name for each (person, chat) whose ratings also fit a model of their own. A text on which the votes
    cancel has weight 0; it may tell much about one person. Both are empty while the rated texts are too few, or all
    liked, or all disliked.
    """
    examples, _ = examples_of(rows)
    rated = {(group_of(row.messages), row.text) for row in rows if any(r.signal == "said" for r in row.ratings)}
    sides = [example.value > 0.0 for example in examples if (example.group, example.text) in rated]
    if len(sides) < FEWEST_TEXTS or len(set(sides)) < 2:
        return [], {}
    texts = [RatedText(example.messages, example.text, example.value, example.weight) for example in examples]
    places = {(example.group, example.text): place for place, example in enumerate(examples)}
    people: dict[str, dict[int, float]] = {}
    for row in rows:
        own = [
            (names[rating.rater, row.chat], rating.value)
            for rating in row.ratings
            if rating.signal == "said" and (rating.rater, row.chat) in names
        ]
        if own and row.text.strip():
            place = places.setdefault((group_of(row.messages), row.text), len(texts))
            if place == len(texts):
                texts.append(RatedText(row.messages, row.text, 0.0, 0.0))
            for name, value in own:
                people.setdefault(name, {})[place] = value
    return texts, {name: [PersonalRating(*said) for said in values.items()] for name, values in people.items()}


def _clock() -> float:
    return asyncio.get_running_loop().time()
