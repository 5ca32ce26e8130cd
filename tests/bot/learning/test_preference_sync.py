"""The preference sync: when it learns, from what, what it forgets, and what it chooses by."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from bot.common.metrics import BotMetrics
from bot.common.settings import OfflineSettings
from bot.common.timing import Timing
from bot.learning import preference_sync
from bot.learning.preference_sync import CONTROL_SHARE, OWN_TASTE, PreferenceSync, is_control
from bot.learning.taste import Taste, fit_taste
from engine.data.dataset import RatedGeneration
from engine.preference.features import Array
from storage.db.database import Database
from storage.db.records import Generation, RatingEvent
from storage.tables import moderation, people, ratings
from tests.storage.conftest import delivered

NOW = datetime.now(UTC)
QUIET, LONGEST = 0.4, 1.2


class Fits:
    """Stands in for the fit, in its thread: notes what is learned from."""

    def __init__(self) -> None:
        self.rows: list[list[RatedGeneration]] = []
        self.wishes: list[Collection[tuple[str, str]]] = []
        self.began: list[float] = []
        self.at_once = self.most_at_once = 0
        self.error: Exception | None = None
        self.seconds = 0.0

    def __call__(self, rows: list[RatedGeneration], wishes: Collection[tuple[str, str]]) -> Taste | None:
        self.began.append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.seconds)
        self.at_once -= 1
        self.rows.append(rows)
        self.wishes.append(wishes)
        if self.error is not None:
            raise self.error
        return fit_taste(rows, wishes)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    made = Fits()
    monkeypatch.setattr(preference_sync, "fit_taste", made)
    return made


@pytest.fixture
async def sync(db: Database, fits: Fits, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PreferenceSync]:
    """One that has started, with nothing to learn from yet."""
    monkeypatch.setattr(preference_sync, "RETRY_SECONDS", 0.1)
    made = PreferenceSync(
        db=db,
        metrics=BotMetrics(),
        settings=OfflineSettings(best_of=8, tenure_days=0),
        timing=Timing(taste_quiet=QUIET, taste_longest=LONGEST),
    )
    made.start()
    await until(lambda: fits.rows)
    assert fits.rows == [[]]
    fits.rows.clear()
    fits.began.clear()
    yield made
    await made.close()


async def rated(db: Database, texts: int, *, author: str = "ada", first: int = 1) -> list[Generation]:
    """Texts of one author, liked and disliked in turn by her and by Bob; both have opted in."""
    for person in (author, "bob"):
        await people.grant(db, person, "tea", text_version=1, at=NOW)
    made = []
    for number in range(first, first + texts):
        generation = await delivered(db, number, author=author)
        for place, rater in enumerate((author, "bob")):
            value = 1.0 if number % 2 else -1.0
            event = RatingEvent(
                update_id=10_000 + 10 * number + place, generation=generation.id, rater=rater, source="button",
                value=value, emoji="👍", at=NOW,
            )  # fmt: skip
            await ratings.record(db, event)
        made.append(generation)
    return made


async def test_ratings_that_come_together_are_one_fit_soon_after_the_last(
    db: Database, fits: Fits, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    for _ in range(3):
        sync.refit_soon()
        last = time.monotonic()
        await asyncio.sleep(QUIET / 4)
    await until(lambda: fits.rows)
    assert fits.began[0] - last >= QUIET - 0.01
    await asyncio.sleep(2 * QUIET)
    assert len(fits.rows) == 1 and len(fits.rows[0]) == 12
    await until(lambda: sync.fitted)
    assert sync.fitted is not None and sync.fitted.texts == 12


async def test_a_shower_of_ratings_puts_the_fit_off_only_so_long(
    db: Database, fits: Fits, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    first = time.monotonic()
    while not fits.began:
        sync.refit_soon()
        await asyncio.sleep(QUIET / 5)
    assert fits.began[0] - first >= LONGEST - 0.01


async def test_there_are_never_two_fits_at_once_and_what_comes_meanwhile_is_for_the_next(
    db: Database, fits: Fits, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    fits.seconds = 0.5
    sync.refit_soon()
    await until(lambda: fits.at_once)
    await rated(db, 2, first=50)
    sync.refit_soon()
    await until(lambda: len(fits.rows) == 2)
    assert fits.most_at_once == 1 and [len(texts) for texts in fits.rows] == [12, 14]


async def test_without_consent_or_with_too_few_ratings_there_is_no_taste(
    db: Database, fits: Fits, sync: PreferenceSync
) -> None:
    await rated(db, 9)
    sync.refit_soon()
    await until(lambda: fits.rows)
    assert len(fits.rows[-1]) == 9 and sync.fitted is None
    await rated(db, 3, first=50)
    sync.refit_soon()
    await until(lambda: sync.fitted)
    await people.revoke(db, "ada", "tea", at=NOW)
    sync.reset()
    assert sync.fitted is None, "nothing is chosen by what is withdrawn, from that moment on"
    await until(lambda: len(fits.rows) == 3)
    assert fits.rows[-1] == []


async def test_what_is_withdrawn_during_a_fit_is_not_chosen_by(db: Database, fits: Fits, sync: PreferenceSync) -> None:
    await rated(db, 12)
    fits.seconds = 0.3
    sync.refit_soon()
    await until(lambda: fits.at_once)
    await moderation.ban(db, "bob", at=NOW)
    sync.reset()
    await until(lambda: fits.rows)
    assert sync.fitted is None
    await until(lambda: len(fits.rows) == 2)
    assert [len(texts) for texts in fits.rows] == [12, 12], "those of ada alone stay"


async def test_a_fit_that_fails_is_tried_again_and_the_old_taste_chooses_meanwhile(
    db: Database, fits: Fits, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    sync.refit_soon()
    await until(lambda: sync.fitted)
    before, fits.error = sync.fitted, np.linalg.LinAlgError("Singular matrix")
    sync.refit_soon()
    await until(lambda: len(fits.rows) >= 3)
    assert sync.fitted is before
    fits.error = None
    await until(lambda: sync.fitted is not before)


def test_a_tenth_of_the_texts_is_control_and_always_the_same_ones() -> None:
    plain = [seed for seed in range(10_000) if is_control(seed)]
    assert abs(len(plain) / 10_000 - CONTROL_SHARE) < 0.01
    assert plain == [seed for seed in range(10_000) if is_control(seed)]


async def test_control_texts_are_written_alone_and_all_others_chosen_from_several(
    db: Database, sync: PreferenceSync
) -> None:
    (generation, *_) = await rated(db, 1)
    plain = next(seed for seed in range(99) if is_control(seed))
    other = next(seed for seed in range(99) if not is_control(seed))
    assert sync.texts_for(replace(generation, seed=plain)) == 1
    assert sync.texts_for(replace(generation, seed=other)) == 8


async def test_before_anybody_has_rated_the_best_is_shown_and_of_equally_good_ones_the_newest(
    db: Database, sync: PreferenceSync
) -> None:
    (generation, *_) = await rated(db, 1)

    async def shown(*quality: float) -> int:
        return await sync.choose(generation, ["Warm tea.", "Cold milk.", "Warm tea."], quality, own_taste=False)

    assert [await shown(0.0, 0.0, 1.0), await shown(0.0, 0.0, 0.0), await shown(0.01, 0.0, 0.0)] == [2, 1, 0]


async def test_what_the_model_finds_likely_counts_until_there_is_a_taste(db: Database, sync: PreferenceSync) -> None:
    (generation, *_) = await rated(db, 1)

    async def shown() -> int:
        texts = ["A cup of tea.", "Cold milk."]
        return await sync.choose(generation, texts, [0.0, 0.5], likelihood=[-1.0, -3.0], own_taste=False)

    assert await shown() == 0
    sync.fitted = LikesMilk()  # type: ignore[assignment]
    assert await shown() == 1


class LikesMilk:
    """In the place of a fitted taste."""

    def liking(self, texts: Sequence[str], *, person: str | None, draw: int | None) -> Array:
        return np.array([0.1 * ("milk" in text) for text in texts])


class LikesTea:
    """In the place of a fitted taste."""

    def liking(self, texts: Sequence[str], *, person: str | None, draw: int | None) -> Array:
        return np.array([float("tea" in text) - 2.0 * (person == "ada") * ("cup" in text) for text in texts])


async def test_ratings_outweigh_a_small_difference_in_quality_and_not_a_large_one(
    db: Database, sync: PreferenceSync
) -> None:
    (generation, *_) = await rated(db, 1)
    sync.fitted = LikesTea()  # type: ignore[assignment]

    async def shown(quality: float, *, own_taste: bool = False) -> int:
        texts = ["Cold milk.", "A cup of tea."]
        return await sync.choose(generation, texts, [quality, 0.0], own_taste=own_taste)

    assert [await shown(0.0), await shown(0.5), await shown(6.0)] == [1, 1, 0]
    assert await shown(0.0, own_taste=True) == 0, "the author's own"


async def test_a_taste_of_ones_own_is_for_those_who_wish_for_it_in_the_chats_where_they_do(
    db: Database, fits: Fits, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    await people.set_preference(db, "ada", "tea", OWN_TASTE, "on", at=NOW)
    await people.set_preference(db, "bob", "elsewhere", OWN_TASTE, "on", at=NOW)
    sync.refit_soon()
    await until(lambda: sync.fitted)
    assert fits.wishes[-1] == {("ada", "tea"), ("bob", "elsewhere")}
    assert sync.fitted is not None and list(sync.fitted.model.people) == ["ada"]
