"""What ordinary people get: the hundred requests of `requests.toml` through the real bot, told by rules and by reading.

Each request is somebody's first, in a private chat, one after the other, and nobody has rated. What was delivered is
kept in a folder (`transcripts.json`); what is there already is not asked again. `to_read.md` lists the texts in an
order that does not tell which arm wrote them, and `judgements.csv` takes what a reader says: `serves` is yes or no.
The table counts the judgements that are there.
"""

import asyncio
import csv
import hashlib
import json
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import Progress

from benchmarks.judging import Verdict, judge
from benchmarks.pool import loadable
from benchmarks.stage import DISK, SETTINGS
from benchmarks.tables import Table, number, percentile
from bot.sandbox.bot_process import BotChild
from bot.sandbox.people.raters import without_footer
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, SeenMessage
from bot.sandbox.world.world import World
from engine.api.models import version_name

REQUESTS = Path(__file__).parent / "requests.toml"
TRANSCRIPTS, TO_READ, JUDGEMENTS = "transcripts.json", "to_read.md", "judgements.csv"
ARMS = ("smollm2:8", "smollm2:1", "starter:8")
"""A model and BEST_OF: the default, the same without a choice, and what the bot had before."""

FEW = 6
"""Requests for a quick look."""

_PATIENCE_SECONDS = 600.0
_QUIET_SECONDS = 5.0
"""A word of the bot's that is no text, such as a refusal, stands for so long before it counts as the answer."""
_REST_SECONDS = 0.5
"""For what of a text over several messages may still be under way."""
_JUDGED = ("key", "serves", "note")


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for."""

    id: str
    kind: str
    text: str
    language: str = "en"

    @property
    def message(self) -> str:
        """As it is typed: a command, or in private chat just the text."""
        return self.text.strip() if self.kind == "write" else f"/{self.kind} {self.text.strip()}"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What an arm answered to a request."""

    arm: str
    id: str
    shown: tuple[str, ...]
    """The bot's messages as people see them, with the footer under the last; none where nothing came."""
    seconds: float
    """From the request to the text with its buttons."""

    @property
    def text(self) -> str:
        """What the model wrote."""
        return "\n".join([*self.shown[:-1], *map(without_footer, self.shown[-1:])])

    @property
    def key(self) -> str:
        """What a judgement is about: this text for this request, whichever arm it came from."""
        return hashlib.sha256(f"{self.id}\n{self.text}".encode()).hexdigest()[:10]


