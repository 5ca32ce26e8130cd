"""However often somebody changes their mind: the last state wins, an event costs the same, and little is kept."""

import itertools
import json
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from storage.db.database import Database
from storage.db.records import RatingEvent, Reaction, Source
from storage.privacy import erasure
from storage.privacy.data_export import of_person
from storage.tables import generations, ratings
from storage.tables.ratings import KEPT
from tests.storage.conftest import NOON, delivered, new_generation

WINDOW = KEPT // 2
"""By so many presses one may be late."""


def said_by_somebody(rng: random.Random, count: int, generation: int, *, first: int = 10_000) -> list[RatingEvent]:
    """What a person does one after another, the clock of presses being wrong by up to 20 seconds."""
    said, seconds = [], 0
    for number in range(count):
        source: Source = rng.choice(("button", "reaction"))
        seconds += rng.choice((0, 0, 1, 5, 100))
        is_press = source == "button"
        value = rng.choice((1.0, -1.0)) if is_press else rng.choice((1.0, -0.5, None))
        skew = rng.uniform(-20, 20) if is_press else 0
        said.append(
            RatingEvent(
                update_id=first + number, generation=generation, rater="bob", source=source,
                value=value, emoji="" if value is None else "x", at=NOON + timedelta(seconds=seconds + skew),
            )
        )  # fmt: skip
    return said


def last_state(said: Sequence[RatingEvent]) -> float | None:
    """By the rules as people read them."""
    source, value = "", None
    for event in said:
        if event.source == "button":
            value = None if source == "button" and value == event.value else event.value
            source = "button"
        elif event.value is not None or source != "button":
            source, value = "reaction", event.value
    return value


def late(rng: random.Random, said: Sequence[RatingEvent], by: int) -> list[RatingEvent]:
    """Another order of arrival, in which nothing is overtaken by what comes more than `by` events later."""
    return sorted(said, key=lambda event: event.update_id + rng.uniform(0, by))


def record(connection: sqlite3.Connection, event: RatingEvent) -> RatingEvent:
    return (ratings.record_button if event.source == "button" else ratings.record)(connection, event)


def stands(connection: sqlite3.Connection, generation: int, rater: str = "bob") -> float | None:
    query = "SELECT value FROM ratings WHERE generation = ? AND rater = ?"
    (value,) = connection.execute(query, (generation, rater)).fetchone()
    return None if value is None else float(value)


@pytest.mark.parametrize("seed", range(6))
async def test_the_last_state_wins_in_every_order_of_arrival_within_the_window(db: Database, seed: int) -> None:
    rng = random.Random(seed)
    texts = [await delivered(db, number) for number in range(1, 5)]
    for text, (count, by) in zip(texts, ((3, 3), (12, 12), (60, 60), (250, WINDOW)), strict=True):
        said = said_by_somebody(rng, count, text.id, first=10_000 * text.id)
        arriving = late(rng, said, by)
        await db.write(lambda c, arriving=arriving: [record(c, event) for event in arriving])
        assert await db.read(lambda c, text=text: stands(c, text.id)) == last_state(said), (seed, count)


@pytest.mark.parametrize("seed", range(4))
async def test_reactions_may_come_in_any_order_whatever(db: Database, seed: int) -> None:
    rng = random.Random(seed)
    text = await delivered(db, 1)
    said = [event for event in said_by_somebody(rng, 800, text.id) if event.source == "reaction"]
    arriving = rng.sample(said, len(said))
    await db.write(lambda c: [record(c, event) for event in arriving])
    assert await db.read(lambda c: stands(c, text.id)) == last_state(said)


async def test_every_order_of_a_few_events_comes_to_the_same(db: Database) -> None:
    """Also where ids and dates contradict each other."""
    rng = random.Random(0)
    number = itertools.count(1)
    for _ in range(4):
        said = said_by_somebody(rng, 4, 0)
        shuffled = [replace(event, at=other.at) for event, other in zip(said, rng.sample(said, 4), strict=True)]
        found = set()
        for order in itertools.permutations(shuffled):
            text = await delivered(db, next(number))
            ids = {event.update_id: 100_000 * text.id + event.update_id for event in order}
            for event in order:
                await ratings.record(db, replace(event, generation=text.id, update_id=ids[event.update_id]))
            found.add(await db.read(lambda c, text=text: stands(c, text.id)))
        assert len(found) == 1


def steps(connection: sqlite3.Connection, work: Callable[[], object]) -> int:
    """How many hundreds of SQLite's instructions it takes."""
    counted = 0

    def step() -> int:
        nonlocal counted
        counted += 1
        return 0

    connection.set_progress_handler(step, 100)
    try:
        work()
    finally:
        connection.set_progress_handler(None, 0)
    return counted


