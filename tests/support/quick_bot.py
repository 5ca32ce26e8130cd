"""`ovation run` with short waits, as a program: what a test waits for is then the work, not a clock."""

import typer

from bot.cli.run import start_bot
from bot.cli.terminal import explained
from bot.common.timing import Timing
from bot.messaging import messenger
from bot.telegram import inbox, sender

QUICK = Timing(
    counts=0.1,
    reaction_test=1.0,
    inline_quiet=0.3,
    taste_quiet=0.2,
    taste_longest=1.0,
    trial_look=0.3,
    progress=0.3,
    conflict=2.0,
    retry=0.2,
)

_PAUSE = 0.2
"""Before another try, wherever Telegram names no time; before an engine is asked again the pause stays what it is."""

_PAUSES = {
    messenger: ("_DEFAULT_PAUSE_SECONDS",),
    sender: ("_NETWORK_PAUSE_SECONDS",),
    inbox: ("_FIRST_PAUSE_SECONDS", "_LONGEST_PAUSE_SECONDS", "_RETRY_SECONDS"),
}


def _shorten_pauses() -> None:
    for module, names in _PAUSES.items():
        for name in names:
            assert hasattr(module, name), f"{module.__name__} has no {name} any more"
            setattr(module, name, _PAUSE)


def main() -> None:
    _shorten_pauses()
    with explained():
        start_bot(QUICK)


if __name__ == "__main__":
    typer.run(main)
