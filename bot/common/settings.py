"""Settings: the one place that reads the environment and `.env`.

All faults are collected and reported together, by the variable's name, without the value of a secret. Each check says
in its ValueError what to write instead.
"""

import difflib
import logging
import os
import re
import stat
from collections.abc import Callable, Mapping
from functools import cached_property
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo

from dotenv.parser import parse_stream
from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.common.cron import CronTrigger
from bot.common.errors import SettingsError
from bot.common.kinds import Kinds, load_kinds
from engine.api.models import Quantize, context_of, names_of
from engine.api.types import MAX_TEXTS
from engine.data.rewards import REACTION_VALUES, read_reaction_values
from engine.errors import RunError
from engine.safety.filter import load_filter
from engine.safety.near_copy import read_protected

AUTO: Final = "auto"
"""What MODEL is by default: a model that `bot.serving.base_model` chooses."""
DEFAULT_LABEL = "AI-generated / AI 生成"


def _secret(pattern: str, otherwise: str) -> AfterValidator:
    """Checks a secret's form; `otherwise` says what is wrong without quoting it."""

    def check(value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(pattern, value.get_secret_value()):
            raise ValueError(otherwise)
        return value

    return AfterValidator(check)


def _readable(read: Callable[[Path | None], object]) -> AfterValidator:
    """Checks a file or folder by reading it once."""

    def check(value: Path | None) -> Path | None:
        try:
            read(value)
        except RunError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(check)


def _reaction_values(file: Path | None) -> Mapping[str, float | None]:
    """What reactions are worth, by the operator's file if there is one."""
    if file is None:
        return REACTION_VALUES
    try:
        return read_reaction_values(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read as UTF-8 text; write one emoji a line there") from error
    except RunError as error:
        raise ValueError(f"{file}, {error}") from error


def _parsed(parse: Callable[[str], object], otherwise: str) -> AfterValidator:
    """Checks a value by parsing it; `otherwise` says what is wrong, after the value."""

    def check(value: str) -> str:
        try:
            parse(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} {otherwise}") from error
        return value

    return AfterValidator(check)


def _host_of(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(address)
    return host.strip("[]")


def _loopback_of(address: str) -> str:
    host = _host_of(address)
    if not ip_address(host).is_loopback:
        raise ValueError(address)
    return host


_ADDRESS = _parsed(_host_of, "is not an address like 127.0.0.1:8443")
_LOOPBACK = _parsed(_loopback_of, "is not on this machine; write one like 127.0.0.1:8081, and put a proxy before it")
_ZONE = _parsed(ZoneInfo, "is not a time zone; write one like Europe/Berlin or Asia/Shanghai")


def _cron(line: str) -> str:
    CronTrigger(line, "UTC")
    return line


def _ids(value: object) -> object:
    """Telegram ids with commas between them, as numbers."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError("must be numeric Telegram ids with commas between them, like 123456789,987654321")
    return tuple(int(part) for part in parts)


class DataSettings(BaseSettings):
    """The settings that commands beside the bot need: where the data is, and whose ratings count how much."""

    model_config = SettingsConfigDict(env_file_encoding="utf-8", extra="ignore", frozen=True, env_ignore_empty=True)

    data_dir: Path = Path("data")
    key_file: Path | None = None
    backups_keep: int = Field(7, ge=0)
    tenure_days: float = Field(7.0, ge=0)
    content_producer: str = Field("Ovation", min_length=1, max_length=100)
    model: str = Field(AUTO, min_length=1)
    engine_url: HttpUrl | None = None
    engine_key: Annotated[
        SecretStr | None,
        _secret(r"[!-~]+", "must be letters, digits and signs without blanks, as the server's operator gave it"),
    ] = None

    @classmethod
    def load(cls, env_file: Path = Path(".env")) -> Self:
        """Read the environment and `env_file`.

        Raises:
            SettingsError: with every fault at once, one sentence each.
        """
        problems = _faults_of_file(env_file) if env_file.exists() else []
        logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # it would repeat what _faults_of_file says
        try:
            settings = cls(_env_file=env_file)
        except ValidationError as error:
            problems += [_sentence(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
        except (OSError, UnicodeDecodeError):
            pass  # _faults_of_file has said so
        if problems:
            raise SettingsError(problems)
        return settings

    @property
    def key_path(self) -> Path:
        """Where the master key lies: never inside the data folder by default."""
        return self.key_file or self.data_dir.with_name(self.data_dir.name + ".key")

    @property
    def versions_path(self) -> Path:
        """The folder of the published versions."""
        return self.data_dir / "versions"

    @property
    def models_path(self) -> Path:
        """The folder of the models that were converted."""
        return self.data_dir / "models"

    @property
    def backups_path(self) -> Path:
        """The folder of the database's backups."""
        return self.data_dir / "backups"

    @property
    def tombstones_path(self) -> Path:
        """The file of those who asked to be forgotten."""
        return self.data_dir / "tombstones.jsonl"

    @property
    def keyring_path(self) -> Path:
        """The file of the keys that the master key opens."""
        return self.data_dir / "keyring.jsonl"

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "ovation.db"


class Settings(DataSettings):
    """Every setting, checked. Field names are the variables in small letters; `.env.example` explains each."""

    telegram_bot_token: Annotated[
        SecretStr, _secret(r"\d+:[A-Za-z0-9_-]{3,}", "is not a bot token; @BotFather gives one like 123456789:AAE…")
    ]
    telegram_api_url: HttpUrl = HttpUrl("https://api.telegram.org")
    admin_ids: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_ids)] = ()
    quantize: Quantize = "auto"
    webhook_url: HttpUrl | None = None
    webhook_secret: Annotated[
        SecretStr | None, _secret(r"[A-Za-z0-9_-]{1,256}", "must be 1 to 256 letters, digits, _ or -")
    ] = None
    webhook_listen: Annotated[str, _ADDRESS] = "127.0.0.1:8443"
    retrain_at: Annotated[str, AfterValidator(_cron)] = "30 3 * * *"
    timezone: Annotated[str, _ZONE] = "UTC"
    min_ratings: int = Field(50, ge=1)
    promotion: Literal["auto", "approve"] = "auto"
    canary_share: float = Field(0.0, ge=0, le=1)
    canary_ratings: int = Field(50, ge=1)
    canary_hours: float = Field(24.0, ge=0)
    canary_days: float = Field(14.0, gt=0, le=365)
    objective: Literal["taste", "kto"] = "taste"
    train_minutes: float = Field(20.0, gt=0, le=1440)
    train_steps: int = Field(0, ge=0)
    train_niceness: int = Field(10, ge=0, le=19)
    train_memory_mb: int = Field(0, ge=0)
    retention_days: int = Field(180, ge=1, le=3650)
    tainted_days: float = Field(30.0, gt=0, le=365)
    reactions_file: Annotated[Path | None, _readable(_reaction_values)] = None
    best_of: int = Field(16, ge=1, le=MAX_TEXTS)
    answer_seconds: float = Field(6.0, ge=0, le=600)
    prompts_per_hour: int = Field(60, ge=0)
    queue_limit: int = Field(1000, ge=1)
    pacing: Literal["on", "off"] = "on"
    health_listen: Annotated[str, _ADDRESS, _LOOPBACK] = "127.0.0.1:0"
    privacy_contact: str = Field("", max_length=200)
    kinds_file: Annotated[Path | None, _readable(load_kinds)] = None
    words_file: Annotated[Path | None, _readable(load_filter)] = None
    guard_model: Annotated[str, Field(min_length=1)] | None = None
    guard_fails: Literal["closed", "open"] = "closed"
    watermark: Literal["on", "off"] = "off"
    protected_dir: Annotated[Path | None, _readable(read_protected)] = None
    label: str = Field(DEFAULT_LABEL, min_length=1, max_length=100)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def schedule(self) -> CronTrigger:
        """When runs are due."""
        return CronTrigger(self.retrain_at, self.timezone)

    @property
    def reaction_values(self) -> Mapping[str, float | None]:
        """What each reaction is worth, in [-1, 1]; None where it says nothing."""
        return _reaction_values(self.reactions_file)

    @cached_property
    def kinds(self) -> Kinds:
        """What people can ask for, as MODEL is asked for it; see `kinds_for`, where a server at ENGINE_URL answers."""
        return load_kinds(self.kinds_file, model=names_of(self.model), context=context_of(self.model))

    def kinds_for(self, base: str) -> Kinds:
        """What people can ask for, as the model is asked for it that answers under the name `base`.

        A server may give its model any name. Where that tells nothing, MODEL does, unless nobody has set it.
        """
        if self.engine_url is None:
            return self.kinds
        own = names_of(self.model) if "model" in self.model_fields_set else ()
        return load_kinds(self.kinds_file, model=(base, *own))

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        has_own_engine = self.engine_url is None
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("WEBHOOK_URL needs a WEBHOOK_SECRET, so that only Telegram can send updates")
        if self.guard_model is not None and not has_own_engine:
            raise ValueError("GUARD_MODEL runs in Ovation's own engine: unset it, or ENGINE_URL")
        if self.watermark == "on" and not has_own_engine:
            raise ValueError("WATERMARK=on needs Ovation's own engine: leave it off, or unset ENGINE_URL")
        if self.engine_key is not None and has_own_engine:
            raise ValueError("ENGINE_KEY is for the server at ENGINE_URL, which is not set")
        return self


class OfflineSettings(Settings):
    """Every setting, for commands that write without Telegram and so need no token."""

    telegram_bot_token: SecretStr = SecretStr("")


def _faults_of_file(env_file: Path) -> list[str]:
    """What is wrong with the file itself: who may read it, lines that mean nothing, names that do not exist."""
    if env_file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return [f"{env_file} can be read by other users of this machine: run chmod 600 {env_file}."]
    try:
        bindings = list(parse_stream(StringIO(env_file.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError):
        return [f"{env_file} cannot be read as UTF-8 text: write it again from .env.example."]
    problems = []
    for binding in bindings:
        if binding.error:
            problems.append(f"{env_file}, line {binding.original.line}: write NAME=value, or # before a comment.")
        elif binding.key is not None and binding.key.lower() not in Settings.model_fields:
            problems.append(f"{binding.key} in {env_file} is not a setting{_suggestion(binding.key)}.")
    return problems


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name.upper(), [field.upper() for field in Settings.model_fields], n=1)
    return f"; did you mean {close[0]}?" if close else "; .env.example lists them all"


def _sentence(location: tuple[int | str, ...], kind: str, message: str) -> str:
    if kind == "missing":
        return f"{str(location[0]).upper()} is missing: set it in the environment or in .env (see .env.example)."
    words = message.removeprefix("Value error, ").rstrip(".")
    return f"{str(location[0]).upper()}: {words}." if location else f"{words}."


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment for a bot of our own: this process's, with `settings` in place of all its settings."""
    own = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return own | dict(settings)


def computing_environment() -> dict[str, str]:
    """The environment for a child that computes on several threads: they sleep while they wait for one another.

    Otherwise they spin, and beside other work they do little else: writing 64 texts took twelve times as much of the
    CPU as on one thread.
    """
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
