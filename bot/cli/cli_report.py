"""The operator's page: report, also while the bot runs. The same rules as in `bot.cli`."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.terminal import busy, give_up, or_give_up
from bot.common.settings import data_settings
from bot.reporting.overview import MARK, object_of, overview_in, page_of
from storage.db.database import open_for_reading
from storage.db.durable import give_name

_HEAD_CHARACTERS = 1000

app = typer.Typer()


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
    settings = or_give_up(data_settings)
    if not as_json and not _may_replace(output):
        give_up(f"{output} is there and is no report: name another file with --output.", status=2)
    since = datetime.now(UTC) - timedelta(days=days)
    with (
        closing(or_give_up(lambda: open_for_reading(settings.database_path))) as connection,
        busy("" if as_json else "Counting …"),
    ):
        overview = overview_in(connection, settings.data_dir, since=since)
    if as_json:
        typer.echo(json.dumps(object_of(overview), ensure_ascii=False))
        return
    page = or_give_up(lambda: page_of(overview), "Drawing the report …")
    try:
        _write(output, page)
    except OSError as error:
        give_up(f"{output} cannot be written: {error.strerror}.", status=1)
    typer.echo(output)


def _may_replace(file: Path) -> bool:
    """Whether nothing is lost by writing a file: it is not there, or a report of before."""
    try:
        with file.open(encoding="utf-8") as present:
            return MARK in present.read(_HEAD_CHARACTERS)
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError):
        return False


def _write(file: Path, page: str) -> None:
    """Put a page in its place, whole or not at all."""
    attempt = file.with_name(f".{file.name}.attempt")
    try:
        attempt.write_text(page, encoding="utf-8")
        give_name(attempt, file)
    finally:
        attempt.unlink(missing_ok=True)
