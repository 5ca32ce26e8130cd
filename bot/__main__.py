"""`python -m bot` is `ovation run`."""

from bot.cli import app

if __name__ == "__main__":
    app(["run"])
