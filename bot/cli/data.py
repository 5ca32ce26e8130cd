"""The operator's commands for the data: doctor, backup, restore, forget, keys."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bot.cli.terminal import busy, confirm, give_up
from bot.common.keys import open_keys
from bot.common.settings import DataSettings
from bot.operations.backups import Backups, restore_backup, rotate_master_key
from bot.operations.doctor import diagnose, exit_status
from bot.operations.machine import Finding
from bot.privacy.erasure import erase_offline, pseudonym_of
from storage.backup import backup as backup_file
from storage.privacy.erasure import Erased

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

app = typer.Typer()
keys = typer.Typer(help="The keys of the texts.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of a table.")] = False,
) -> None:
    """Check settings, machine, database, versions and backups; works while the bot runs."""
    with busy("" if as_json else "Checking …"):
        findings = diagnose()
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        Console(highlight=False).print(_table(findings))
    raise typer.Exit(exit_status(findings))


@app.command()
def backup(
    to: Annotated[Path | None, typer.Option(help="A new file, instead of one in DATA_DIR/backups.")] = None,
) -> None:
    """Make a backup of the database and print where it is; works while the bot runs.

    The master key (KEY_FILE), DATA_DIR/keyring.jsonl, DATA_DIR/versions and DATA_DIR/tombstones.jsonl are not in it:
    copy them too. A copy of the keyring lies beside the backups in DATA_DIR/backups.
    """
    settings = DataSettings.load()
    with busy("Making a backup …"):
        if to is None:
            to = asyncio.run(Backups(settings, open_keys(settings)).make())
        else:
            backup_file.create_at(settings.database_path, to)
    typer.echo(to)


@app.command()
def restore(file: Annotated[Path, typer.Argument(help="A backup.")], yes: Yes = False) -> None:
    """Put a backup in the database's place, while the bot is stopped; the present one is kept."""
    settings = DataSettings.load()
    with busy("Checking the backup …"):
        backup_file.verify(file)
    confirm(f"Replace {settings.database_path} with {file}?", yes=yes)
    with busy("Restoring …"):
        done = asyncio.run(restore_backup(settings, file))
    typer.echo(f"{file} is restored.")
    if done.safety_copy is not None:
        typer.echo(f"A backup of the previous database: {done.safety_copy}.")
    if done.put_aside is not None:
        typer.echo(f"The previous database is kept at {done.put_aside}: delete it once nothing is missing.")
    typer.echo(f"Erased again: {_told(done.erased)}.")
    if done.versions_aside:
        typer.echo(f"Versions made after the backup no longer serve: {', '.join(done.versions_aside)}.")


@app.command()
def forget(
    person: Annotated[str, typer.Argument(help="A numeric Telegram id, or a pseudonym from an export.")],
    yes: Yes = False,
) -> None:
    """Erase everything of a person from the database and its backups, while the bot is stopped."""
    settings = DataSettings.load()
    pseudonym = pseudonym_of(settings, person)
    if pseudonym is None:
        give_up(f"{person!r} is nobody: give a numeric Telegram id, or a pseudonym of 32 letters and digits.", status=2)
    confirm(f"Erase everything of {person} for good?", yes=yes)
    with busy("Erasing, in the backups too …"):
        erased, scrubbed = asyncio.run(erase_offline(settings, pseudonym))
    typer.echo(f"Erased: {_told(erased)}.")
    typer.echo(f"Backups rewritten: {len(scrubbed.rewritten)}.")
    if erased.runs:
        runs = ", ".join(map(str, erased.runs))
        typer.echo(f"Runs that had learned from them: {runs}; the next run starts from the base without them.")
    if scrubbed.unreadable:
        files = ", ".join(map(str, scrubbed.unreadable))
        give_up(f"These are damaged and may still hold what was erased: {files}. Delete them.", status=1)


@keys.command("rotate")
def rotate_keys() -> None:
    """Make a new master key (KEY_FILE) and wrap every person's key by it, while the bot is stopped.

    No text is touched. Copy the new KEY_FILE, and the keyring beside the backups, to where you keep the old ones.
    """
    settings = DataSettings.load()
    with busy("Rewrapping every key …"):
        asyncio.run(rotate_master_key(settings))
    typer.echo(f"{settings.key_path} is a new key, and {settings.keyring_path} is wrapped by it: replace your copies.")


def _told(erased: Erased) -> str:
    return f"{len(erased.generations)} texts, {erased.ratings} ratings, {erased.consents} opt-ins"


def _table(findings: list[Finding]) -> Table:
    table = Table("Check", "State", Column("What it says", overflow="fold"), box=None, pad_edge=False)
    for finding in findings:
        table.add_row(finding.check, f"[{_STYLES[finding.state]}]{finding.state}[/]", Text(finding.says))
    return table
