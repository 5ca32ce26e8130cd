"""The preference sync: when it learns, from what, what it forgets, and for whom texts are chosen."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.common.metrics import BotMetrics
from bot.common.settings import OfflineSettings
from bot.common.timing import Timing
from bot.generation.preferences import read_choices
from bot.learning import preference_sync
from bot.learning.preference_sync import CONTROL_SHARE, OWN_TASTE, PreferenceSync, is_control, training_texts
from engine.api.types import ONE_TEXT, Message, PersonalRating, RatedText, TasteFit
from engine.data.dataset import RatedGeneration, Rating
from engine.errors import EngineUnavailable, NoTaste
from storage.db.database import Database
from storage.db.records import Generation, RatingEvent
from storage.tables import moderation, people, ratings
from tests.storage.conftest import delivered

NOW = datetime.now(UTC)
QUIET, LONGEST = 0.4, 1.2


class Engine:
    """Stands in for the engine's client: notes what it is taught."""

    def __init__(self) -> None:
        self.fits: list[tuple[Sequence[RatedText], Mapping[str, Sequence[PersonalRating]]]] = []
        self.began: list[float] = []
        self.at_once = self.most_at_once = 0
        self.error: Exception | None = None
        self.seconds = 0.0

    async def fit_taste(
        self, name: str, texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
    ) -> TasteFit:
        assert name == "house"
        self.began.append(asyncio.get_running_loop().time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        self.fits.append((texts, people))
        if self.error is not None:
            raise self.error
        return TasteFit(len(texts), len(people), 0.7 if texts else None, self.seconds)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def sync(db: Database, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PreferenceSync]:
    """One that has started, with nothing to learn from yet."""
    monkeypatch.setattr(preference_sync, "RETRY_SECONDS", 0.1)
    made = PreferenceSync(
        db=db,
        engine=engine,  # type: ignore[arg-type]
        metrics=BotMetrics(),
        name="house",
        settings=OfflineSettings(best_of=8, tenure_days=0),
        timing=Timing(taste_quiet=QUIET, taste_longest=LONGEST),
    )
    made.start()
    await until(lambda: engine.fits)
    assert engine.fits == [([], {})], "what an earlier process left in the engine is removed"
    engine.fits.clear()
    engine.began.clear()
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
    db: Database, engine: Engine, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    for _ in range(3):
        sync.refit_soon()
        last = asyncio.get_running_loop().time()
        await asyncio.sleep(QUIET / 4)
    await until(lambda: engine.fits)
    assert engine.began[0] - last >= QUIET - 0.01
    await asyncio.sleep(2 * QUIET)
    assert len(engine.fits) == 1 and len(engine.fits[0][0]) == 12
    await until(lambda: sync.fitted)
    assert sync.fitted is not None and sync.fitted.auroc == 0.7


async def test_a_shower_of_ratings_puts_the_fit_off_only_so_long(
    db: Database, engine: Engine, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    loop = asyncio.get_running_loop()
    first = loop.time()
    while not engine.began:
        sync.refit_soon()
        await asyncio.sleep(QUIET / 5)
    assert engine.began[0] - first >= LONGEST - 0.01


async def test_there_are_never_two_fits_at_once_and_what_comes_meanwhile_is_for_the_next(
    db: Database, engine: Engine, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    engine.seconds = 0.5
    sync.refit_soon()
    await until(lambda: engine.at_once)
    await rated(db, 2, first=50)
    sync.refit_soon()
    await until(lambda: len(engine.fits) == 2)
    assert engine.most_at_once == 1 and [len(texts) for texts, _ in engine.fits] == [12, 14]


async def test_without_consent_or_with_too_few_or_one_sided_ratings_there_is_no_taste(
    db: Database, engine: Engine, sync: PreferenceSync
) -> None:
    (generation, *_) = await rated(db, 9)
    sync.refit_soon()
    await until(lambda: engine.fits)
    assert engine.fits[-1] == ([], {}) and sync.fitted is None
    assert sync.selection_for(generation, own_taste=False) == ONE_TEXT
    await rated(db, 3, first=50)
    sync.refit_soon()
    await until(lambda: sync.fitted)
    await people.revoke(db, "ada", "tea", at=NOW)
    sync.reset()
    assert sync.fitted is None, "nothing is chosen by what is withdrawn, from that moment on"
    await until(lambda: len(engine.fits) == 3)
    assert engine.fits[-1] == ([], {})


async def test_what_is_withdrawn_during_a_fit_is_not_chosen_by(
    db: Database, engine: Engine, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    engine.seconds = 0.3
    sync.refit_soon()
    await until(lambda: engine.at_once)
    await moderation.ban(db, "bob", at=NOW)
    sync.reset()
    await until(lambda: engine.fits)
    assert sync.fitted is None
    await until(lambda: len(engine.fits) == 2)
    assert [len(texts) for texts, _ in engine.fits] == [12, 12], "those of ada alone stay"


async def test_a_failing_engine_is_asked_again_and_one_without_tastes_only_after_it_has_restarted(
    db: Database, engine: Engine, sync: PreferenceSync
) -> None:
    await rated(db, 12)
    engine.error = EngineUnavailable("It is away.")
    sync.refit_soon()
    await until(lambda: len(engine.fits) >= 2)
    engine.error = NoTaste("It is of another make.", status=404)
    tries = len(engine.fits)
    await until(lambda: len(engine.fits) > tries)
    tries = len(engine.fits)
    sync.refit_soon()
    await asyncio.sleep(2 * LONGEST)
    assert len(engine.fits) == tries and sync.fitted is None
    engine.error = None
    sync.engine_started()
    await until(lambda: sync.fitted)


async def test_a_tenth_of_the_texts_is_control_and_always_the_same_ones(
    db: Database, engine: Engine, sync: PreferenceSync
) -> None:
    (generation, *_) = await rated(db, 12)
    sync.refit_soon()
    await until(lambda: sync.fitted)
    plain = [seed for seed in range(10_000) if is_control(seed)]
    assert abs(len(plain) / 10_000 - CONTROL_SHARE) < 0.01
    assert sync.selection_for(replace(generation, seed=plain[0]), own_taste=False) == ONE_TEXT
    other = next(seed for seed in range(99) if seed not in plain)
    chosen = sync.selection_for(replace(generation, seed=other), own_taste=False)
    assert (chosen.best_of, chosen.taste, chosen.person, chosen.explore) == (8, "house", None, 0.25)


async def test_only_who_wishes_has_a_taste_of_their_own_under_a_name_that_tells_nothing(
    db: Database, engine: Engine, sync: PreferenceSync
) -> None:
    (generation, *_) = await rated(db, 12)
    generation = replace(generation, seed=next(seed for seed in range(99) if not is_control(seed)))
    await people.set_preference(db, "ada", "tea", OWN_TASTE, "on", at=NOW)
    await people.set_preference(db, "bob", "elsewhere", OWN_TASTE, "on", at=NOW)
    sync.refit_soon()
    await until(lambda: sync.fitted)
    ((name, said),) = engine.fits[-1][1].items()
    assert name not in ("ada", "bob") and len(said) == 12
    assert {rating.value for rating in said} == {1.0, -1.0}

    async def person(text: Generation) -> str | None:
        choices = await read_choices(db, text.author, text.chat)
        return sync.selection_for(text, own_taste=choices.own_taste == "on").person

    assert await person(generation) == name
    assert await person(replace(generation, author="bob")) is None
    assert await person(replace(generation, chat="elsewhere")) is None
    await people.set_preference(db, "ada", "tea", OWN_TASTE, "off", at=NOW)
    assert await person(generation) is None, "from the next text on"


def row(number: int, *ratings: Rating) -> RatedGeneration:
    return RatedGeneration(
        id=f"{number:03}", kind="slogan", chat="tea", author="ada", version="starter",
        messages=(Message("user", f"topic {number}"),), text=f"A text about the topic with number {number}.",
        ratings=ratings,
    )  # fmt: skip


def test_a_text_on_which_people_disagree_teaches_the_house_nothing_but_the_person() -> None:
    rows = [row(number, *(Rating(who, 1.0 if number % 2 else -1.0) for who in ("bob", "cyd"))) for number in range(12)]
    rows.append(row(12, Rating("bob", 1.0), Rating("cyd", -1.0)))
    texts, people_ = training_texts(rows, {("bob", "tea"): "x"})
    assert [text.weight > 0.0 for text in texts] == [True] * 12 + [False]
    assert people_["x"][-1] == PersonalRating(12, 1.0)


def test_signals_are_no_ratings() -> None:
    rows = [row(number, Rating("bob", 1.0)) for number in range(12)]
    rows += [row(number, Rating("bob", -0.3, signal="another")) for number in range(12, 24)]
    assert training_texts(rows, {}) == ([], {}), "all that was said is of one side"
    rows += [row(24, Rating("bob", -1.0))]
    texts, people_ = training_texts(rows, {("bob", "tea"): "x"})
    assert len(texts) == 25 and len(people_["x"]) == 13
