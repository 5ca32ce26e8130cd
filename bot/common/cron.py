"""When a run is due: a line of cron, with cron's meaning, as a trigger of APScheduler.

APScheduler's own trigger means something else by the same line: both days at once where cron takes either, Monday for
0, no run in the night in which the clocks go forward, two where they go back.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from cronsim import CronSim, CronSimError

_NAMED: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_INSTEAD: Final = "write five fields like 30 3 * * *, or @daily"
_SOME_DAY: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - a wall time, to try a line with
_MICROSECOND: Final = timedelta(microseconds=1)


class CronTrigger(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """The slots of a line of crontab(5) in a time zone.

    A slot is a wall time. One that does not exist on the day when the clocks go forward comes when the hour that is
    left out is over, together with what is due then; one that exists twice comes the first time. Where the line names
    no hour (`0 * * * *`), every hour that passes has its slot, a repeated one too.

    Raises:
        ValueError: it is no such line, or its day never comes; with a sentence.
    """

    def __init__(self, line: str, timezone: str) -> None:
        fields = _NAMED.get(line.strip().lower(), line).lower().split()
        if len(fields) != 5:
            raise ValueError(f"{line!r} is not a cron line: {_INSTEAD}")
        self._line, self._zone = " ".join(_plain(fields)), ZoneInfo(timezone)
        try:
            next(CronSim(self._line, _SOME_DAY))
        except (CronSimError, ValueError, StopIteration) as error:
            if _is_well_formed(fields):
                raise ValueError(f"{line!r} never comes, for no such day is in the calendar: {_INSTEAD}") from error
            raise ValueError(f"{line!r} is not a cron line ({str(error).lower()}): {_INSTEAD}") from error

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first slot after the previous one, or else after `now`."""
        since = (previous_fire_time or now).astimezone(UTC)
        slots = CronSim(self._line, since.astimezone(self._zone))
        return next(slot for slot in slots if slot.astimezone(UTC) > since)

    def latest(self, *, since: datetime, now: datetime) -> datetime | None:
        """The latest slot after `since` and not after `now`; None when there was none."""
        now = now.astimezone(UTC)  # within a zone Python compares the wall's times, whatever the clocks did
        first = self.get_next_fire_time(None, since)
        if first > now:
            return None
        slots = CronSim(self._line, (now + _MICROSECOND).astimezone(self._zone), reverse=True)
        return max(first, next(slots), key=datetime.timestamp)


def _plain(fields: list[str]) -> list[str]:
    """The fields as CronSim takes them for what cron means.

    CronSim counts on from the start of a range of one (`5-5/2`), and takes a line with a star in its hours or minutes
    for one that goes by the time that passes, not by the wall's. A weekend (`sat-sun`) ends with cron's other Sunday.
    """
    minute, hour, *days, weekday = (re.sub(r"\b(\w+)-\1/\d+", r"\1", field) for field in fields)
    minute = minute.replace("*", "0-59")
    hour = hour if hour in ("*", "*/1") else hour.replace("*", "0-23")
    return [minute, hour, *days, re.sub(r"(?<!\bsun)(?<!\b0)-sun\b", "-7", weekday)]


def _is_well_formed(fields: list[str]) -> bool:
    """Whether each field by itself is one of cron's."""
    try:
        for place, field in enumerate(_plain(fields)):
            CronSim(" ".join(field if place == other else "*" for other in range(5)), _SOME_DAY)
    except (CronSimError, ValueError):
        return False
    return True
