"""The doctor: looks at everything that the bot needs, beside a running bot or without one, and changes nothing.

Each check gives one finding; one that fails does not stop the others. Knows settings, files and the database's
condition. Knows no Telegram and asks no network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.common.errors import SettingsError, StartError
from bot.common.keys import load_key, open_keys
from bot.common.settings import DataSettings, data_settings, load_settings
from bot.operations import machine
from bot.operations.machine import Finding, failed, ok, warning
from engine.errors import ModelError
from engine.runs.versions import verify as verify_version
from storage.backup import backup, restore
from storage.backup.checkup import DatabaseReport, examine
from storage.db.errors import StorageError
from storage.db.records import Run, Version
from storage.privacy import tombstones

SETTINGS = "settings"

_OLD = timedelta(hours=50)
"""A nightly backup, and two hours for the change of the clocks."""

_LONG_LOG_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order of the checks."""

    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        """0 where nothing failed, 2 where the settings are wrong, 1 for everything else."""
        failures = [finding.check for finding in self.findings if finding.state == "failed"]
        if SETTINGS in failures:
            return 2
        return 1 if failures else 0


def diagnose(env_file: Path = Path(".env"), *, now: datetime | None = None) -> Diagnosis:
    """Look at everything."""
    findings = [_settings(env_file), machine.python(), machine.sqlite()]
    if env_file.exists():
        findings.append(machine.private(".env", env_file))
    try:
        data = data_settings(env_file)
    except SettingsError:
        return Diagnosis(tuple(findings))  # where the data is cannot be known
    findings += _data(data, now or datetime.now(UTC))
    return Diagnosis(tuple(findings))


def _settings(env_file: Path) -> Finding:
    try:
        load_settings(env_file)
    except SettingsError as error:
        return failed(SETTINGS, " ".join(error.problems))
    return ok(SETTINGS, "Every setting is well.")


def _data(settings: DataSettings, now: datetime) -> Iterator[Finding]:
    database = settings.database_path
    has_database = database.exists()
    yield machine.folder(settings.data_dir)
    yield machine.file_system(settings.data_dir)
    yield machine.room(settings.data_dir, database_bytes=database.stat().st_size if has_database else 0)
    yield _key(settings, has_database=has_database)
    if has_database:
        yield from _database(settings)
    else:
        yield ok("database", "There is none yet: `ovation run` makes it, `ovation restore` brings one back.")
    yield _backups(settings, now, is_needed=has_database)
    yield _forgotten(settings)
    yield from _left_overs(database)


def _key(settings: DataSettings, *, has_database: bool) -> Finding:
    file = settings.key_path
    if not file.exists() and not has_database:
        return ok("key", f"{file} is made at the first start.")
    try:
        if has_database:
            open_keys(settings)
        else:
            load_key(file, is_new_installation=False)
    except StartError as error:
        return failed("key", str(error))
    except OSError as error:
        return failed("key", f"{file} cannot be read ({error.strerror}): give it to the user that runs the bot.")
    return ok("key", f"{file} is there, and only you can read it: keep a copy of it apart from the backups.")


def _database(settings: DataSettings) -> Iterator[Finding]:
    try:
        condition = examine(settings.database_path)
    except StorageError as error:
        yield failed("database", str(error))
        return
    if condition.fault is not None:
        yield failed("database", f"It is damaged ({condition.fault}): stop the bot and run ovation restore.")
        return
    yield ok("database", "Whole, and every reference leads somewhere.")
    yield _schema(condition)
    yield _log(condition)
    yield _versions(settings.data_dir / "versions", condition.serving)
    yield _inbox(condition)
    yield _last_run(condition.last_run)


def _schema(condition: DatabaseReport) -> Finding:
    if condition.is_newer:
        return failed("schema", "A newer Ovation made it: upgrade, or restore an older backup.")
    if condition.pending:
        return warning("schema", f"The next start adds {', '.join(condition.pending)}: run ovation backup before it.")
    return ok("schema", "Up to date.")


def _log(condition: DatabaseReport) -> Finding:
    says = f"{condition.log_bytes // 2**20} MiB"
    if condition.log_bytes > _LONG_LOG_BYTES:
        return warning("log", f"{says}: a program reads the database for very long; end it.")
    return ok("log", f"{says}.")


def _versions(folder: Path, serving: tuple[Version, ...]) -> Finding:
    adapters = [version for version in serving if version.run is not None]
    bad = [version for version in adapters if not _is_whole(folder / version.name)]
    if not bad:
        return ok("versions", f"{len(adapters)} with an adapter, all as published.")
    names = ", ".join(version.name for version in bad)
    says = f"Missing or altered: {names}; copy them back into {folder}, or use /rollback or /retrain."
    is_serving = any(version.state in ("champion", "canary") for version in bad)
    return failed("versions", says) if is_serving else warning("versions", says)


def _is_whole(folder: Path) -> bool:
    try:
        verify_version(folder)
    except ModelError:
        return False
    return True


def _inbox(condition: DatabaseReport) -> Finding:
    if condition.dead_letters:
        return warning(
            "inbox", f"{condition.dead_letters} updates could not be handled: look for their numbers in the bot's log."
        )
    return ok("inbox", f"{condition.waiting} updates wait, none had to be given up.")


def _last_run(run: Run | None) -> Finding:
    if run is None:
        return ok("last run", "None yet.")
    if run.verdict is None:
        return ok("last run", f"Run {run.id} is under way since {run.started_at:%Y-%m-%d %H:%M} UTC.")
    says = f"Run {run.id} of {run.started_at:%Y-%m-%d %H:%M} UTC: {run.verdict} ({run.reason})"
    if run.verdict == "failed":
        return warning("last run", f"{says}: look at the bot's log, then /retrain.")
    return ok("last run", f"{says}.")


def _backups(settings: DataSettings, now: datetime, *, is_needed: bool) -> Finding:
    kept = backup.kept(settings.backups_path)
    if not kept:
        says = "There is none: run ovation backup."
        return warning("backups", says) if is_needed else ok("backups", "Nothing to back up yet.")
    newest, made_at = kept[-1], backup.made_at(kept[-1])
    try:
        backup.verify(newest)
    except StorageError as error:
        return failed("backups", f"{error} Then run ovation backup.")
    says = f"{newest} is whole, of {made_at:%Y-%m-%d %H:%M} UTC"
    if now - made_at > _OLD:
        why = "" if settings.backups_keep else " (BACKUPS_KEEP is 0)"
        return warning("backups", f"{says}, which is long ago{why}: run ovation backup.")
    return ok("backups", f"{says}; {len(kept)} are kept.")


def _forgotten(settings: DataSettings) -> Finding:
    try:
        count = len(tombstones.read(settings.tombstones_path))
    except StorageError as error:
        return failed("forgotten", str(error))
    return ok("forgotten", f"{count} wishes to be forgotten, which a restore repeats.")


def _left_overs(database: Path) -> Iterator[Finding]:
    aside = restore.put_aside(database)
    if aside:
        names = ", ".join(str(path) for path in aside)
        yield warning("left over", f"Put aside by a restore: {names}; delete it once nothing is missing.")
