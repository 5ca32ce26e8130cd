"""Of a person who is forgotten nothing stays: no row, no quotation, no byte; and nothing of anybody else goes."""

import json
import sqlite3
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from storage.db.database import Database
from storage.db.records import AuditEntry, Generation, RatingEvent, Reaction
from storage.privacy import erasure
from storage.privacy.erasure import Erased
from storage.privacy.tombstones import Tombstone
from storage.tables import generations, inbox, moderation, people, ratings, runs
from tests.storage.conftest import NOON, delivered, new_generation
from tests.support.stored.histories import PEOPLE, files_with, opened, rows_of, words_of, write_history
from tests.support.stored.keys import keyring_in

LATER = NOON + timedelta(hours=1)


def named_in(body: str) -> Collection[str]:
    names: list[str] = json.loads(body)
    return names


async def forget(db: Database, person: str = "ada") -> Erased:
    return await erasure.forget(db, person, LATER, named_in=named_in)


async def rate(db: Database, generation: Generation, rater: str, *, update_id: int, seconds: int = 0) -> None:
    await ratings.record(
        db,
        RatingEvent(
            update_id=update_id, generation=generation.id, rater=rater, source="reaction", value=1.0, emoji="❤",
            at=NOON + timedelta(seconds=seconds),
        ),
    )  # fmt: skip


async def child_of(db: Database, parent: Generation, update_id: int, *, author: str) -> Generation:
    new = replace(new_generation(update_id, author=author), parent=parent.id, messages=parent.messages)
    accepted = await generations.accept(db, new)
    assert accepted is not None
    return accepted


async def left(db: Database, tmp_path: Path, person: str = "ada") -> int:
    await db.close()
    return rows_of(tmp_path / "ovation.db", person)


async def test_everything_of_a_person_goes_and_everything_of_others_stays(db: Database, tmp_path: Path) -> None:
    hers, his = await delivered(db, 1, author="ada"), await delivered(db, 2, author="bob")
    for update_id, (text, rater) in enumerate([(hers, "ada"), (hers, "bob"), (his, "ada"), (his, "bob")], start=10):
        await rate(db, text, rater, update_id=update_id)
        await people.grant(db, rater, "tea", text_version=1, at=NOON)
    run = await runs.start(db, slot=None, at=NOON)
    assert run is not None
    await runs.take_training_data(db, run.id, fewest=1)
    await moderation.ban(db, "ada", at=NOON)
    await moderation.append_audit(db, AuditEntry(NOON, "ada", "forget"))
    erased = await forget(db)
    assert erased == Erased(generations=(hers.id,), ratings=3, consents=1, runs=(run.id,))
    assert [rating.rater for rating in await db.read(ratings.current)] == ["bob"]
    assert await generations.by_id(db, hers.id) is None and await generations.by_id(db, his.id) == his
    assert await moderation.banned(db) == {"ada"} and len(await moderation.latest_audit_entries(db, limit=9)) == 1
    assert await db.read(lambda c: c.execute("PRAGMA foreign_key_check").fetchall()) == []
    assert await left(db, tmp_path) == 0 and rows_of(tmp_path / "ovation.db", "bob") == 6


async def test_what_descends_from_an_erased_text_goes_whoever_asked(db: Database) -> None:
    hers, his = await delivered(db, 1, author="ada"), await delivered(db, 2, author="bob")
    child = await child_of(db, hers, 3, author="bob")
    grandchild = await child_of(db, child, 4, author="cyd")
    other = await child_of(db, his, 5, author="bob")
    late = await child_of(db, hers, 4000, author="dee")  # after the moment, and it quotes her all the same
    assert (await forget(db)).generations == (late.id, grandchild.id, child.id, hers.id)
    assert await generations.unfinished(db) == [other]


async def test_her_child_of_somebody_elses_text_goes_and_that_text_stays(db: Database) -> None:
    his = await delivered(db, 1, author="bob")
    hers = await child_of(db, his, 2, author="ada")
    assert (await forget(db)).generations == (hers.id,)
    assert await generations.by_id(db, his.id) == his


async def test_placeholders_of_unfinished_texts_are_told(db: Database) -> None:
    await delivered(db, 1)
    accepted = await generations.accept(db, new_generation(2))
    placed = await generations.accept(db, new_generation(3))
    assert accepted is not None and placed is not None
    await ratings.record_placeholder(db, placed.id, message_id=77)
    assert (await forget(db)).placeholders == ((-100, 77),)


async def test_who_comes_back_is_new_and_keeps_what_came_after(db: Database, tmp_path: Path) -> None:
    before, after = await delivered(db, 1, author="ada"), await delivered(db, 7200, author="ada")
    await rate(db, before, "ada", update_id=10)
    await rate(db, after, "ada", update_id=11, seconds=7201)
    assert await forget(db) == Erased(generations=(before.id,), ratings=1)
    (rating,) = await db.read(ratings.current)
    assert rating.generation == after.id and rating.rater_first_seen_at == after.created_at


async def test_a_second_time_finds_nothing(db: Database) -> None:
    await delivered(db, 1)
    await forget(db)
    assert await forget(db) == Erased()
    assert await forget(db, "nobody") == Erased()


