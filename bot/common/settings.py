"""Settings: the one place that reads the environment and `.env`.

All faults are collected and reported together, by the variable's name, without the value of a secret. Each check says
in its ValueError what to write instead.
"""

import contextlib
import difflib
import errno
import logging
import os
import re
import stat
import tempfile
import unicodedata
from collections.abc import Callable, Mapping
from functools import cached_property
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit
from urllib.request import getproxies_environment
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
from storage.db.files import others_can_read

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from bot.common.proxies import Proxies

AUTO: Final = "auto"
"""What MODEL is by default: a model that `bot.serving.base_model` chooses."""
DEFAULT_LABEL = "AI-generated / AI 生成"
_PROXY_VARIABLES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})

_COMPUTES: Final = re.compile(
    # the user, the language, files, and where libraries and certificates are
    r"(?:PATH|HOME|USER|LOGNAME|SHELL|TERM|TZ|LANG|LANGUAGE|LC_[A-Z]+|TMPDIR|TEMP|TMP|XDG_[A-Z_]+|NO_COLOR|COLUMNS"
    r"|LD_[A-Z_]+|DYLD_[A-Z_]+|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SYSTEMROOT|WINDIR"
    # Python, its environments, and what measures it
    r"|PYTHON[A-Z_]*|VIRTUAL_ENV|CONDA_[A-Z_]+|COVERAGE_[A-Z_]+|MPL[A-Z]+|MALLOC_[A-Z_]+|GLIBC_TUNABLES"
    # threads, devices and kernels
    r"|(?:OMP|GOMP|KMP|MKL|OPENBLAS|BLIS|VECLIB|NUMEXPR|DNNL|ONEDNN|ATEN|TORCH|TORCHINDUCTOR|PYTORCH|TRITON)_[A-Z0-9_]+"
    r"|(?:CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|HIP|ROCR|ROCM|HSA|AMD|XPU|SYCL|ONEAPI|ZE|INDUCTOR)_[A-Z0-9_]+"
    # models; HF_TOKEN is the hub's own, without which a gated model does not come
    r"|(?:HF|HUGGINGFACE|HUGGING_FACE|TRANSFORMERS|TOKENIZERS|SAFETENSORS|PEFT|ACCELERATE|BITSANDBYTES)_[A-Z0-9_]+)"
)
"""The variables that a child that computes may have."""

_MOST_SHOWN = 60
"""Characters of a value in the sentence about it."""
_ID_DIGITS = 16
"""Telegram's ids have 52 bits at most."""


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
        except OSError as error:
            raise ValueError(f"{value} cannot be read ({error.strerror})") from error
        return value

    return AfterValidator(check)


