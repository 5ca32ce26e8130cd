"""`python -m bot` is `ovation run`."""

from bot.cli.__main__ import main

if __name__ == "__main__":
    main(["run"])
