"""The `ovation` command: each subcommand reads settings, calls one function, turns errors into a sentence and a status.

Exit statuses: 0 done, 1 failed, 2 wrong use or configuration.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from bot import cli_data, cli_learning, cli_stats
from bot.cli_detect import detect
from bot.cli_generate import generate
from bot.cli_kinds import kinds
from bot.cli_models import models
from bot.cli_report import report
from bot.errors import OvationError, StartError
from bot.export import Format, What, kto, lines
from bot.keys import keys_of_data
from bot.log import set_up_logging
from bot.settings import data_settings, load_settings
from bot.terminal import busy, give_up, or_give_up
from bot.timing import USUAL, Timing
from storage.database import open_for_reading
from storage.errors import StorageError

app = typer.Typer(
    name="ovation",
    help="A Telegram bot that writes for a chat and learns every night from the reactions it gets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def run() -> None:
    """Run the bot with the settings from the environment and .env."""
    start_bot()


def start_bot(timing: Timing = USUAL) -> None:
    """`ovation run`; what cannot go on ends the process with a sentence and a status."""
    from bot.app import run as run_bot  # noqa: PLC0415 - the other commands start faster without it

    settings = or_give_up(load_settings)
    set_up_logging(settings.log_level, token=settings.telegram_bot_token.get_secret_value())
    try:
        asyncio.run(run_bot(settings, timing))
    except StartError as error:
        give_up(str(error), status=error.exit_status)
    except (OvationError, StorageError) as error:
        give_up(str(error), status=1)


@app.command()
def demo(  # noqa: PLR0913, PLR0917 - one argument for each option
    audience: Annotated[int, typer.Option(min=0, max=200, help="Simulated people with a hidden taste.")] = 0,
    nights: Annotated[int, typer.Option(min=1, max=30, help="How many nights they use the bot.")] = 3,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the web chat; 0 takes a free one.")] = 8080,
    once: Annotated[bool, typer.Option("--once", help="End after the last night, also in a terminal.")] = False,
    chart: Annotated[Path, typer.Option(help="Where the chart of satisfaction per night is written.")] = Path(
        "satisfaction.png"
    ),
    seed: Annotated[int, typer.Option(help="Another seed, another audience.")] = 1,
    taste: Annotated[
        str | None, typer.Option(help="What they like, such as brief or poetic; else by the seed.")
    ] = None,
    silence: Annotated[float, typer.Option(min=0, max=0.95, help="The share of them who never react.")] = 0.0,
    train_minutes: Annotated[float, typer.Option(min=0.1, max=60, help="How long each night may train.")] = 20.0,
    train_steps: Annotated[int, typer.Option(min=0, help="And how many steps in each stage; 0: as a bot's.")] = 16,
) -> None:
    """Try everything in a browser, without a token: the real bot against a local stand-in for Telegram."""
    from bot.sandbox.demo import Plan, run_demo  # noqa: PLC0415 - the same

    try:
        run_demo(
            Plan(
                audience=audience, nights=nights, port=port, once=once, chart=chart, seed=seed, taste=taste,
                silence=silence, train_minutes=train_minutes, train_steps=train_steps,
            )
        )  # fmt: skip
    except (OvationError, StorageError) as error:
        give_up(str(error), status=getattr(error, "exit_status", 1))


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


cli_data.register(app)
cli_learning.register(app)
cli_stats.register(app)
app.command()(generate)
app.command()(report)
app.command()(detect)
app.add_typer(kinds, name="kinds")
app.add_typer(models, name="models")


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
