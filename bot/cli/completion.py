"""What a shell may complete: the names of kinds, versions, models and tastes. Silent where they cannot be had."""

from contextlib import closing

from bot.common.errors import OvationError
from bot.common.settings import DataSettings, OfflineSettings
from bot.sandbox.people.tastes import TASTES
from engine.api.models import SHIPPED
from recipes.grammar import TOPIC_KINDS
from storage.db.database import open_for_reading
from storage.db.errors import StorageError
from storage.tables import versions


def kind_names(incomplete: str) -> list[tuple[str, str]]:
    """The kinds whose names begin so, each with its description."""
    try:
        kinds = OfflineSettings.load().kinds
    except OvationError:
        return []
    return [(kind.name, kind.description["en"]) for kind in kinds.by_name.values() if kind.name.startswith(incomplete)]


def model_names(incomplete: str) -> list[str]:
    """The models that have a name and begin so; folders and hub ids are typed by hand."""
    return [model for model in SHIPPED if model.startswith(incomplete)]


def version_names(incomplete: str) -> list[tuple[str, str]]:
    """The versions that can write and whose names begin so, each with its state."""
    try:
        with closing(open_for_reading(DataSettings.load().database_path)) as connection:
            known = versions.all_of(connection, None)
    except (OvationError, StorageError):
        return []
    return [
        (version.name, version.state)
        for version in known
        if version.name.startswith(incomplete) and version.tainted_at is None and version.destroyed_at is None
    ]


def compared_kinds(incomplete: str) -> list[str]:
    """The kinds that can be compared and begin so."""
    return [kind for kind in TOPIC_KINDS if kind.startswith(incomplete)]


def taste_names(incomplete: str) -> list[str]:
    """The tastes of simulated people whose names begin so."""
    return [taste for taste in TASTES if taste.startswith(incomplete)]
