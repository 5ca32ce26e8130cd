"""Nothing is lost and nothing is doubled, in numbers: durable updates, a backlog, a steady pace, and three outages."""

import asyncio

from benchmarks import backlog, durability, outages, pace
from benchmarks.stage import running_engine
from benchmarks.tables import Row, Table

REPETITIONS = 5
RATINGS = 20_000
UPDATES = 10_000
PACE_SECONDS = 300.0
STORM_SECONDS = 20.0
AWAY_SECONDS = 60.0


def measure() -> Table:
    """Everything, one after the other; about a quarter of an hour."""
    note = (
        "The real bot with a real engine beside it, against the stand-in for Telegram on loopback, which refuses what"
        f" exceeds Telegram's limits. Medians of {REPETITIONS} with the range where there is one; the pace and the"
        " outages are one run each. A rating is one transaction: its text is looked up, the event appended, the verdict"
        " settled; the peer only appends. An answer takes two calls, and Telegram allows thirty a second."
    )
    rows = durability.measure(repetitions=REPETITIONS, rows=RATINGS)
    return Table("Reliability", note, ["", "measured", "goal"], [*rows, *asyncio.run(_with_a_bot())])


async def _with_a_bot() -> list[Row]:
    async with running_engine() as engine:
        return [
            *await backlog.measure(engine, updates=UPDATES, repetitions=REPETITIONS),
            *await pace.measure(engine, seconds=PACE_SECONDS),
            *await outages.measure(engine, storm_seconds=STORM_SECONDS, away_seconds=AWAY_SECONDS),
        ]
