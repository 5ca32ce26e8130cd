"""`ovation run`: the bot itself. The same rules as in `bot.cli`."""

import asyncio

import typer

from bot.cli.terminal import give_up, or_give_up
from bot.common.errors import OvationError, StartError
from bot.common.log import set_up_logging
from bot.common.settings import load_settings
from bot.common.timing import USUAL, Timing
from bot.start import run as run_bot
from storage.db.errors import StorageError

app = typer.Typer()


@app.command()
def run() -> None:
    """Run the bot with the settings from the environment and .env."""
    start_bot()


def start_bot(timing: Timing = USUAL) -> None:
    """`ovation run`; what cannot go on ends the process with a sentence and a status."""
    settings = or_give_up(load_settings)
    set_up_logging(settings.log_level, token=settings.telegram_bot_token.get_secret_value())
    try:
        asyncio.run(run_bot(settings, timing))
    except StartError as error:
        give_up(str(error), status=error.exit_status)
    except (OvationError, StorageError) as error:
        give_up(str(error), status=1)