def _reaction_values(file: Path | None) -> Mapping[str, float | None]:
    """What reactions are worth, by the operator's file if there is one."""
    if file is None:
        return REACTION_VALUES
    try:
        return read_reaction_values(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read as UTF-8 text; write one emoji a line there") from error
    except RunError as error:
        raise ValueError(f"{file}, {error}") from error


def _parsed(parse: Callable[[str], object], otherwise: str) -> AfterValidator:
    """Checks a value by parsing it; `otherwise` says what is wrong, after the value."""

    def check(value: str) -> str:
        try:
            parse(value)
        except (KeyError, ValueError, OSError, RecursionError) as error:  # of a zone with a thousand parts
            shown = value if len(value) <= _MOST_SHOWN else f"{value[:_MOST_SHOWN]}…"
            raise ValueError(f"{shown!r} {otherwise}") from error
        return value

    return AfterValidator(check)


def _host_of(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535 or not host.isprintable():
        raise ValueError(address)
    host.encode("idna")  # a UnicodeError is a ValueError, too
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


def _usable_path(path: Path) -> Path:
    """A path in which ~ is the home folder, as in a shell."""
    try:
        place = path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home folder {path.parts[0]}; write the path in full") from error
    try:
        place.stat()
    except ValueError as error:  # a NUL, or what the file system's encoding does not have
        raise ValueError("is no path: it has characters that no file here can have") from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise ValueError(f"is no path ({error.strerror})") from error
        if place != path and path.exists():  # an older Ovation made a folder that is called ~
            raise ValueError(f"~ is your home folder: move {path.absolute()} to {place}") from error
    return place


def _folder_of_its_own(path: Path) -> Path:
    """No root: locks, keys and databases would lie among everybody's."""
    if not path.resolve().name:
        raise ValueError("must be a folder for the data alone, like /var/lib/ovation")
    return path


def _usable_model(source: str) -> str:
    """The name of a model, or a path in which ~ is the home folder."""
    return str(_usable_path(Path(source))) if source.startswith("~") else source


def _line(value: str) -> str:
    """A text that people see as one line."""
    if (value and not value.strip()) or any(unicodedata.category(each) in _UNSEEN for each in value):
        raise ValueError("must be one line of text that can be read")
    return value


_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
"""Controls, halves of characters, and breaks of lines and paragraphs."""
_Place = Annotated[Path, AfterValidator(_usable_path)]
_Line = Annotated[str, AfterValidator(_line)]
_Model = Annotated[str, AfterValidator(_usable_model)]
_Days = Annotated[float, Field(ge=0, le=3650)]
_Count = Annotated[int, Field(le=10**9)]


def _ids(value: object) -> object:
    """Telegram ids with commas between them, as numbers."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() and len(part) <= _ID_DIGITS for part in parts):
        raise ValueError("must be numeric Telegram ids with commas between them, like 123456789,987654321")
    return tuple(int(part) for part in parts)


def _allowed_ids(value: object) -> object:
    """Telegram ids of people, at least one: a list that names nobody must not let everybody in."""
    ids = _ids(value)
    if isinstance(value, str) and not ids:
        raise ValueError("names nobody; write numeric Telegram ids, or leave it out to let everybody in")
    return ids


def _allowed_chats(value: object) -> object:
    """Telegram ids of groups and channels, at least one."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts or not all(re.fullmatch(rf"-[0-9]{{1,{_ID_DIGITS}}}", part) for part in parts):
        raise ValueError(
            "must be the numbers of groups and channels, which begin with a minus, with commas between them, like"
            " -1001234567890; people belong into ALLOWED_IDS"
        )
    return tuple(int(part) for part in parts)


def _hosts(value: object) -> object:
    """Names of machines with commas between them, without ports."""
    if not isinstance(value, str):
        return value
    names = tuple(part.strip().lower() for part in value.split(",") if part.strip())
    if not all(re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name) for name in names):
        raise ValueError("must be names with commas between them, without http:// and port, like monitor.example.org")
    return names


def _secret_in(file: Path) -> str:
    """What a file holds that has a secret and nothing else.

    Raises:
        ValueError: it cannot be read, or holds more, or nothing.
    """
    try:
        words = file.read_text(encoding="utf-8-sig").split()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text") from error
    if len(words) != 1:
        raise ValueError(f"{file} must hold the secret and nothing else")
    return words[0]


def _holding_a_secret(file: Path) -> Path:
    _secret_in(file)
    return file


_SecretFile = Annotated[_Place | None, AfterValidator(lambda file: file and _holding_a_secret(file))]
"""Where a secret may be read from in place of its own variable, as containers and services hand them over."""
_OF_FILE: Final = "_file"
_SECRET_FILES: Final = ("telegram_bot_token_file", "webhook_secret_file", "engine_key_file")


class DataSettings(BaseSettings):
    """The settings that commands beside the bot need: where the data is, and whose ratings count how much."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8-sig", extra="ignore", frozen=True, env_ignore_empty=True, allow_inf_nan=False
    )

    data_dir: Annotated[_Place, AfterValidator(_folder_of_its_own)] = Path("data")
    key_file: _Place | None = None
    backups_keep: _Count = Field(7, ge=0)
    tenure_days: _Days = 7.0
    content_producer: _Line = Field("Ovation", min_length=1, max_length=100)
    model: _Model = Field(AUTO, min_length=1)
    engine_url: HttpUrl | None = None
    engine_key: Annotated[
        SecretStr | None,
        _secret(r"[!-~]+", "must be letters, digits and signs without blanks, as the server's operator gave it"),
    ] = None
    engine_key_file: _SecretFile = None

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Put what the files hold into the place of the secrets; each file's own check says what is wrong with it."""
        found = dict(given)
        for name, file in given.items():
            secret = name.removesuffix(_OF_FILE)
            if name in _SECRET_FILES and file:
                if given.get(secret):
                    raise ValueError(f"{secret.upper()} and {name.upper()} are both set: leave one of them out")
                with contextlib.suppress(ValueError, RuntimeError, OSError):
                    found[secret] = _secret_in(Path(file).expanduser())
        return found

    @classmethod
    def load(cls, env_file: Path = Path(".env")) -> Self:
        """Read the environment and `env_file`.

        Raises:
            SettingsError: with every fault at once, one sentence each.
        """
        problems = _faults_of_file(env_file)
        broken = [
            name for name, value in os.environ.items() if name.lower() in Settings.model_fields and _is_broken(value)
        ]
        if broken:  # the library would not say which
            raise SettingsError([*problems, *(f"{name.upper()}: write it as UTF-8 text." for name in broken)])
        logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # it would repeat what _faults_of_file says
        try:
            settings = cls(_env_file=env_file)
        except ValidationError as error:
            faults = {fault["loc"]: _sentence(fault) for fault in error.errors()}
            for name in _SECRET_FILES:
                if (name,) in faults:  # then the secret is not missing
                    faults.pop((name.removesuffix(_OF_FILE),), None)
            problems += faults.values()
        if issubclass(cls, Settings):  # the other commands reach nobody
            problems += proxies().faults
            try:
                hub_url()
            except SettingsError as error:
                problems += error.problems
        if problems:
            raise SettingsError(problems)
        _find_room(settings.data_dir)
        return settings

    @property
    def key_path(self) -> Path:
        """Where the master key lies: never inside the data folder by default."""
        if self.key_file is not None:
            return self.key_file
        folder = self.data_dir.resolve() if self.data_dir.name in ("", "..") else self.data_dir
        return folder.with_name(f"{folder.name}.key")

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
        SecretStr,
        _secret(r"[0-9]{1,20}:[A-Za-z0-9_-]{3,200}", "is not a bot token; @BotFather gives one like 123456789:AAE…"),
    ]
    telegram_bot_token_file: _SecretFile = None
    telegram_api_url: HttpUrl = HttpUrl("https://api.telegram.org")
    admin_ids: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_ids)] = ()
    allowed_ids: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_allowed_ids)] = ()
    allowed_chats: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_allowed_chats)] = ()
    quantize: Quantize = "auto"
    webhook_url: HttpUrl | None = None
    webhook_secret: Annotated[
        SecretStr | None, _secret(r"[A-Za-z0-9_-]{1,256}", "must be 1 to 256 letters, digits, _ or -")
    ] = None
    webhook_secret_file: _SecretFile = None
    webhook_listen: Annotated[str, _ADDRESS] = "127.0.0.1:8443"
    retrain_at: Annotated[str, AfterValidator(_cron)] = "30 3 * * *"
    timezone: Annotated[str, _ZONE] = "UTC"
    min_ratings: _Count = Field(50, ge=1)
    promotion: Literal["auto", "approve"] = "auto"
    canary_share: float = Field(0.0, ge=0, le=1)
    canary_ratings: _Count = Field(50, ge=1)
    canary_hours: float = Field(24.0, ge=0, le=8760)
    canary_days: float = Field(14.0, gt=0, le=365)
    objective: Literal["taste", "kto"] = "taste"
    train_minutes: float = Field(20.0, gt=0, le=1440)
    train_steps: _Count = Field(0, ge=0)
    train_niceness: int = Field(10, ge=0, le=19)
    train_memory_mb: _Count = Field(0, ge=0)
    runs_keep: _Count = Field(30, ge=1)
    retention_days: int = Field(180, ge=1, le=3650)
    tainted_days: float = Field(30.0, gt=0, le=365)
    reactions_file: Annotated[_Place | None, _readable(_reaction_values)] = None
    best_of: int = Field(16, ge=1, le=MAX_TEXTS)
    answer_seconds: float = Field(6.0, ge=0, le=600)
    prompts_per_hour: _Count = Field(60, ge=0)
    queue_limit: _Count = Field(1000, ge=1)
    pacing: Literal["on", "off"] = "on"
    health_listen: Annotated[str, _ADDRESS, _LOOPBACK] = "127.0.0.1:0"
    health_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)] = ()
    privacy_contact: _Line = Field("", max_length=200)
    kinds_file: Annotated[_Place | None, _readable(load_kinds)] = None
    words_file: Annotated[_Place | None, _readable(load_filter)] = None
    guard_model: Annotated[_Model, Field(min_length=1)] | None = None
    guard_fails: Literal["closed", "open"] = "closed"
    watermark: Literal["on", "off"] = "off"
    protected_dir: Annotated[_Place | None, _readable(read_protected)] = None
    label: _Line = Field(DEFAULT_LABEL, min_length=1, max_length=100)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def is_open(self) -> bool:
        """Whether everybody may use the bot."""
        return not (self.allowed_ids or self.allowed_chats)

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
    """What is wrong with the file itself: who may read it, lines that mean nothing, names that do not exist.

    Raises:
        SettingsError: it is there and cannot be read.
    """
    try:
        if not stat.S_ISREG(env_file.stat().st_mode):
            raise SettingsError([f"{env_file} is no file: write the settings into one, as .env.example has them."])
        content = env_file.read_bytes()
        problems = []
        if others_can_read(env_file):
            problems.append(f"{env_file} can be read by other users of this machine: run chmod 600 {env_file}.")
    except FileNotFoundError:
        return []
    except OSError as error:
        says = f"{env_file} cannot be read ({error.strerror}): give it to the user that runs the bot."
        raise SettingsError([says]) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _where(env_file, content[: error.start].decode("utf-8-sig", "replace"))
        raise SettingsError([f"{where} is not UTF-8: save the file as UTF-8 text."]) from error
    if "\0" in text:
        where = _where(env_file, text.partition("\0")[0])
        raise SettingsError([f"{where} has a character NUL: write it again from .env.example, as UTF-8 text."])
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            problems.append(f"{env_file}, line {binding.original.line}: write NAME=value, or # before a comment.")
        elif binding.key is not None and binding.key.lower() not in Settings.model_fields:
            problems.append(f"{binding.key} in {env_file} is not a setting{_suggestion(binding.key)}.")
    return problems


