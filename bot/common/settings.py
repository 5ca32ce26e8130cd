"""Settings: the one place that reads the environment and `.env`.

All faults are collected and reported together, by the variable's name, without the value of a secret.
Knows what values are allowed. Knows nothing of what they are used for.
"""

import difflib
import logging
import os
import stat
from collections.abc import Mapping
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from dotenv.parser import parse_stream
from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.common import validators as check
from bot.common.errors import SettingsError
from bot.common.kinds import Kinds, load_kinds
from engine.api.types import MAX_BEST_OF

DEFAULT_LABEL = "AI-generated / AI 生成"


class DataSettings(BaseSettings):
    """The settings that commands beside the bot need: where the data is, and whose ratings count how much."""

    model_config = SettingsConfigDict(env_file_encoding="utf-8", extra="ignore", frozen=True, env_ignore_empty=True)

    data_dir: Path = Path("data")
    key_file: Path | None = None
    backups_keep: int = Field(7, ge=0)
    tenure_days: float = Field(7.0, ge=0)
    content_producer: str = Field("Ovation", min_length=1, max_length=100)
    model: str = Field("starter", min_length=1)

    @property
    def key_path(self) -> Path:
        """Where the master key lies: never inside the data folder by default."""
        return self.key_file or self.data_dir.with_name(self.data_dir.name + ".key")

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

    telegram_bot_token: Annotated[SecretStr, AfterValidator(check.token)]
    telegram_api_url: HttpUrl = HttpUrl("https://api.telegram.org")
    admin_ids: Annotated[tuple[int, ...], NoDecode, BeforeValidator(check.ids)] = ()
    quantize: Literal["none", "int8"] = "none"
    engine_url: HttpUrl | None = None
    engine_key: Annotated[SecretStr | None, AfterValidator(check.key)] = None
    webhook_url: HttpUrl | None = None
    webhook_secret: Annotated[SecretStr | None, AfterValidator(check.secret)] = None
    webhook_listen: Annotated[str, AfterValidator(check.address)] = "127.0.0.1:8443"
    retrain_at: Annotated[str, AfterValidator(check.cron)] = "30 3 * * *"
    timezone: Annotated[str, AfterValidator(check.zone)] = "UTC"
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
    reactions_file: Annotated[Path | None, AfterValidator(check.opinions)] = None
    best_of: int = Field(8, ge=1, le=MAX_BEST_OF)
    prompts_per_hour: int = Field(60, ge=0)
    queue_limit: int = Field(1000, ge=1)
    pacing: Literal["on", "off"] = "on"
    health_listen: Annotated[str, AfterValidator(check.loopback)] = "127.0.0.1:0"
    privacy_contact: str = Field("", max_length=200)
    kinds_file: Annotated[Path | None, AfterValidator(check.kinds)] = None
    words_file: Annotated[Path | None, AfterValidator(check.words)] = None
    guard_model: Annotated[str, Field(min_length=1)] | None = None
    guard_fails: Literal["closed", "open"] = "closed"
    watermark: Literal["on", "off"] = "off"
    protected_dir: Annotated[Path | None, AfterValidator(check.protected)] = None
    label: str = Field(DEFAULT_LABEL, min_length=1, max_length=100)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def reaction_values(self) -> Mapping[str, float | None]:
        """What each reaction is worth, in [-1, 1]; None where it says nothing."""
        return check.values_in(self.reactions_file)

    @cached_property
    def kinds(self) -> Kinds:
        """What people can ask for."""
        return load_kinds(self.kinds_file)

    @model_validator(mode="after")
    def _webhook_is_whole(self) -> Self:
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("WEBHOOK_URL needs a WEBHOOK_SECRET, so that only Telegram can send updates")
        return self

    @model_validator(mode="after")
    def _guard_has_a_house(self) -> Self:
        if self.guard_model is not None and self.engine_url is not None:
            raise ValueError("GUARD_MODEL runs in Ovation's own engine: unset it, or ENGINE_URL")
        if self.watermark == "on" and self.engine_url is not None:
            raise ValueError("WATERMARK=on needs Ovation's own engine: leave it off, or unset ENGINE_URL")
        return self

    @model_validator(mode="after")
    def _key_has_a_door(self) -> Self:
        if self.engine_key is not None and self.engine_url is None:
            raise ValueError("ENGINE_KEY is for the server at ENGINE_URL, which is not set")
        return self


class WritingSettings(Settings):
    """Every setting, for commands that write without Telegram and so need no token."""

    telegram_bot_token: SecretStr = SecretStr("")


S = TypeVar("S", bound=DataSettings)


def load_settings(env_file: Path = Path(".env")) -> Settings:
    """Read every setting from the environment and `env_file`.

    Raises:
        SettingsError: with every fault at once, one sentence each.
    """
    return _load(Settings, env_file)


def data_settings(env_file: Path = Path(".env")) -> DataSettings:
    """Read only where the data is, for commands that need no token.

    Raises:
        SettingsError: with every fault at once, one sentence each.
    """
    return _load(DataSettings, env_file)


def writing_settings(env_file: Path = Path(".env")) -> WritingSettings:
    """Read every setting but the token, for commands that write without Telegram.

    Raises:
        SettingsError: with every fault at once, one sentence each.
    """
    return _load(WritingSettings, env_file)


def _load(wanted: type[S], env_file: Path) -> S:
    problems = _faults_of_file(env_file) if env_file.exists() else []
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # it would repeat what _faults_of_file says
    try:
        settings = wanted(_env_file=env_file)
    except ValidationError as error:
        problems += [_sentence(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
    except (OSError, UnicodeDecodeError):
        pass  # _faults_of_file has said so
    if problems:
        raise SettingsError(problems)
    return settings


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
    if not location:
        return f"{message.removeprefix('Value error, ')}."
    name = str(location[0]).upper()
    if kind == "missing":
        return f"{name} is missing: set it in the environment or in .env (see .env.example)."
    return f"{name}: {message.removeprefix('Value error, ')}."


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
