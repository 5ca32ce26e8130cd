"""Keeps the community's taste in step with the ratings as they come, and chooses by it.

A fit takes a moment and lets the best of several texts be shown, long before the night trains a version. This module
refits in the background, in a thread, only from what author and rater agree to now.
`docs/decisions/0015-taste-between-nights.md` says why its numbers are what they are, and
`docs/decisions/0030-the-bot-chooses.md` why it is the bot that chooses.
"""

import asyncio
import hashlib
import logging
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from bot.common.metrics import BotMetrics
from bot.common.settings import Settings
from bot.common.tasks import BackgroundTasks
from bot.common.timing import USUAL, Timing
from bot.learning.dataset import dataset_of
from bot.learning.taste import Taste, fit_taste
from engine.preference.choice import RecentTexts, nearly_best
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.db.records import Generation
from storage.tables import people, ratings

logger = logging.getLogger(__name__)

OWN_TASTE = "own_taste"
"""The setting of those who want texts chosen by their own ratings; "on" is the one value that means yes."""

CONTROL_SHARE = 0.1
"""This share of the texts is not chosen: they are the first that is fit to be shown, so that their ratings say how the
version writes by itself."""
EXPLORE = 0.25
"""This share of the choices follows a draw from what the taste may be, instead of its mode: Thompson sampling
(Thompson, Biometrika 25, 1933; Russo et al., "A Tutorial on Thompson Sampling", 2018). So texts are also shown whose
worth is not known yet, and the ratings do not only confirm what they already say."""
MOST_TEXTS = 2000
"""The newest; older ratings are left to the nights."""
RETRY_SECONDS = 30.0


@dataclass(kw_only=True, eq=False)
class PreferenceSync:
    """The taste of everybody who uses one bot, and of those who wish for one of their own."""

    db: Database
    metrics: BotMetrics
    settings: Settings
    timing: Timing = USUAL
    _asked_at: float | None = field(default=None, init=False)
    _due: float | None = field(default=None, init=False)
    _withdrawals: int = field(default=0, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _tasks: BackgroundTasks = field(default_factory=BackgroundTasks, init=False)
    _recent: RecentTexts = field(default_factory=RecentTexts, init=False)
    fitted: Taste | None = field(default=None, init=False)
    """The taste that chooses now, if there is one."""

    @property
    def is_available(self) -> bool:
        """Whether texts are compared at all here."""
        return self.settings.best_of > 1

    def start(self) -> None:
        """Begin to refit, with a fit at once."""
        if self.is_available:
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

    def texts_for(self, generation: Generation) -> int:
        """How many texts are to be written for a generation, at most."""
        return 1 if is_control(generation.seed) else self.settings.best_of

    async def choose(
        self,
        generation: Generation,
        texts: Sequence[str],
        quality: Sequence[float],
        *,
        likelihood: Sequence[float] | None = None,
        own_taste: bool,
    ) -> int:
        """Which of several texts is shown, by its place: of those that are nearly the best, the newest.

        `quality` is how good each is whoever reads it, as log-odds, and `likelihood` what the model says of it on the
        same scale, which counts until there is a taste. `own_taste`: the author wants texts chosen by their own
        ratings.
        """
        taste, liking = self.fitted, None
        if len(texts) > 1 and taste is not None:
            person, draw = generation.author if own_taste else None, _draw(generation.seed)
            liking = await asyncio.to_thread(taste.liking, texts, person=person, draw=draw)
        worth = np.array(quality)
        if liking is None and likelihood is not None:
            worth = worth + np.array(likelihood)
        return self._recent.most_novel(texts, nearly_best(worth, liking).tolist())

    def _be_due(self, at: float) -> None:
        self._due = at
        self._changed.set()

    async def _keep_fitting(self) -> None:
        while True:
            await self._until_due()
            self._asked_at = self._due = None  # what comes from here on is for the next fit
            try:
                await self._fit()
            except (StorageError, np.linalg.LinAlgError) as error:
                logger.warning("the taste is not fitted: %s", type(error).__name__)
                if self._due is None:
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
        wishes = frozenset(await people.with_preference(self.db, OWN_TASTE, "on"))
        stored = await ratings.consented(self.db, newest=MOST_TEXTS)
        now, tenure_days = datetime.now(UTC), self.settings.tenure_days
        fitted = await asyncio.to_thread(
            lambda: fit_taste(list(dataset_of(stored, now=now, tenure_days=tenure_days)), wishes)
        )
        self.fitted = fitted if self._withdrawals == withdrawals else None
        self.metrics.taste_texts.set(fitted.texts if fitted else 0)
        self.metrics.taste_people.set(fitted.people if fitted else 0)
        self.metrics.taste_auroc.set(math.nan if fitted is None or fitted.auroc is None else fitted.auroc)


def is_control(seed: int) -> bool:
    """Whether the text with this seed is one of those that are not chosen; looks random, and stays the same."""
    draw = int.from_bytes(hashlib.sha256(f"{seed} is plain".encode()).digest()[:8]) / 2**64
    return draw < CONTROL_SHARE


def _draw(seed: int) -> int | None:
    """The number of the draw from the posterior that decides, or None: its mode does. The same for the same seed."""
    luck = random.Random(f"{seed} explores")
    return luck.getrandbits(63) if luck.random() < EXPLORE else None


def _clock() -> float:
    return asyncio.get_running_loop().time()