def _is_broken(value: str) -> bool:
    """Whether a value has bytes that are no UTF-8, which Python keeps as halves of characters."""
    return any(unicodedata.category(each) == "Cs" for each in value)


def _where(env_file: Path, before: str) -> str:
    """The line of the file that `before` ends in, and the variable there if its name has been read."""
    name, is_there, _ = before.rpartition("\n")[2].partition("=")
    line = f"{env_file}, line {before.count(chr(10)) + 1},"
    return f"{line} {name.strip()}," if is_there else line


def _suggestion(name: str) -> str:
    if name.lower() in _PROXY_VARIABLES:
        return ": set it in the environment, where other programs find it too"
    close = difflib.get_close_matches(name.upper(), [field.upper() for field in Settings.model_fields], n=1)
    return f"; did you mean {close[0]}?" if close else "; .env.example lists them all"


def _sentence(fault: "ErrorDetails") -> str:
    location, message, given = fault["loc"], fault["msg"], fault["input"]
    if fault["type"] == "missing":
        return f"{str(location[0]).upper()} is missing: set it in the environment or in .env (see .env.example)."
    if isinstance(given, str) and "\n" in given.strip():  # it goes on in other settings, the token among them
        return f"{str(location[0]).upper()}: is more than one line; look for a quote that is not closed."
    words = " ".join(message.removeprefix("Value error, ").split()).rstrip(".")
    return f"{str(location[0]).upper()}: {words}." if location else f"{words}."


