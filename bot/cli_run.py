"""`ovation run`: the bot itself. The same rules as in `bot.cli`."""

import asyncio

import typer

from bot.errors import OvationError, StartError
from bot.log import set_up_logging
from bot.settings import load_settings
from bot.start import run as run_bot
from bot.terminal import give_up, or_give_up
from bot.timing import USUAL, Timing
from storage.errors import StorageError

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
