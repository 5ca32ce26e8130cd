"""Cron lines as triggers, with cron's own weekdays: 0 and 7 are Sunday, where APScheduler's 0 is Monday.

What single settings may be; each check returns the value or says, as a ValueError, what to write instead.

Knows values. Knows nothing of the environment.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from pydantic import SecretStr

from bot.common.kinds import InvalidKinds, load_kinds
from engine.data.rewards import REACTION_VALUES, read_reaction_values
from engine.errors import RunError
from engine.safety.filter import load_filter
from engine.safety.near_copy import read_protected

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


def cron_trigger(line: str, timezone: str) -> CronTrigger:
    """A trigger for a five-field cron line.

    Raises:
        ValueError: the line is not a cron line.
    """
    fields = line.split()
    if len(fields) == 5 and fields[4] != "*":
        fields[4] = ",".join(_weekdays(part) for part in fields[4].split(","))
    return CronTrigger.from_crontab(" ".join(fields), timezone=ZoneInfo(timezone))


def _weekdays(part: str) -> str:
    """Spell out the numbers of one part of the weekday field, e.g. `5-7` as fri,sat,sun."""
    days, _, step = part.partition("/")
    first, _, last = ("0-6" if days == "*" else days).partition("-")
    if not first.isdigit():
        return part
    numbers = range(int(first), int(last or first) + 1, int(step or 1))
    if not numbers or numbers[-1] >= len(_DAYS):
        raise ValueError(f"{part!r} is not a day of the week")
    return ",".join(_DAYS[number] for number in numbers)


_TOKEN_PATTERN = re.compile(r"\d+:[A-Za-z0-9_-]{3,}")
_SECRET_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,256}")


def token(value: SecretStr) -> SecretStr:
    """A bot's token."""
    if not _TOKEN_PATTERN.fullmatch(value.get_secret_value()):
        raise ValueError("is not a bot token; @BotFather gives one like 123456789:AAE…")
    return value


def zone(value: str) -> str:
    """A time zone."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is not a time zone; write one like Europe/Berlin or Asia/Shanghai") from error
    return value


def cron(value: str) -> str:
    """A five-field cron line."""
    try:
        cron_trigger(value, "UTC")
    except ValueError as error:
        raise ValueError(f"{value!r} is not a five-field cron line like 30 3 * * *") from error
    return value


def secret(value: SecretStr | None) -> SecretStr | None:
    """A webhook's secret."""
    if value is not None and not _SECRET_PATTERN.fullmatch(value.get_secret_value()):
        raise ValueError("must be 1 to 256 letters, digits, _ or -")
    return value


def key(value: SecretStr | None) -> SecretStr | None:
    """An API key."""
    if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("must be letters, digits and signs without blanks, as the server's operator gave it")
    return value


def address(value: str) -> str:
    """A host and a port."""
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{value!r} is not an address like 127.0.0.1:8443")
    return value


def loopback(value: str) -> str:
    """A host of this machine and a port."""
    host = address(value).rpartition(":")[0].strip("[]")
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(f"{value!r} is not on this machine; write one like 127.0.0.1:8081, and put a proxy before it")
    return value


def opinions(value: Path | None) -> Path | None:
    """A file of opinions on reactions."""
    values_in(value)
    return value


def protected(value: Path | None) -> Path | None:
    """A folder of protected texts."""
    return _readable(value, read_protected)


def kinds(value: Path | None) -> Path | None:
    """A file of kinds."""
    try:
        load_kinds(value)
    except InvalidKinds as error:
        raise ValueError(str(error).rstrip(".")) from error
    return value


def words(value: Path | None) -> Path | None:
    """A file of words."""
    return _readable(value, load_filter)


def _readable(value: Path | None, read: Callable[[Path | None], object]) -> Path | None:
    try:
        read(value)
    except RunError as error:
        raise ValueError(str(error).rstrip(".")) from error
    return value


def values_in(file: Path | None) -> Mapping[str, float | None]:
    """What reactions are worth by the operator's file, if there is one."""
    if file is None:
        return REACTION_VALUES
    try:
        return read_reaction_values(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read as UTF-8 text; write one emoji a line there") from error
    except RunError as error:
        raise ValueError(f"{file}, {str(error).rstrip('.')}") from error


def ids(value: object) -> object:
    """Telegram ids with commas between them, as numbers."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError("must be numeric Telegram ids with commas between them, like 123456789,987654321")
    return tuple(int(part) for part in parts)