def _find_room(data_dir: Path) -> None:
    """Where the system has no folder for temporary files that can be written, use one in the data folder, for this
    process and its children: torch is not even imported without."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        folder = data_dir.absolute() / "tmp"
        with contextlib.suppress(OSError):  # whoever needs it says what is wrong with the data folder
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment for a bot of our own: this process's, with `settings` in place of all its settings."""
    own = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return own | dict(settings)


def computing_environment() -> dict[str, str]:
    """The environment for a child that computes on several threads: they sleep while they wait for one another.

    Otherwise they spin, and beside other work they do little else: writing 64 texts took twelve times as much of the
    CPU as on one thread. The model hub is reached through the proxy that applies.

    Of this process's variables it has what Python, the libraries that compute, and the model hub read, and none of the
    bot's secrets: an engine that is made to tell its environment tells no token.

    Raises:
        SettingsError: a proxy cannot be used, or HF_ENDPOINT is no address.
    """
    own = {name: value for name, value in os.environ.items() if _COMPUTES.fullmatch(name)}
    return {"OMP_WAIT_POLICY": "PASSIVE", **own, **proxies().environment(hub_url())}


def proxies() -> "Proxies":
    """The proxies of this process's environment."""
    from bot.common.proxies import Proxies  # noqa: PLC0415 - httpx, which many commands do not need

    return Proxies(getproxies_environment())


def hub_url() -> str:
    """Where models come from that MODEL names as owner/name.

    Raises:
        SettingsError: HF_ENDPOINT is no address.
    """
    url = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise SettingsError(["HF_ENDPOINT is no address: write one like https://huggingface.co, or unset it."])
    return url
