"""What a shell may complete, from the settings and the database; nothing is offered or said where they cannot be had.

Typer leaves out what does not begin as typed.
"""

from contextlib import closing

from bot.common.errors import OvationError
from bot.common.settings import DataSettings, OfflineSettings
from storage.db.database import open_for_reading
from storage.db.errors import StorageError
from storage.tables import versions


def kind_names() -> list[tuple[str, str]]:
    """The kinds, each with its description."""
    try:
        return [(kind.name, kind.description["en"]) for kind in OfflineSettings.load().kinds.by_name.values()]
    except OvationError:
        return []


def version_names() -> list[tuple[str, str]]:
    """The versions that can write, each with its state."""
    try:
        with closing(open_for_reading(DataSettings.load().database_path)) as connection:
            known = versions.of_base(connection, None)
    except (OvationError, StorageError):
        return []
    return [(each.name, each.state) for each in known if each.tainted_at is None and each.destroyed_at is None]
