"""`python -m bot` is `ovation run`."""

from bot.cli.__main__ import app

if __name__ == "__main__":
    app(["run"])
