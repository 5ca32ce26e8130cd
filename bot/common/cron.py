"""Cron lines as triggers, with cron's own weekdays: 0 and 7 are Sunday, where APScheduler's 0 is Monday."""

from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

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
