"""What came of it all, read beside a bot that runs: `ovation stats`, `report` and `export`."""

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from bot.cli.terminal import busy, give_up
from bot.common.keys import open_existing_keys
from bot.common.settings import DataSettings
from bot.reporting.charts import wilson_interval
from bot.reporting.export import Format, What, kto, lines
from bot.reporting.html_report import MARK, object_of, overview_in, page_of
from storage.db.database import open_for_reading
from storage.db.files import move_into_place
from storage.tables.statistics import RatingCount, read_statistics

app = typer.Typer()


@app.command()
def export(
    what: Annotated[What, typer.Argument(help="ratings, generations, runs or duels.")],
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option(help="jsonl: one JSON object a line; kto: ratings as TRL's KTO learns from them.")
    ] = Format.JSONL,
) -> None:
    """Print what is stored, one object a line; works while the bot runs.

    With `--format kto`: the texts whose author and raters agree to learning, each with the label of all its ratings.
    """
    if format is Format.KTO and what is not What.RATINGS:
        give_up(f"Only ratings can be had as kto: use --format jsonl for {what}.", status=2)
    settings = DataSettings.load()
    keyring = open_existing_keys(settings).keyring
    with (
        closing(open_for_reading(settings.database_path, keyring, as_of_now=True)) as connection,
        busy("" if sys.stdout.isatty() else f"Exporting {what} …"),
    ):
        rows = (
            kto(connection, tenure_days=settings.tenure_days)
            if format is Format.KTO
            else lines(connection, what, producer=settings.content_producer)
        )
        for line in rows:
            typer.echo(line)


Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]


@app.command()
def stats(
    days: Annotated[int, typer.Option(min=1, max=3650, help="How far back.")] = 30, as_json: Json = False
) -> None:
    """Print how texts were liked, by version, kind, day and emoji; works while the bot runs."""
    since = datetime.now(UTC) - timedelta(days=days)
    with _database(busily=not as_json) as connection:
        numbers = read_statistics(connection, since=since)
    if as_json:
        typer.echo(json.dumps(asdict(numbers), ensure_ascii=False))
        return
    console = Console(highlight=False)
    for title, counts in (("Version", numbers.versions), ("Kind", numbers.kinds), ("Day (UTC)", numbers.days)):
        console.print(_table(title, counts))
    total = f"{numbers.texts} texts and {numbers.ratings} ratings in {days} days."
    console.print(f"{total} {_in_words(numbers.emoji)}".rstrip())
    if numbers.unnamed:
        console.print(f"Counted by Telegram, nobody's in particular: {_in_words(numbers.unnamed)}")


@contextmanager
def _database(*, busily: bool) -> Iterator[sqlite3.Connection]:
    path = DataSettings.load().database_path
    with closing(open_for_reading(path, as_of_now=True)) as connection, busy("Counting …" if busily else ""):
        yield connection


def _table(title: str, counts: tuple[RatingCount, ...]) -> Table:
    heads = ("Texts", "Likes", "Dislikes", "Satisfaction", "95 %")
    table = Table(title, *(Column(head, justify="right") for head in heads))
    for count in counts:
        low, high = wilson_interval(count.likes, count.ratings)
        share = "" if count.share is None else f"{count.share:.0%}"
        interval = "" if count.share is None else f"{low:.0%} to {high:.0%}"
        table.add_row(count.label, str(count.texts), str(count.likes), str(count.dislikes), share, interval)
    return table


def _in_words(emoji: tuple[tuple[str, int], ...]) -> str:
    return "  ".join(f"{one} {times}" for one, times in emoji)


_HEAD_CHARACTERS = 1000


@app.command()
def report(
    output: Annotated[Path, typer.Option(dir_okay=False, help="The file; an earlier report is replaced.")] = Path(
        "ovation-report.html"
    ),
    days: Annotated[int, typer.Option(min=1, max=3650, help="How far back.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of writing the page.")] = False,
) -> None:
    """Write a page of what is liked and of every run with its curves, for a browser; works while the bot runs.

    One file that needs no network. Nothing that people wrote is in it.
    """
    settings = DataSettings.load()
    if not as_json and not _may_replace(output):
        give_up(f"{output} exists and is no report: name another file with --output.", status=2)
    since = datetime.now(UTC) - timedelta(days=days)
    with _database(busily=not as_json) as connection:
        overview = overview_in(connection, settings.data_dir, since=since)
    if as_json:
        typer.echo(json.dumps(object_of(overview), ensure_ascii=False))
        return
    with busy("Drawing the report …"):
        page = page_of(overview)
    try:
        _write(output, page)
    except OSError as error:
        give_up(f"{output} cannot be written: {error.strerror}.", status=1)
    typer.echo(output)


def _may_replace(file: Path) -> bool:
    """Whether nothing is lost by writing a file: it does not exist, or is an earlier report."""
    try:
        with file.open(encoding="utf-8") as present:
            return MARK in present.read(_HEAD_CHARACTERS)
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError):
        return False


def _write(file: Path, page: str) -> None:
    """Put a page in its place, completely or not at all."""
    attempt = file.with_name(f".{file.name}.attempt")
    try:
        attempt.write_text(page, encoding="utf-8")
        move_into_place(attempt, file)
    finally:
        attempt.unlink(missing_ok=True)
