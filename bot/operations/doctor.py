"""`ovation doctor`: looks at everything that the bot needs, beside a running bot or without one, and changes nothing.

Each check gives one finding; one that fails does not stop the others.
"""

import asyncio
import os
import platform
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from bot.common.cron import CronTrigger
from bot.common.errors import SettingsError, StartError
from bot.common.keys import open_keys, read_master_key
from bot.common.settings import DataSettings, Settings, hub_url, proxies
from bot.learning import forecast
from bot.operations import machine
from bot.operations.machine import Finding, State
from bot.serving.base_model import chosen, examined
from bot.serving.engine_process import engine_http
from engine.api.client import EngineClient
from engine.errors import EngineError, ModelError
from engine.foreign_json import read_json
from engine.process import free_memory, processors
from engine.runs.versions import verify as verify_version
from storage.backup import backup, restore
from storage.backup.integrity import DatabaseReport, examine
from storage.db.errors import StorageError
from storage.db.files import exposed, others_can_read
from storage.db.records import Run, Version
from storage.privacy import tombstones

_OLD = timedelta(hours=50)
"""Two nightly backups, and two hours for the change of the clocks."""
_TELEGRAM_SECONDS = 5.0
_LONG_LOG_BYTES = 256 * 2**20

Found = tuple[State, str]
"""What a check has found, and the sentence that says what to do."""


def diagnose(env_file: Path = Path(".env"), *, now: datetime | None = None) -> list[Finding]:
    """Look at everything; the findings are in the order of the checks."""
    python = Finding("Python", "ok", f"{platform.python_version()} on {platform.system()}.")
    room = Finding("memory", "ok", f"{free_memory() >> 20} MiB and {processors()} cores can be had from where you are.")
    findings = [Finding("settings", *_settings(env_file)), python, machine.sqlite(), room]
    if env_file.is_file():
        findings.append(Finding(".env", *_private(env_file)))
    try:
        data = DataSettings.load(env_file)
    except SettingsError:
        return findings  # where the data is cannot be known
    findings.append(Finding("proxies", *_proxies(data, env_file)))
    with suppress(SettingsError):
        findings.append(Finding("Telegram", *asyncio.run(_telegram(Settings.load(env_file)))))
    now = now or datetime.now(UTC)
    schedule = _schedule_of(env_file)
    findings += _data(data, schedule, now)
    if schedule is not None:
        due = schedule.get_next_fire_time(None, now)
        findings.append(Finding("schedule", "ok", f"The next run is due at {due:%A, %Y-%m-%d %H:%M} ({due.tzinfo})."))
    return [*findings, Finding("night", *_night(env_file))]


def exit_status(findings: Sequence[Finding]) -> int:
    """0 where nothing failed, 2 where the settings are wrong, 1 for everything else."""
    failures = [finding.check for finding in findings if finding.state == "failed"]
    return 2 if "settings" in failures else 1 if failures else 0


def _settings(env_file: Path) -> Found:
    try:
        Settings.load(env_file)
    except SettingsError as error:
        return "failed", " ".join(error.problems)
    return "ok", "Every setting is well."


def _schedule_of(env_file: Path) -> CronTrigger | None:
    """When runs are due; None where the settings are wrong, which is told by itself."""
    try:
        return Settings.load(env_file).schedule
    except SettingsError:
        return None


def _private(env_file: Path) -> Found:
    if others_can_read(env_file):
        return "failed", f"{env_file} can be read by other users of this machine: run chmod 600 {env_file}."
    if env_file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "warning", f"The file system of {env_file} keeps no modes: whoever uses this machine may read it."
    return "ok", f"Only you can read {env_file}."


def _proxies(data: DataSettings, env_file: Path) -> Found:
    """Which proxy is used for what."""
    found = proxies()
    try:
        found.environment()
        found.transport(hub_url())
    except SettingsError as error:
        return "failed", " ".join(error.problems)
    try:
        telegram = str(Settings.load(env_file).telegram_api_url)
    except SettingsError:
        telegram = str(Settings.model_fields["telegram_api_url"].default)
    engine = "http://localhost" if data.engine_url is None else str(data.engine_url)
    ways: dict[str, list[str]] = {}
    for what, url in (("Telegram", telegram), ("the engine", engine), ("the model hub", hub_url())):
        proxy = found.proxy_for(url)
        ways.setdefault("directly" if proxy is None else f"through {proxy}", []).append(what)
    says = "; ".join(f"{_listed(whats)} {way}" for way, whats in ways.items())
    return "ok", f"{says[0].upper()}{says[1:]}; what stays on this machine uses none."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


