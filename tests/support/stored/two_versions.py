"""Data with two published versions, as the tests of versions and of the router need it."""

from datetime import datetime, timedelta
from pathlib import Path

from engine.runs.versions import publish
from storage.db.database import Database
from storage.db.records import Version
from storage.tables import versions
from tests.support.stored.keys import keyring_in


async def open_with_two_versions(folder: Path, adapter: Path, *, base: str, at: datetime) -> Database:
    """A new database in `folder`, in which v1 is the champion since the day after `at` and v2 waits."""
    database = await Database.open(folder / "ovation.db", keyring_in(folder))
    await versions.register_base(database, base, at=at)
    for name in ("v1", "v2"):
        publish(adapter, folder / "versions", name)
        await versions.add(database, Version(name=name, base=base, run=None, state="candidate", created_at=at))
    await versions.promote(database, "v1", at=at + timedelta(days=1))
    return database