async def test_the_number_of_an_erased_text_is_never_given_to_another(db: Database) -> None:
    numbers = []
    for update_id in range(1, 6):
        numbers.append((await delivered(db, update_id)).id)
        await forget(db)
    assert len(set(numbers)) == 5
    rows = await db.read(lambda c: [tuple(row) for row in c.execute("SELECT author, messages, text FROM generations")])
    assert rows == [("", "[]", None)], "one empty row keeps the highest number taken"


async def test_reactions_that_are_dated_ahead_of_our_clock_go_too(db: Database, tmp_path: Path) -> None:
    his = await delivered(db, 1, author="bob")
    await rate(db, his, "ada", update_id=10, seconds=7200)
    at = await erasure.cutoff(db, "ada", LATER)
    assert at == NOON + timedelta(seconds=7200) and await erasure.cutoff(db, "bob", LATER) == LATER
    await erasure.forget(db, "ada", at, named_in=named_in)
    assert await left(db, tmp_path) == 0


async def test_early_reactions_go_too(db: Database, tmp_path: Path) -> None:
    await generations.accept(db, new_generation(1, author="bob"))
    await ratings.record_reaction(
        db, Reaction(update_id=9, chat_id=-100, message_id=5, rater="ada", value=1.0, emoji="❤", at=NOON)
    )
    await forget(db)
    assert await left(db, tmp_path) == 0


async def test_updates_that_wait_and_name_the_person_are_dropped(db: Database) -> None:
    keyring = db.keyring
    assert keyring is not None
    bodies = [(1, '["ada"]'), (2, '["bob"]'), (3, '["bob", "ada"]')]
    await inbox.accept(db, bodies, at=NOON)
    await inbox.accept(db, [(5, '["ada"]')], at=LATER + timedelta(seconds=1))
    erased = await erasure.forget(db, "ada", LATER, named_in=lambda body: named_in(str(keyring.decrypt(body))))
    assert erased.updates == 2
    assert [update_id for update_id, _, _ in await inbox.unfinished(db)] == [2, 5]


async def test_where_nobody_can_tell_whom_an_update_names_all_that_are_old_enough_go(db: Database) -> None:
    await inbox.accept(db, [(1, "unreadable")], at=NOON)
    await inbox.accept(db, [(2, "unreadable")], at=LATER + timedelta(seconds=1))
    stones = [Tombstone("ada", LATER)]
    assert await db.read(lambda c: erasure.would_erase(c, stones, None))
    assert await db.write(lambda c: erasure.replay(c, stones, None)) == Erased(updates=1)
    assert not await db.read(lambda c: erasure.would_erase(c, stones, None))


async def test_replaying_takes_each_persons_latest_wish(db: Database, tmp_path: Path) -> None:
    for update_id, author in enumerate(("ada", "bob", "ada", "cyd"), start=1):
        await delivered(db, update_id, author=author)
    stones = [Tombstone("ada", LATER), Tombstone("ada", NOON), Tombstone("cyd", NOON)]
    assert await db.read(lambda c: erasure.would_erase(c, stones, named_in))
    assert len((await db.write(lambda c: erasure.replay(c, stones, named_in))).generations) == 2
    assert not await db.read(lambda c: erasure.would_erase(c, stones, named_in))
    assert await left(db, tmp_path, "cyd") == 2, "what came after the wish stays"


async def test_no_table_that_names_a_person_is_left_out(db: Database) -> None:
    columns = """SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
        WHERE t.type = 'table' AND c.name IN ('person', 'rater', 'reporter', 'author')"""
    found = await db.read(lambda c: [tuple(row) for row in c.execute(columns)])
    aside = {("generations", "author"), ("lineage", "rater"), ("bans", "person")}
    assert set(found) == {(table, who) for table, (who, _) in erasure.PERSONAL.items()} | aside


async def test_a_failing_erasure_erases_nothing(db: Database, tmp_path: Path) -> None:
    await delivered(db, 1)
    await db.write(
        lambda c: c.execute(
            "CREATE TRIGGER stop BEFORE DELETE ON people BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
        )
    )
    with pytest.raises(sqlite3.IntegrityError):
        await forget(db)
    assert len(await db.read(generations.delivered)) == 1


@pytest.mark.parametrize("seed", [1, 5])  # with 5, deleting alone leaves 20 copies in SQLite 3.40
async def test_no_byte_of_an_erased_person_is_left_in_any_file(tmp_path: Path, seed: int) -> None:
    write_history(tmp_path / "ovation.db", texts=400, seed=seed)
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    await erasure.forget(db, "ada", LATER, named_in=named_in)
    assert await erasure.vacuum(db)
    await db.close()
    assert files_with(tmp_path, words_of("ada")) == [] and files_with(tmp_path, b"ada") == []
    for person in PEOPLE[1:]:
        assert files_with(tmp_path, words_of(person)) == ["ovation.db"]


async def test_purging_waits_for_nobody_who_reads(db: Database, tmp_path: Path) -> None:
    await delivered(db, 1)
    await db.read(lambda c: c.execute("PRAGMA busy_timeout = 0").fetchall())
    with opened(tmp_path / "ovation.db") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        assert not await erasure.vacuum(db)
        reader.execute("COMMIT")
        assert await erasure.vacuum(db)
