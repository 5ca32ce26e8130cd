"""A version that has learned from somebody who is forgotten, or shut out, leaves service and is never gone back to."""

from datetime import timedelta

import pytest

from storage.db.database import Database
from storage.db.records import Version
from storage.privacy import erasure
from storage.tables import moderation, runs, versions
from tests.storage.conftest import NOON, delivered
from tests.storage.privacy.test_retention import agree, rate, trained_on

LATER = NOON + timedelta(hours=1)


@pytest.fixture
async def two_versions(db: Database) -> Database:
    """v1 has learned from Bob alone, v2 from Ada too; v2 is champion after v1."""
    await versions.register_base(db, "starter", at=NOON - timedelta(days=1))
    await agree(db, "ada", "bob")
    await rate(db, await delivered(db, 1, author="bob"), "bob", 10)
    await trained_on(db, "v1")
    await rate(db, await delivered(db, 2, author="bob"), "ada", 11)
    await trained_on(db, "v2")
    await versions.promote(db, "v1", at=NOON)
    await versions.promote(db, "v2", at=NOON + timedelta(minutes=1))
    return db


async def test_forgetting_taints_what_has_learned_from_the_person_and_nothing_else(two_versions: Database) -> None:
    await erasure.forget(two_versions, "ada", LATER, named_in=lambda _: ())
    assert [version.name for version in await versions.of_base(two_versions, "starter") if version.tainted_at] == ["v2"]
    assert [version.name for version in await versions.tainted_serving(two_versions, "starter")] == ["v2"]
    previous = await versions.previous_champion(two_versions, "starter")
    assert previous is not None and previous.name == "v1"
    await versions.retire_tainted(two_versions, "starter", successor="v1", at=LATER)
    champion = await versions.in_state(two_versions, "starter", "champion")
    assert champion is not None and champion.name == "v1"
    assert await versions.tainted_serving(two_versions, "starter") == []
    (due,) = await versions.to_destroy(two_versions, old_before=NOON - timedelta(days=180))
    assert due.name == "v2"
    await versions.mark_destroyed(two_versions, "v2", at=LATER)
    assert await versions.to_destroy(two_versions, old_before=NOON - timedelta(days=180)) == []
    assert {entry.action for entry in await moderation.latest_audit_entries(two_versions, limit=9)} == {
        "took out of service",
        "destroyed",
    }


async def test_who_is_shut_out_taints_what_has_learned_from_their_texts_too(two_versions: Database) -> None:
    await moderation.ban(two_versions, "bob", at=LATER)
    tainted = {version.name for version in await versions.of_base(two_versions, "starter") if version.tainted_at}
    assert tainted == {"v1", "v2"}
    assert await versions.previous_champion(two_versions, "starter") is not None, "the base is left to go back to"


async def test_a_run_in_flight_publishes_nothing_that_a_forget_has_tainted_and_a_new_attempt_is_clean(
    two_versions: Database,
) -> None:
    run = await runs.start(two_versions, slot=None, at=NOON)
    assert run is not None
    await runs.take_training_data(two_versions, run.id, fewest=1)
    await erasure.forget(two_versions, "ada", LATER, named_in=lambda _: ())
    version = Version(name="v3", base="starter", run=run.id, state="candidate", created_at=LATER)
    assert not await versions.add(two_versions, version) and await versions.by_name(two_versions, "v3") is None
    learned = await runs.take_training_data(two_versions, run.id, fewest=1)
    assert {rating.rater for text in learned for rating in text.ratings} == {"bob"}
    assert await versions.add(two_versions, version)


async def test_old_versions_out_of_service_are_destroyed_and_the_base_never_is(two_versions: Database) -> None:
    due = await versions.to_destroy(two_versions, old_before=LATER)
    assert [version.name for version in due] == ["v1"]
