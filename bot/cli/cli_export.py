"""`ovation export`: what is stored, also while the bot runs. The same rules as in `bot.cli`."""

import sys
from typing import Annotated

import typer

from bot.cli.terminal import busy, give_up, or_give_up
from bot.common.keys import keys_of_data
from bot.common.settings import data_settings
from bot.reporting.export import Format, What, kto, lines
from storage.db.database import open_for_reading

app = typer.Typer()


@app.command()
def export(
    what: Annotated[What, typer.Argument(help="ratings, generations or runs.")],
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option(help="jsonl: one JSON object a line; kto: ratings as TRL's KTO learns from them.")
    ] = Format.JSONL,
) -> None:
    """Print what is stored, one object a line; works while the bot runs.

    With `--format kto`: the texts whose author and raters agree to learning, each with the label of all its ratings.
    """
    if format is Format.KTO and what is not What.RATINGS:
        give_up(f"Only ratings can be had as kto: use --format jsonl for {what}.", status=2)
    settings = or_give_up(data_settings)
    keys = or_give_up(lambda: keys_of_data(settings))
    connection = or_give_up(lambda: open_for_reading(settings.database_path, keys.keyring))
    try:
        with busy("" if sys.stdout.isatty() else f"Exporting {what} …"):
            rows = (
                kto(connection, tenure_days=settings.tenure_days)
                if format is Format.KTO
                else lines(connection, what, producer=settings.content_producer)
            )
            for line in rows:
                typer.echo(line)
    finally:
        connection.close()
