"""Texts at the terminal: `ovation generate` writes them, `detect` looks for their mark, `kinds` checks the kinds."""

import asyncio
import json
import logging
import random
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.completion import kind_names, version_names
from bot.cli.terminal import busy, give_up, ready_model, say_on_stderr
from bot.common.i18n import say
from bot.common.keys import open_existing_keys
from bot.common.kinds import SHIPPED, InvalidKinds, language_of_topic, load_kinds
from bot.common.settings import DataSettings, OfflineSettings, Settings, computing_environment
from bot.common.text import beginning, sanitize
from bot.generation.offline import OfflineRequest, OfflineWriter, Withheld, open_offline_writer
from bot.moderation.provenance import LIKELY, aigc
from bot.serving.base_model import chosen
from bot.serving.engine_process import with_model
from engine.api import models
from engine.api.types import MAX_NEW_TOKENS, WrittenText
from engine.data.dataset import json_line
from recipes.latent.skeletons import unseen_words
from storage.db.keyring import WATERMARK

app = typer.Typer()


@app.command()
def generate(
    topic: Annotated[str, typer.Argument(help="What it is to be about.")],
    kind: Annotated[
        str | None, typer.Option(help="slogan, poem and so on; else the one for plain text.", autocompletion=kind_names)
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Which version writes; else the champion.", autocompletion=version_names)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Another model than MODEL, as its base writes: smollm2, starter, vae, gan, a folder, a .gguf file or a"
            " hub id.",
            autocompletion=lambda: [models.SMOLLM2, *models.SHIPPED],
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="0: the likeliest words; else as the kind has it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="The same seed, the same text.")] = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="How many texts, with seeds one after the other.")] = 1,
    max_length: Annotated[
        int | None, typer.Option(min=1, max=MAX_NEW_TOKENS, help="In tokens; else as long as the kind may be.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each text.")] = False,
) -> None:
    """Write about a topic, at the terminal; works while the bot runs, and nothing is stored.

    With the engine at ENGINE_URL, or else, and always with --model, with one that is started for it. Needs no token.
    """
    if model is not None and version is not None:
        give_up("A version belongs to MODEL: give --version or --model, not both.", status=2)
    settings: Settings = OfflineSettings.load()
    if model is not None:
        settings, version = with_model(settings, model), models.version_name(model)
    settings = chosen(settings, say_on_stderr)
    request = _request(settings, topic, kind)
    settings = ready_model(settings)
    if strange := unseen_words(settings.model, request.topic):
        say_on_stderr(
            f"{settings.model} has learned nothing about {', '.join(strange)}: the text may not fit the topic."
        )
    first = random.randrange(2**31 - count) if seed is None else seed
    request = replace(request, temperature=temperature, max_tokens=max_length)
    requests = [replace(request, seed=(first + number) % 2**31) for number in range(count)]
    logging.getLogger("bot").addHandler(logging.NullHandler())  # what goes wrong is told in one sentence
    if asyncio.run(_write(settings, version, requests, as_json=as_json)):
        raise typer.Exit(1)


def _request(settings: Settings, topic: str, kind: str | None) -> OfflineRequest:
    """The request, once it is fit to be one."""
    kinds = settings.kinds
    with suppress(UnicodeError):  # UTF-8 that the locale could not read
        topic = topic.encode("utf-8", "surrogateescape").decode("utf-8")
    topic = sanitize(topic)
    if not topic:
        give_up('What about? Write it after the command: ovation generate "green tea".', status=2)
    if kind is not None and kind not in kinds.by_name:
        give_up(f"There is no kind {kind!r}: choose one of {', '.join(kinds.by_name)}.", status=2)
    asked = kinds.default if kind is None else kinds.by_name[kind]
    if language_of_topic(topic) not in asked.languages:
        give_up(say("en", "prompt-language", writes=asked.languages[0]), status=2)
    if len(topic) > (limit := asked.most_characters(topic)):
        if asked.takes == "topic":
            give_up(say("en", "prompt-too-long", length=len(topic), limit=limit), status=2)
        read = beginning(topic, limit)
        say_on_stderr(say("en", "text-cut", kept=len(read), length=len(topic)))
        topic = read
    return OfflineRequest(topic=topic, kind=asked, seed=0)


async def _write(settings: Settings, version: str | None, requests: list[OfflineRequest], *, as_json: bool) -> int:
    """Write and print every text; returns how many are withheld."""
    withheld = 0
    async with AsyncExitStack() as stack:
        with busy("" if as_json else f"Loading {models.version_name(settings.model)} …"):
            writer = await stack.enter_async_context(open_offline_writer(settings, version))
        kinds = settings.kinds_for(writer.base)
        for number, asked in enumerate(requests):
            request = replace(asked, kind=kinds.named(asked.kind.name))
            try:
                if as_json:
                    typer.echo(_line(settings, writer.version, request, await writer.write(request)))
                else:
                    await _print(settings, writer, request, is_first=number == 0)
            except Withheld as error:
                say_on_stderr(str(error))
                withheld += 1
    return withheld


async def _print(settings: Settings, writer: OfflineWriter, request: OfflineRequest, *, is_first: bool) -> None:
    """Print a text once it is chosen, and known to be fit."""
    if not is_first:
        typer.echo()
    with busy("Writing …"):
        written = await writer.write(request)
    typer.echo(written.text)
    typer.echo(f"\n{settings.label} · {writer.version} · seed {request.seed}")


def _line(settings: Settings, version: str, request: OfflineRequest, written: WrittenText) -> str:
    told = {
        "text": written.text, "kind": request.kind.name, "topic": request.topic, "version": version,
        "seed": request.seed, "temperature": request.sampling.temperature, "tokens": written.tokens,
        "finish_reason": written.finish_reason, "label": settings.label,
        "AIGC": aigc(settings.content_producer, f"{version}-{request.seed}"),
    }  # fmt: skip
    return json_line(told)


@app.command()
def detect(
    file: Annotated[Path, typer.Argument(help="A text file, UTF-8; - reads standard input.")] = Path("-"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a sentence.")] = False,
) -> None:
    """Say whether a text carries the watermark of this installation (WATERMARK=on); works while the bot runs.

    An unmarked text is taken for a marked one in 1 of 100 cases. Short, changed or translated texts show nothing.
    """
    try:
        text = (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        give_up(f"{file} cannot be read as UTF-8 text: name a text file, or - for standard input.", status=2)
    settings = ready_model(DataSettings.load())
    key = open_existing_keys(settings).keyring.key(WATERMARK).hex()
    asked = json.dumps({"model": settings.model, "keys": [key], "text": text})
    with busy("" if as_json else "Looking for the watermark …"):
        program = [sys.executable, "-m", "engine.inference.watermark"]
        done = subprocess.run(
            program,
            input=asked,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env=computing_environment(),
        )
    if done.returncode:
        give_up((done.stderr.strip().splitlines() or ["The text could not be looked at."])[-1], status=1)
    found = json.loads(done.stdout)
    p_value = found["p_value"]
    is_marked = p_value is not None and p_value < LIKELY
    if as_json:
        typer.echo(json.dumps(found | {"marked": is_marked}))
    elif p_value is None:
        typer.echo(f"Too short to tell: {found['tokens']} tokens can be looked at, and it takes 20.")
    else:
        verdict = "Marked" if is_marked else "No watermark"
        typer.echo(f"{verdict}: p = {p_value:.2g} over {found['tokens']} tokens.")


kinds = typer.Typer(help="What people can ask for (KINDS_FILE).", no_args_is_help=True)
app.add_typer(kinds, name="kinds")


@kinds.command()
def check(
    file: Annotated[Path, typer.Argument(help="A file of kinds; without it, the shipped one.")] = SHIPPED,
) -> None:
    """Say what is wrong in a file of kinds, with lines; nothing is changed."""
    try:
        read = load_kinds(file)
    except InvalidKinds as error:
        give_up("\n".join(error.faults), status=1)
    names = ", ".join(f"/{name}" for name in read.by_name)
    typer.echo(f"{file} is right: {names}. Plain text is for /{read.default.name}.")