async def _telegram(settings: Settings) -> Found:
    """Whether Telegram answers, by the way that the bot takes."""
    root = str(settings.telegram_api_url).rstrip("/")
    token = settings.telegram_bot_token.get_secret_value()
    async with httpx.AsyncClient(transport=proxies().transport(root), timeout=_TELEGRAM_SECONDS) as http:
        try:
            response = await http.get(f"{root}/bot{token}/getMe")
        except httpx.ProxyError as error:
            return "warning", f"It cannot be reached: {error}"
        except httpx.HTTPError:
            return "warning", f"{root} cannot be reached: look at the network, a firewall, or a proxy that is needed."
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND):
        return "failed", "It does not know TELEGRAM_BOT_TOKEN: copy it again from @BotFather."
    if not response.is_success:
        return "warning", f"It answers with status {response.status_code}: try again later."
    try:
        answer: Any = read_json(response.content)
        name = answer["result"]["username"]
    except (ValueError, LookupError, TypeError):
        return "warning", f"What answers at {root} is not Telegram: look at TELEGRAM_API_URL and the proxy."
    return "ok", f"It answers, and knows this bot as @{name}."


def _data(settings: DataSettings, schedule: CronTrigger | None, now: datetime) -> Iterator[Finding]:
    database = settings.database_path
    has_database = database.exists()
    yield machine.folder(settings.data_dir)
    yield Finding("private", *_shut(settings.data_dir))
    yield machine.file_system(settings.data_dir)
    yield machine.room(settings.data_dir, database_bytes=database.stat().st_size if has_database else 0)
    yield Finding("key", *_key(settings, has_database=has_database))
    if has_database:
        yield from _database(settings)
    else:
        yield Finding("database", "ok", "There is none yet: `ovation run` makes it, `ovation restore` brings one back.")
    yield Finding("model", *_model(settings))
    if settings.engine_url is not None:
        yield Finding("engine", *asyncio.run(_engine(settings, str(settings.engine_url))))
    yield Finding("backups", *_backups(settings, schedule, now, is_needed=has_database))
    yield Finding("forgotten", *_forgotten(settings))
    if aside := restore.put_aside(database):
        names = ", ".join(str(path) for path in aside)
        yield Finding("left over", "warning", f"Put aside by a restore: {names}; delete it once nothing is missing.")


def _shut(folder: Path) -> Found:
    """Whether other users of this machine can read what lies in the data folder."""
    if not (open_to_others := exposed(folder.resolve())):
        return "ok", f"Nobody but you can read what is in {folder}."
    says = f"Other users of this machine can read {open_to_others[0]}"
    if len(open_to_others) > 1:
        says += f" and {len(open_to_others) - 1} more files and folders"
    if os.geteuid() == 0 or all(path.lstat().st_uid == os.geteuid() for path in open_to_others):
        return "warning", f"{says}: the next start of the bot mends it, and so does chmod -R go-rwx {folder}."
    return "failed", f"{says}, and not all are yours: run chmod -R go-rwx {folder} as their owner."


def _key(settings: DataSettings, *, has_database: bool) -> Found:
    file = settings.key_path
    if not file.exists() and not has_database:
        return "ok", f"{file} is made at the first start."
    try:
        if has_database:
            open_keys(settings)
        else:
            read_master_key(file)
    except StartError as error:
        return "failed", str(error)
    except OSError as error:
        return "failed", f"{file} cannot be read ({error.strerror}): give it to the user that runs the bot."
    return "ok", f"{file} is there, and only you can read it: keep a copy of it apart from the backups."


def _database(settings: DataSettings) -> Iterator[Finding]:
    try:
        report = examine(settings.database_path)
    except StorageError as error:
        yield Finding("database", "failed", str(error))
        return
    if report.damage is not None:
        yield Finding("database", "failed", f"It is damaged ({report.damage}): stop the bot and run ovation restore.")
        return
    yield Finding("database", "ok", "Whole, and every reference leads somewhere.")
    yield Finding("schema", *_schema(report))
    yield Finding("log", *_log(report))
    yield Finding("versions", *_versions(settings.versions_path, report.serving))
    yield Finding("inbox", *_inbox(report))
    yield Finding("last run", *_last_run(report.last_run))


def _model(settings: DataSettings) -> Found:
    try:
        return "ok", examined(settings)
    except StartError as error:
        return "failed", str(error)
    except StorageError:  # which is told by itself
        return "warning", "Which one is the default shows once the database can be read."