def requests(count: int | None = None) -> list[Request]:
    """The requests of the file; `count` of them, spread over all, for a quick look."""
    rows = tomllib.loads(REQUESTS.read_text(encoding="utf-8"))["request"]
    everything = [Request(**row) for row in rows]
    return everything if count is None else everything[:: max(1, len(everything) // count)][:count]


def measure(arms: Sequence[str] = ARMS, *, count: int | None = None, folder: Path = Path("build/ordinary")) -> Table:
    """Ask what is not asked yet, write down what is to be read, and count."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, kept = requests(count), _read(folder)
    for arm in arms:
        done = {each.id for each in kept if each.arm == arm}
        if missing := [each for each in asked if each.id not in done]:
            asyncio.run(_ask(arm, missing, kept, folder))
    by_id = {request.id: request for request in asked}
    answers = [each for each in kept if each.arm in arms and each.id in by_id]
    judgements = _prepare_reading(folder, answers, by_id)
    return _table(arms, answers, by_id, judgements)


async def _ask(arm: str, missing: Sequence[Request], kept: list[Transcript], folder: Path) -> None:
    """A bot for this arm, which answers one request after the other."""
    model, _, best_of = arm.rpartition(":")
    settings = {**SETTINGS, "MODEL": loadable(model), "BEST_OF": best_of}
    with tempfile.TemporaryDirectory(dir=DISK) as name, Progress() as progress:
        async with Sandbox() as sandbox:
            bot = BotChild(sandbox, Path(name), settings)
            try:
                await bot.start()
                await _answer(sandbox.world, Request("", "write", "hello"))  # the engine's first is slow
                for request in progress.track(missing, description=arm):
                    shown, seconds = await _answer(sandbox.world, request)
                    kept.append(Transcript(arm, request.id, shown, seconds))
                    _write(folder, kept)
            finally:
                if bot.process is not None:
                    await bot.stop()


async def _answer(world: World, request: Request) -> tuple[tuple[str, ...], float]:
    """Somebody new asks; what they see in the end, and after how many seconds."""
    person = world.add_person("Somebody", request.language)
    chat = world.private_chat(person)
    asked, began = world.say(person, chat, request.message), time.monotonic()
    try:
        await world.until(lambda: _is_answered(world, asked), _PATIENCE_SECONDS)
    except TimeoutError:
        return (), time.monotonic() - began
    seconds = time.monotonic() - began
    await asyncio.sleep(_REST_SECONDS)
    return tuple(each.text for each in _bots(world, chat)), seconds


def _is_answered(world: World, asked: SeenMessage) -> bool:
    """A text with its buttons, or a word of the bot's that is not followed by a text."""
    said = _bots(world, asked.chat)
    if any(each.button("up:") for each in said):
        return True
    is_writing = any(each.button("stop:") or each.text.startswith("⏳") for each in said)
    waited = (world.state.clock() - asked.date).total_seconds()
    return bool(said) and not is_writing and waited > _QUIET_SECONDS


def _bots(world: World, chat: Chat) -> list[SeenMessage]:
    return [each for each in world.messages(chat) if world.state.is_bots(each)]


def _read(folder: Path) -> list[Transcript]:
    file = folder / TRANSCRIPTS
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return [Transcript(row["arm"], row["id"], tuple(row["shown"]), row["seconds"]) for row in rows]


def _write(folder: Path, kept: Sequence[Transcript]) -> None:
    rows = [asdict(each) for each in kept]
    (folder / TRANSCRIPTS).write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")


def _prepare_reading(
    folder: Path, answers: Sequence[Transcript], by_id: Mapping[str, Request]
) -> dict[str, tuple[str, str]]:
    """Write the list to read and a line a text for the reader; what they have said so far, (serves, note) by key."""
    file = folder / JUDGEMENTS
    said: dict[str, tuple[str, str]] = {}
    if file.exists():
        with file.open(encoding="utf-8", newline="") as lines:
            said = {row["key"]: (row["serves"].strip().lower(), row["note"]) for row in csv.DictReader(lines)}
    texts = sorted({each.key: each for each in answers}.values(), key=lambda each: (each.id, each.key))
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(_JUDGED)
        unread = [(each.key, "", "") for each in texts if each.key not in said]
        writer.writerows([*((key, *words) for key, words in said.items()), *unread])
    parts = [
        f"## {each.key}\n\n> {_quoted(by_id[each.id].message)}\n\n{each.text or '(nothing came)'}\n" for each in texts
    ]
    (folder / TO_READ).write_text("\n".join(parts), encoding="utf-8")
    return said


def _quoted(text: str) -> str:
    return text.replace("\n", "\n> ")


def _table(
    arms: Sequence[str],
    answers: Sequence[Transcript],
    by_id: Mapping[str, Request],
    judgements: Mapping[str, tuple[str, str]],
) -> Table:
    rows: list[list[str]] = []
    for language, name in (("en", "English"), ("zh", "Chinese")):
        own = [each for each in answers if by_id[each.id].language == language]
        if own:
            columns = [_column([each for each in own if each.arm == arm], by_id, judgements) for arm in arms]
            rows += [
                [f"{name}: {label}", *(column[label] for column in columns), goal if language == "en" else ""]
                for label, goal in _GOALS.items()
            ]
    note = (
        f"{len(by_id)} requests of `benchmarks/requests.toml`, written before any was run, through the real bot,"
        " against the stand-in for Telegram, one after the other, each from somebody new; nobody has rated."
        " Told by `benchmarks/judging.py`, which knows nothing of the bot's own rules; whether a text"
        " serves the request was judged by reading, without knowing the arm."
    )
    return Table("Ordinary requests", note, ["", *map(_named, arms), "goal"], rows)


def _named(arm: str) -> str:
    model, _, best_of = arm.rpartition(":")
    return f"{version_name(model)}, BEST_OF={best_of}"


_RULES: Mapping[str, Callable[[Verdict], bool]] = {
    "finished": lambda verdict: verdict.finished,
    "loops": lambda verdict: verdict.loops,
    "talks about the task": lambda verdict: verdict.talks_of_task,
    "names a word of the topic": lambda verdict: verdict.names_topic,
    "a link, address or number that nobody gave": lambda verdict: verdict.invents,
    "blanks such as [Your Name]": lambda verdict: verdict.has_blanks,
}
_GOALS: Mapping[str, str] = {
    "texts": "",
    "finished": "≥ 98 %",
    "loops": "≤ 2 %",
    "talks about the task": "≤ 3 %",
    "serves the request, by reading": "≥ 80 %",
    "names a word of the topic": "",
    "a link, address or number that nobody gave": "",
    "blanks such as [Your Name]": "",
    "seconds to the whole text: median; p95": "",
    "words: median; p95": "",
}


def _column(
    answers: Sequence[Transcript], by_id: Mapping[str, Request], judgements: Mapping[str, tuple[str, str]]
) -> dict[str, str]:
    """One arm's figures in one language, by the names of `_GOALS`."""
    if not answers:
        return dict.fromkeys(_GOALS, "–")
    verdicts = [judge(each.text, kind=by_id[each.id].kind, request=by_id[each.id].text) for each in answers]
    read = [serves for each in answers if (serves := judgements.get(each.key, ("", ""))[0]) in ("yes", "no")]
    seconds, words = [each.seconds for each in answers], [len(each.text.split()) for each in answers]
    column = {label: f"{sum(map(rule, verdicts)) / len(verdicts):.0%}" for label, rule in _RULES.items()}
    column["texts"] = str(len(answers))
    column["serves the request, by reading"] = (
        f"{read.count('yes') / len(read):.0%}" + (f" of {len(read)} read" if len(read) < len(answers) else "")
        if read
        else "not read yet"
    )
    column["seconds to the whole text: median; p95"] = (
        f"{statistics.median(seconds):.1f}; {percentile(seconds, 95):.1f}"
    )
    column["words: median; p95"] = f"{number(statistics.median(words))}; {number(percentile(words, 95))}"
    return column
