"""A line of RETRAIN_AT means what cron means by it, and every wall time it names comes once, whatever the clocks do."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.common.cron import CronTrigger

MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(trigger: CronTrigger, since: datetime, until: datetime) -> list[datetime]:
    found, moment = [], since
    while (moment := trigger.get_next_fire_time(moment, moment)) <= until:
        found.append(moment)
    return found


@pytest.mark.parametrize(
    ("line", "first"),  # after Monday, 23 November 2026, 00:00
    [
        ("30 3 * * *", "11-23 03:30"),
        ("  30\t3 * * *  ", "11-23 03:30"),
        ("0 3 * * 0", "11-29 03:00"),
        ("0 3 * * 7", "11-29 03:00"),
        ("0 3 * * 5-7", "11-27 03:00"),
        ("0 3 * * sun-thu", "11-23 03:00"),
        ("0 3 * * FRI", "11-27 03:00"),
        ("0 3 * * fri-sun", "11-27 03:00"),
        ("0 3 * * sat-sun", "11-28 03:00"),
        ("0 3 * * sun-sun", "11-29 03:00"),
        ("0 3 * * tue,thu", "11-24 03:00"),
        ("0 3 * * 2-6/2", "11-24 03:00"),
        ("0 3 13 * fri", "11-27 03:00"),  # the 13th, and every Friday
        ("0 3 24 * fri", "11-24 03:00"),
        ("0 3 */2 * tue", "12-01 03:00"),  # with a star among the days: an odd day that is a Tuesday
        ("0 3 1-31 * sun", "11-23 03:00"),  # without one: any day
        ("0 3 13 feb-apr/2 *", "02-13 03:00"),
        ("0 3 31 * *", "12-31 03:00"),
        ("5-5/2 3 * * *", "11-23 03:05"),
        ("*/20 3-4 * * *", "11-23 03:00"),
        ("@hourly", "11-23 01:00"),
        ("@daily", "11-24 00:00"),
        ("@Midnight", "11-24 00:00"),
        ("@weekly", "11-29 00:00"),
        ("@monthly", "12-01 00:00"),
        ("@yearly", "01-01 00:00"),
        ("@annually", "01-01 00:00"),
    ],
)
def test_a_line_means_what_cron_means(line: str, first: str) -> None:
    trigger, monday = CronTrigger(line, "UTC"), at("2026-11-23")
    assert trigger.get_next_fire_time(None, monday).strftime("%m-%d %H:%M") == first


@pytest.mark.parametrize(
    "line",
    [
        "", "at night", "@reboot", "@nightly", "0 3 * *", "0 3 * * * *", "0 3 * * * root", "99 3 * * *", "0 24 * * *",
        "0 3 0 * *", "0 3 * 13 *", "0 3 * * 8", "0 3 * * mond", "0 3 * * thu-mon", "0 3 5-1 * *", "0 3 */0 * *",
        "0 3 1, * *", "-5 3 * * *", "0 3.5 * * *", "٣٠ 3 * * *", "0 3 ? * *", "*/" + "9" * 5000 + " 3 * * *",
    ],
)  # fmt: skip
def test_what_is_no_cron_line_is_refused_with_a_sentence(line: str) -> None:
    with pytest.raises(ValueError, match="is not a cron line") as refused:
        CronTrigger(line, "UTC")
    assert "30 3 * * *" in str(refused.value)


@pytest.mark.parametrize("line", ["0 3 30 2 *", "0 3 31 feb,apr,jun,sep,nov *", "0 3 30-31 2 */2"])
def test_a_day_that_never_comes_is_refused_with_a_sentence(line: str) -> None:
    with pytest.raises(ValueError, match="never comes"):
        CronTrigger(line, "UTC")


def test_a_rare_day_is_waited_for() -> None:
    assert CronTrigger("0 3 29 2 *", "UTC").get_next_fire_time(None, at("2026-11-23")).date() == date(2028, 2, 29)
    assert CronTrigger("0 3 29 2 */7", "UTC").get_next_fire_time(None, at("2032-03-01")).date() == date(2060, 2, 29)


@pytest.mark.parametrize(
    ("line", "zone", "day", "moments"),  # UTC, of the slots of a local day
    [
        # the clocks go forward
        ("30 2 * * *", "Europe/Berlin", "2026-03-29", ["01:00"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-29", ["01:00"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-29", ["01:00"]),
        ("15 1-3 * * *", "Europe/Berlin", "2026-03-29", ["00:15", "01:00", "01:15"]),
        ("30 */2 * * *", "Europe/Berlin", "2026-03-29", ["23:30", "01:00", *[f"{h:02}:30" for h in range(2, 22, 2)]]),
        ("30 2 * * *", "America/New_York", "2026-03-08", ["07:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["15:30"]),  # half an hour is left out
        ("45 2 * * *", "Pacific/Chatham", "2026-09-27", ["14:00"]),  # 12:45 ahead
        ("0 0 * * *", "Africa/Cairo", "2026-04-24", ["22:00"]),  # there is no midnight
        ("@daily", "America/Santiago", "2026-09-06", ["04:00"]),
        ("0 * * * *", "Europe/Berlin", "2026-03-29", ["23:00", *[f"{hour:02}:00" for hour in range(22)]]),
        # the clocks go back
        ("30 2 * * *", "Europe/Berlin", "2026-10-25", ["00:30"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-25", ["00:00", "00:30"]),
        ("30 1 * * sun", "America/New_York", "2026-11-01", ["05:30"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", ["14:45"]),
        ("0 3 * * *", "Pacific/Chatham", "2026-04-05", ["13:15"]),
        ("0 * * * *", "Europe/Berlin", "2026-10-25", ["22:00", "23:00", *[f"{hour:02}:00" for hour in range(23)]]),
        # they never change
        ("30 3 * * *", "Asia/Kathmandu", "2026-03-29", ["21:45"]),
        ("30 3 * * *", "Asia/Kolkata", "2026-10-25", ["22:00"]),
    ],
)
def test_a_wall_time_comes_once_whatever_the_clocks_do(line: str, zone: str, day: str, moments: list[str]) -> None:
    trigger, place = CronTrigger(line, zone), ZoneInfo(zone)
    midnight = datetime.combine(date.fromisoformat(day), time(), place).astimezone(UTC)
    since = midnight - timedelta(minutes=1)
    until = datetime.combine(date.fromisoformat(day), time(23, 59), place).astimezone(UTC)
    found = slots(trigger, since, until)
    assert [slot.astimezone(UTC).strftime("%H:%M") for slot in found] == moments
    assert len({slot.astimezone(UTC) for slot in found}) == len(found)
    for slot in found:  # however late the look, the slot is found, and found once
        assert trigger.latest(since=since, now=slot) == slot
        assert trigger.latest(since=slot, now=slot) is None


@pytest.mark.parametrize(
    ("since", "now", "slot"),
    [
        ("2026-11-22 04:00", "2026-11-23 03:29", None),
        ("2026-11-22 04:00", "2026-11-23 03:30", "2026-11-23 03:30"),
        ("2026-11-20 04:00", "2026-11-23 12:00", "2026-11-23 03:30"),
        ("2026-11-23 03:30:00.1", "2026-11-23 12:00", None),
        ("2020-01-01 00:00", "2026-11-23 12:00", "2026-11-23 03:30"),
        ("2026-11-23 05:00", "2026-11-23 03:35", None),  # the clock was set back
        ("2038-01-19 03:00", "2038-01-20 12:00", "2038-01-20 03:30"),
    ],
)
def test_the_latest_missed_slot_is_made_up_for(since: str, now: str, slot: str | None) -> None:
    found = CronTrigger("30 3 * * *", "UTC").latest(since=at(since), now=at(now))
    assert found == (None if slot is None else at(slot))


def test_a_slot_a_month_is_made_up_for_weeks_later() -> None:
    trigger = CronTrigger("@monthly", "Europe/Berlin")
    found = trigger.latest(since=at("2026-08-20 12:00"), now=at("2026-11-27 12:00"))
    assert found == at("2026-10-31 23:00")


def test_any_line_is_read_as_cron_reads_it() -> None:
    chance = random.Random(5)
    for _ in range(300):
        clock = f"{_field(chance, 0, 59)} {_field(chance, 0, 23)}"
        line = f"{clock} {_field(chance, 1, 31)} {_field(chance, 1, 12, MONTHS)} {_field(chance, 0, 7, DAYS)}"
        since = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=chance.randrange(3000))
        want = list(_meant(line, since, since + timedelta(days=40)))
        try:
            trigger = CronTrigger(line, "UTC")
        except ValueError as error:
            assert "never comes" in str(error) and not want, line
            continue
        moment = since
        for expected in want[:20]:
            moment = trigger.get_next_fire_time(moment, moment)
            assert moment == expected, line
        if not want:
            assert trigger.get_next_fire_time(None, since) > since + timedelta(days=40), line


def _field(chance: random.Random, low: int, high: int, names: list[str] | None = None) -> str:
    first, last = sorted((chance.randint(low, high), chance.randint(low, high)))

    def named(number: int) -> str:
        place = number - (low if high == 12 else 0)
        return names[place] if names and place < len(names) and chance.random() < 0.5 else str(number)

    ranges = f"{named(first)}-{last}", f"{first}-{last}/3"
    return chance.choice(["*", "*", f"*/{chance.randint(1, high)}", named(first), *ranges, f"{named(first)},{last}"])


def _meant(line: str, since: datetime, until: datetime) -> Iterator[datetime]:
    """What crontab(5) says, minute by minute, read without the library."""
    minute, hour, day, month, weekday = line.split()
    minutes, hours, days = _numbers(minute, 0, 59), _numbers(hour, 0, 23), _numbers(day, 1, 31)
    months, weekdays = _numbers(month, 1, 12, MONTHS, 1), {number % 7 for number in _numbers(weekday, 0, 7, DAYS)}
    both = day.startswith("*") or weekday.startswith("*")
    midnight = since.replace(hour=0, minute=0)
    while midnight < until:
        fits = (midnight.day in days, midnight.isoweekday() % 7 in weekdays)
        if midnight.month in months and (all(fits) if both else any(fits)):
            moments = (midnight + timedelta(hours=h, minutes=m) for h in sorted(hours) for m in sorted(minutes))
            yield from (moment for moment in moments if since < moment < until)
        midnight += timedelta(days=1)


def _numbers(field: str, low: int, high: int, names: list[str] | None = None, offset: int = 0) -> set[int]:
    def number(word: str) -> int:
        return names.index(word) + offset if names and word in names else int(word)

    found: set[int] = set()
    for term in field.split(","):
        words, _, step = term.partition("/")
        first, _, last = (f"{low}-{high}" if words == "*" else words).partition("-")
        found |= set(range(number(first), number(last or first) + 1, int(step or 1)))
    return found
