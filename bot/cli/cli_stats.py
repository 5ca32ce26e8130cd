"""The operator's table of what is liked, also while the bot runs. The same rules as in `bot.cli`."""

import json
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from bot.cli.terminal import busy, or_give_up
from bot.common.settings import data_settings
from bot.reporting.charts import wilson_interval
from storage.db.database import open_for_reading
from storage.tables.statistics import Count, Statistics, statistics_in

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]

app = typer.Typer()


@app.command()
def stats(
    days: Annotated[int, typer.Option(min=1, max=3650, help="How far back.")] = 30, as_json: Json = False
) -> None:
    """Print how texts were liked, by version, kind, day and emoji; works while the bot runs."""
    settings = or_give_up(data_settings)
    since = datetime.now(UTC) - timedelta(days=days)
    with (
        closing(or_give_up(lambda: open_for_reading(settings.database_path))) as connection,
        busy("" if as_json else "Counting …"),
    ):
        numbers = statistics_in(connection, since=since)
    if as_json:
        typer.echo(json.dumps(asdict(numbers), ensure_ascii=False))
        return
    console = Console(highlight=False)
    for title, counts in (("Version", numbers.versions), ("Kind", numbers.kinds), ("Day (UTC)", numbers.days)):
        console.print(_counts(title, counts))
    console.print(_total(numbers, days))
    if numbers.counted:
        console.print(f"Counted by Telegram, nobody's in particular: {_in_words(numbers.counted)}")


def _counts(title: str, counts: tuple[Count, ...]) -> Table:
    table = Table(title, *(_right(name) for name in ("Texts", "Likes", "Dislikes", "Satisfaction", "95 %")))
    for count in counts:
        low, high = wilson_interval(count.likes, count.ratings)
        share = "" if count.share is None else f"{count.share:.0%}"
        interval = "" if count.share is None else f"{low:.0%} to {high:.0%}"
        table.add_row(count.label, str(count.texts), str(count.likes), str(count.dislikes), share, interval)
    return table


def _right(name: str) -> Column:
    return Column(name, justify="right")


def _total(numbers: Statistics, days: int) -> str:
    emoji = _in_words(numbers.emoji)
    return f"{numbers.texts} texts and {numbers.ratings} ratings in {days} days. {emoji}".rstrip()


def _in_words(emoji: tuple[tuple[str, int], ...]) -> str:
    return "  ".join(f"{one} {times}" for one, times in emoji)