@pytest.mark.parametrize("source", ["reaction", "button", "both"])
async def test_an_event_costs_the_same_after_thousands(db: Database, source: str) -> None:
    """In instructions and in rows, over as many events as bring every round of folding."""
    text = await delivered(db, 1)
    said = [
        replace(event, at=NOON + timedelta(seconds=number))
        for number, event in enumerate(said_by_somebody(random.Random(1), 2_400, text.id))
        if source in (event.source, "both")
    ]
    early, middle, last = said[200:400], said[400:-200], said[-200:]

    def measured(connection: sqlite3.Connection) -> tuple[int, int, int]:
        def record_all(events: Sequence[RatingEvent]) -> None:
            for event in events:
                record(connection, event)

        record_all(said[:200])
        first = steps(connection, lambda: record_all(early))
        record_all(middle)
        then = steps(connection, lambda: record_all(last))
        (rows,) = connection.execute("SELECT count(*) FROM rating_events").fetchone()
        return first, then, rows

    first, then, rows = await db.write(measured)
    assert then <= 1.5 * first, "an event after thousands costs what one after hundreds does"
    assert rows <= 2 * KEPT + 1


async def test_a_repeated_update_changes_nothing_whatever_was_folded(db: Database) -> None:
    text = await delivered(db, 1)
    said = said_by_somebody(random.Random(3), 401, text.id)

    def everything(connection: sqlite3.Connection) -> tuple[float | None, float | None]:
        for event in said:
            record(connection, event)
        before = stands(connection, text.id)
        for event in said:
            record(connection, replace(event, at=said[-1].at) if event.source == "button" else event)
        return before, stands(connection, text.id)

    before, after = await db.write(everything)
    assert before == after == last_state(said)


async def test_what_is_kept_can_be_read_withdrawn_and_erased(db: Database) -> None:
    text = await delivered(db, 1)
    said = said_by_somebody(random.Random(4), 400, text.id)
    presses = sum(event.source == "button" for event in said)
    await db.write(lambda c: [record(c, event) for event in said])
    shown = (await of_person(db, "bob")).rating_events
    buttons = [row for row in shown if row["source"] == "button"]
    assert len(buttons) + sum(int(row["folded"] or 0) for row in buttons) == presses, "it says how many it stands for"
    up, again = (replace(said[0], update_id=90_000 + n, source="button", at=NOON + timedelta(days=2)) for n in (1, 2))
    for press in (replace(up, value=1.0), replace(again, value=1.0)):
        recorded = await ratings.record_button(db, press)
    before = last_state([*said, replace(up, value=1.0)])
    assert (recorded.value is None) == (before == 1.0)
    await erasure.erase(db, "bob", before=NOON + timedelta(days=3))
    assert not await erasure.has_data(db, "bob")


async def test_reactions_that_are_early_are_bounded_and_the_last_counts(db: Database) -> None:
    accepted = await generations.accept(db, new_generation(1))
    assert accepted is not None
    numbers = itertools.count(1)

    def react(message_id: int, value: float | None) -> Reaction:
        number = next(numbers)
        return Reaction(
            update_id=number, chat_id=-100, message_id=message_id, rater="bob", value=value, emoji="x",
            at=NOON + timedelta(seconds=number),
        )  # fmt: skip

    for number in range(162):
        await ratings.record_reaction(db, react(7_000 + number % 140, 1.0))
        await ratings.record_reaction(db, react(5_000, (1.0, None, -1.0)[number % 3]))
    kept = await db.read(lambda c: c.execute("SELECT count(*) FROM early_reactions").fetchone()[0])
    assert kept <= 102
    assert await ratings.record_placeholder(db, accepted.id, message_id=5_000)
    assert await db.read(lambda c: stands(c, accepted.id)) == -1.0


async def test_changes_of_unnamed_senders_are_summed_up(db: Database) -> None:
    text = await delivered(db, 1)
    message = text.delivery.message_id
    assert message is not None
    total = 0
    for number in range(1, 100):
        change = 1 if number % 3 else -1
        total += change
        await ratings.record_anonymous_reaction(
            db, {"🔥": change}, chat_id=text.delivery.chat_id, message_id=message, update_id=number
        )
    rows = await db.read(lambda c: c.execute("SELECT change FROM anonymous_reactions").fetchall())
    assert len(rows) <= KEPT
    assert sum(json.loads(change).get("🔥", 0) for (change,) in rows) == total