async def _engine(settings: DataSettings, url: str) -> Found:
    try:
        async with engine_http(settings) as http:
            takes_adapters = await EngineClient(url, http=http).takes_adapters()
    except (EngineError, SettingsError) as error:
        return "warning", f"ENGINE_URL={url}: {error}"
    if not takes_adapters:
        return "warning", (
            f"The server at {url} loads no adapters, so that no night can bring a version to it; the choice among"
            " several texts learns all the same. Start vLLM as docs/scale-out.md says, or leave ENGINE_URL out."
        )
    return "ok", f"The server at {url} answers, and loads versions while it runs."


def _night(env_file: Path) -> Found:
    try:
        settings = Settings.load(env_file)
        settings = chosen(settings, lambda _: None)
    except (SettingsError, StartError, StorageError):  # which are told by themselves
        return "warning", "What a night takes shows once the settings and the database can be read."
    speeds = forecast.measured(settings)
    if speeds is None:
        return "ok", "How long a night takes here is not measured yet: `ovation models list --measure` does."
    plan = forecast.forecast(settings, speeds)
    return "ok", forecast.in_words(plan, speeds, max(forecast.RATINGS, settings.min_ratings))


def _schema(report: DatabaseReport) -> Found:
    if report.is_newer:
        return "failed", "A newer Ovation made it: upgrade, or restore an older backup."
    if report.pending:
        return "warning", f"The next start adds {', '.join(report.pending)}: run ovation backup before it."
    return "ok", "Up to date."


def _log(report: DatabaseReport) -> Found:
    says = f"{report.log_bytes // 2**20} MiB"
    if report.log_bytes > _LONG_LOG_BYTES:
        return "warning", f"{says}: a program reads the database for very long; end it."
    return "ok", f"{says}."


def _versions(folder: Path, serving: tuple[Version, ...]) -> Found:
    adapters = [version for version in serving if version.run is not None]
    bad = [version for version in adapters if not _is_whole(folder / version.name)]
    if not bad:
        return "ok", f"{len(adapters)} with an adapter, all as published."
    names = ", ".join(version.name for version in bad)
    is_serving = any(version.state in ("champion", "canary") for version in bad)
    says = f"Missing or altered: {names}; copy them back into {folder}, or use /rollback or /retrain."
    return "failed" if is_serving else "warning", says


def _is_whole(folder: Path) -> bool:
    try:
        verify_version(folder)
    except ModelError:
        return False
    return True


def _inbox(report: DatabaseReport) -> Found:
    if report.dead_letters:
        says = f"{report.dead_letters} updates could not be handled: look for their numbers in the bot's log."
        return "warning", says
    return "ok", f"{report.waiting} updates wait, none had to be given up."


def _last_run(run: Run | None) -> Found:
    if run is None:
        return "ok", "None yet."
    if run.verdict is None:
        return "ok", f"Run {run.id} is under way since {run.started_at:%Y-%m-%d %H:%M} UTC."
    says = f"Run {run.id} of {run.started_at:%Y-%m-%d %H:%M} UTC: {run.verdict} ({run.reason})"
    if run.verdict == "failed":
        return "warning", f"{says}: look at the bot's log, then /retrain."
    return "ok", f"{says}."


def _backups(settings: DataSettings, schedule: CronTrigger | None, now: datetime, *, is_needed: bool) -> Found:
    kept = backup.kept(settings.backups_path)
    if not kept:
        return ("warning", "There is none: run ovation backup.") if is_needed else ("ok", "Nothing to back up yet.")
    newest, made_at = kept[-1], backup.made_at(kept[-1])
    try:
        backup.verify(newest)
    except StorageError as error:
        return "failed", f"{error} Then run ovation backup."
    says = f"{newest} is whole, of {made_at:%Y-%m-%d %H:%M} UTC"
    if now - made_at > _OLD and (schedule is None or _has_missed_two(schedule, made_at, now)):
        why = "" if settings.backups_keep else " (BACKUPS_KEEP is 0)"
        return "warning", f"{says}, which is long ago{why}: run ovation backup."
    return "ok", f"{says}; {len(kept)} are kept."


def _has_missed_two(schedule: CronTrigger, made_at: datetime, now: datetime) -> bool:
    """Whether two slots have passed since a backup was made, which should each have made one."""
    return schedule.get_next_fire_time(schedule.get_next_fire_time(None, made_at), now) < now


def _forgotten(settings: DataSettings) -> Found:
    try:
        count = len(tombstones.read(settings.tombstones_path))
    except StorageError as error:
        return "failed", str(error)
    return "ok", f"{count} wishes to be forgotten, which a restore repeats."
