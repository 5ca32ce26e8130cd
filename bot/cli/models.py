"""`ovation models`: the versions that there are, and models side by side."""

import json
import logging
from contextlib import closing, suppress
from dataclasses import asdict, replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from bot.cli.terminal import busy, make_folder, progress_bar, ready_model, say_on_stderr
from bot.common.errors import OvationError
from bot.common.settings import DataSettings, OfflineSettings
from bot.sandbox.people.tastes import TASTES
from recipes.grammar import TOPIC_KINDS
from storage.db.database import open_for_reading
from storage.tables import versions

if TYPE_CHECKING:
    from bot.cli.comparison import ComparisonPlan

app = typer.Typer()
models = typer.Typer(help="The versions, and models side by side.", invoke_without_command=True)
app.add_typer(models, name="models")


@models.callback()
def list_versions(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Print the versions, newest first, and which of them serves; works while the bot runs."""
    if context.invoked_subcommand is not None:
        return
    with closing(open_for_reading(DataSettings.load().database_path)) as connection:
        found = versions.of_base(connection, None)
    if as_json:
        typer.echo(json.dumps([asdict(version) for version in found], default=str))
        return
    table = Table("Version", "Base", "Run", "State", "Made (UTC)", "Fate")
    for version in found:
        fate = "destroyed" if version.destroyed_at else "tainted" if version.tainted_at else ""
        made = f"{version.created_at.astimezone(UTC):%Y-%m-%d %H:%M}"
        run = "" if version.run is None else str(version.run)
        table.add_row(version.name, version.base, run, version.state, made, fate)
    Console(highlight=False).print(table)


@models.command("list")
def list_models(
    is_to_measure: Annotated[
        bool, typer.Option("--measure", help="Measure those that have not been, half a minute each and more.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Print the models that can be used on this machine, with size, memory, speed and the length of a night."""
    from bot.serving.usable_models import measure, usable_models  # noqa: PLC0415 - the other commands start faster

    settings = DataSettings.load()
    for model in usable_models(settings) if is_to_measure else ():
        if model.measured is None and model.fault is None:
            with busy("" if as_json else f"Measuring {model.source} …"):
                try:
                    measure(model.source, settings)
                except OvationError as error:
                    say_on_stderr(str(error))
    found = usable_models(settings)
    nights = [_night(model.source, is_measured=model.measured is not None) for model in found]
    if as_json:
        rows = [asdict(model) | {"night_minutes": night} for model, night in zip(found, nights, strict=True)]
        typer.echo(json.dumps(rows))
        return
    table = Table("MODEL=", "Is", "Parameters", "Files", "Memory", "Tokens a second", "A night")
    for model, night in zip(found, nights, strict=True):
        size, speeds = model.size, model.measured
        sizes = ("", "") if size is None else (f"{size.parameters / 1e6:,.1f} M", f"{size.megabytes:,.0f} MB")
        if speeds is None:
            measured = ("not measured",) * 3
        else:
            takes = "" if night is None else f"{night:,.0f} min"
            measured = (f"{speeds['memory_mb']:,.0f} MiB", f"{speeds['sample_tokens_per_second']:,.0f}", takes)
        style = "bold" if model.is_chosen else ""
        table.add_row(
            model.source, model.fault or model.place, *sizes, *(("",) * 3 if model.fault else measured), style=style
        )
    table.caption = "Bold: what the next start takes. A night: of 400 ratings, with TRAIN_MINUTES as it is set."
    Console(highlight=False).print(table)


def _night(source: str, *, is_measured: bool) -> float | None:
    """How long a night of this model would take, in minutes; None where that is not known."""
    from bot.learning.forecast import forecast, measured  # noqa: PLC0415 - the other commands start faster without it

    settings = OfflineSettings.load().model_copy(update={"model": source})
    speeds = measured(settings) if is_measured else None
    return None if speeds is None else round(forecast(settings, speeds).minutes, 1)


@models.command("compare")
def compare_models(
    names: Annotated[
        str,
        typer.Option(
            "--models", help="Which, with commas: smollm2, starter, vae, gan, folders, .gguf files or hub ids."
        ),
    ] = "",
    kind: Annotated[str, typer.Option(help="What they write.", autocompletion=lambda: list(TOPIC_KINDS))] = "slogan",
    texts: Annotated[int, typer.Option(min=4, max=5000, help="How many of each model are measured.")] = 200,
    nights: Annotated[int, typer.Option(min=0, max=3, help="How many nights each learns.")] = 3,
    ratings: Annotated[int, typer.Option(min=1, max=5000, help="How many texts are rated before each night.")] = 400,
    taste: Annotated[
        str, typer.Option(help="What the people like, such as lively or brief.", autocompletion=lambda: list(TASTES))
    ] = "lively",
    out: Annotated[Path, typer.Option(help="A new folder for the table and the pictures.")] = Path("comparison"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other topics, words and people.")] = 1,
) -> None:
    """Measure models side by side: form, diversity, memory, speed, and how simulated people like them night by night.

    Needs no token and touches no data; every number has a note. A night of the small generators takes a minute or two,
    one of the starter about ten; `--nights 0` leaves them out.
    """
    from bot.cli.comparison import plan_for  # noqa: PLC0415 - the other commands start faster without it

    settings = DataSettings.load()
    sources = [name.strip() for name in names.split(",")] if names else []
    ready = [name and ready_model(settings.model_copy(update={"model": name})).model for name in sources]
    plan = plan_for(ready, kind=kind, taste=taste)
    plan = replace(plan, texts=texts, nights=nights, ratings=ratings, seed=seed)
    make_folder(out)
    logging.getLogger("bot").addHandler(logging.NullHandler())  # what goes wrong is told in one sentence
    try:
        _compare(plan, out)
    finally:
        with suppress(OSError):
            out.rmdir()  # where nothing has come of it


def _compare(plan: "ComparisonPlan", out: Path) -> None:
    """Compare with a bar that follows; write what came of it, and print the table."""
    from bot.cli import comparison_report as shown  # noqa: PLC0415 - the same
    from bot.cli.comparison import compare  # noqa: PLC0415

    with progress_bar("Loading …") as move:
        asks, results = compare(plan, lambda words, share: move(description=words, completed=share))
        move(description="Done.", completed=1.0)
    (out / "comparison.json").write_text(shown.as_json(plan, asks, results), encoding="utf-8")
    (out / "comparison.md").write_text(shown.markdown(plan, results), encoding="utf-8")
    (out / "satisfaction.png").write_bytes(shown.draw_satisfaction(plan, results))
    (out / "quality-diversity.png").write_bytes(shown.draw_quality(results))
    Console(highlight=False).print(shown.table(plan, results))
    typer.echo(f"What each number means, and the pictures: {out / 'comparison.md'}")
