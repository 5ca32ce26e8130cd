"""`ovation run` with short waits, as a program: what a test waits for is then the work, not a clock."""

import typer

from bot.cli.run import start_bot
from bot.cli.terminal import explained
from bot.common.timing import Timing

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


def main() -> None:
    with explained():
        start_bot(QUICK)


if __name__ == "__main__":
    typer.run(main)
