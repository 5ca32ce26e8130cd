"""How soon people see something: the placeholder, the first words, the whole text, with ten of them asking at once; and
how soon a text is stopped. Of a larger model: one person alone, and eight at once.

Told from the moment of the prompt by the calls as they reach the stand-in; nothing is asked of the bot.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from transformers import AutoTokenizer

from benchmarks.stage import Engine, Stage, running_engine, staged
from benchmarks.tables import Row, Table, middle, number, percentile
from bot.sandbox.api.faults import FloodLimits
from bot.sandbox.api.server import Call
from bot.sandbox.people.raters import without_footer
from bot.sandbox.world.records import Person, SeenMessage
from bot.sandbox.world.world import World
from engine.api.models import resolve_model, version_name

PEOPLE = 10
ROUNDS = 20
STOPS = 20
ALONE, CROWD, CROWD_ROUNDS = 20, 8, 5
"""Of a larger model: a person's posts one after the other; how many ask at once, and how often."""
_WARM_ROUNDS = 2
_PAUSE_SECONDS = 5.0
"""Between two rounds, so that no limit of Telegram's is near."""
_LONGEST_SECONDS = 600.0
_PROMPTS = ("/story a night train", "/poem autumn rain", "/post our library", "/slogan green tea", "/pitch a bakery")


_POSTS = (
    "/post our choir looks for tenors", "/post the library opens on Sundays", "/post a thank you to all helpers",
    "/post the new playground is ready", "/post a cooking evening in May",
)  # fmt: skip
_POST_TOKENS = 80


@dataclass(slots=True)
class Waits:
    """Seconds from each prompt to what came of it."""

    placeholder: list[float] = field(default_factory=list)
    words: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    stopped: list[float] = field(default_factory=list)
    """From the press of ⏹ until the message says so."""
    texts: list[str] = field(default_factory=list)
    """What was written, in the order of the others."""


def measure() -> Table:
    """Rounds of ten prompts at once, with Telegram's limits kept."""
    waits = asyncio.run(_measure())
    rows = [
        _row("until the placeholder", waits.placeholder, "p95 ≤ 150"),
        _row("until the first words of the answer", waits.words, "p95 ≤ 1,000"),
        _row("until the whole text, with its buttons", waits.whole, ""),
        _row(f"from ⏹ until it has stopped ({STOPS} texts, one after the other)", waits.stopped, "≤ 1,000"),
    ]
    note = (
        f"{PEOPLE} people prompt at the same moment, each in private, {ROUNDS} times; the starter, against the stand-in"
        " on loopback, with Telegram's limits kept. From the prompt to the arrival of the call that shows it."
    )
    return Table("First words", note, ["from the prompt", "measured", "goal"], rows)


def measure_model(model: str, few: bool) -> Table:
    """One person's posts, and eight people at once, with the bot's own settings."""
    alone, rounds = asyncio.run(_of_a_model(model, *((2, 1) if few else (ALONE, CROWD_ROUNDS))))
    tokenizer = AutoTokenizer.from_pretrained(resolve_model(model))
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in alone.texts]
    of_80 = [
        _POST_TOKENS * whole / length
        for whole, length in zip(alone.whole, lengths, strict=True)
        if length >= _POST_TOKENS / 2
    ]
    slowest = [max(waits.whole) for waits in rounds]
    rows = [
        ("one person's post: first words, s: median; p95", _seconds(alone.words), "≤ 2"),
        ("… the whole text, s: median; p95", _seconds(alone.whole), "≤ 8"),
        ("… its tokens: median; p95", _seconds([float(length) for length in lengths]), ""),
        (
            f"… seconds for {_POST_TOKENS} tokens, by the posts of half as many or more: median; p95",
            _seconds(of_80),
            "≤ 8",
        ),
        (f"{CROWD} people at once: first words, s: median; p95", _seconds([s for w in rounds for s in w.words]), ""),
        ("… the whole text, s: median; p95", _seconds([s for w in rounds for s in w.whole]), ""),
        (f"… the slowest of the {CROWD}, s, in {len(rounds)} rounds", middle(slowest), "≤ 25"),
    ]
    note = (
        f"{version_name(model)} through the bot with its default settings, against the stand-in on loopback, with"
        f" Telegram's limits kept; {len(alone.texts)} posts of one person, one after the other, then {CROWD} people who"
        " ask at the same moment for different things. From the prompt to the arrival of the call that shows it."
    )
    return Table(f"First words of {version_name(model)}", note, ["from the prompt", "measured", "goal"], rows)


async def _of_a_model(model: str, posts: int, times: int) -> tuple[Waits, list[Waits]]:
    alone, rounds = Waits(), [Waits() for _ in range(times)]
    async with running_engine(model) as engine, staged(engine, flood_limits=FloodLimits()) as stage:
        await stage.bot.start()
        people = [stage.sandbox.world.add_person(f"Person {place}") for place in range(CROWD)]
        await _ask_at_once(stage, Waits(), people[:1], _POSTS)
        for turn in range(posts):
            await _ask_at_once(stage, alone, people[:1], [_POSTS[turn % len(_POSTS)]])
        for turn, waits in enumerate(rounds):
            asked = [(*_PROMPTS, *_POSTS)[(turn + place) % (len(_PROMPTS) + len(_POSTS))] for place in range(CROWD)]
            await _ask_at_once(stage, waits, people, asked)
    return alone, rounds


async def _ask_at_once(stage: Stage, waits: Waits, people: Sequence[Person], prompts: Sequence[str]) -> None:
    """A prompt from everybody; what each had to wait, once all have their texts."""
    world, began = stage.sandbox.world, datetime.now(UTC)
    asked = [
        world.say(person, world.private_chat(person), prompt) for person, prompt in zip(people, prompts, strict=False)
    ]
    await world.until(partial(_are_answered, world, asked), _LONGEST_SECONDS)
    for one in asked:
        _take(waits, stage.sandbox.calls, one, began)
        waits.texts.append(without_footer(next(a.text for a in world.answers(one) if a.button("up:"))))
    await asyncio.sleep(_PAUSE_SECONDS)


def _seconds(values: Sequence[float]) -> str:
    return "; ".join(number(percentile(values, percent)) for percent in (50, 95)) if values else "–"


def _row(name: str, seconds: Sequence[float], goal: str) -> Row:
    median, most = (number(1000 * percentile(seconds, percent)) for percent in (50, 95))
    return f"{name}, ms: median; p95", f"{median}; {most}", goal


async def _measure() -> Waits:
    async with running_engine() as engine:
        return await _rounds(engine)


async def _rounds(engine: Engine) -> Waits:
    waits = Waits()
    async with staged(engine, flood_limits=FloodLimits()) as stage:
        await stage.bot.start()
        world = stage.sandbox.world
        people = [world.add_person(f"Person {place}") for place in range(PEOPLE)]
        for turn in range(_WARM_ROUNDS + ROUNDS):
            asked = [_PROMPTS[(turn + place) % len(_PROMPTS)] for place in range(PEOPLE)]
            await _ask_at_once(stage, waits if turn >= _WARM_ROUNDS else Waits(), people, asked)
        for _ in range(STOPS):
            await _stop(waits, world, people[0])
            await asyncio.sleep(_PAUSE_SECONDS)
    return waits


async def _stop(waits: Waits, world: World, person: Person) -> None:
    """Stop a text as soon as it can be."""
    asked = world.say(person, world.private_chat(person), "/story the lighthouse, told slowly")

    def button() -> tuple[SeenMessage, str] | None:
        found = ((answer, answer.button("stop:")) for answer in world.answers(asked))
        return next(((answer, stop.callback_data or "") for answer, stop in found if stop is not None), None)

    shown, data = await world.until(button, 30)
    began = time.perf_counter()
    await world.press(person, shown, data)
    await world.until(lambda: world.current(shown).text.startswith("⏹") or None, 30)
    waits.stopped.append(time.perf_counter() - began)


def _are_answered(world: World, asked: Sequence[SeenMessage]) -> bool:
    return all(any(answer.button("up:") for answer in world.answers(one)) for one in asked)


def _take(waits: Waits, calls: Sequence[Call], asked: SeenMessage, began: datetime) -> None:
    """Read off the calls what one prompt had to wait."""
    answers = [call for call in calls if _replies_to(call.params, asked)]
    placeholder = min(answers, key=lambda call: call.at)
    assert isinstance(placeholder.result, Mapping), "it was sent"
    shown_in = placeholder.result["message_id"]
    edits = [
        call
        for call in calls
        if call.method == "editMessageText"
        and call.status == 200
        and (str(call.params.get("chat_id")), str(call.params.get("message_id"))) == (str(asked.chat.id), str(shown_in))
    ]
    words = [call.at for call in edits if not str(call.params.get("text")).startswith("⏳")]
    waits.placeholder.append((placeholder.at - began).total_seconds())
    waits.words.append((min(words) - began).total_seconds())
    waits.whole.append((max(words) - began).total_seconds())


def _replies_to(params: Mapping[str, object], asked: SeenMessage) -> bool:
    if str(params.get("chat_id")) != str(asked.chat.id) or "reply_parameters" not in params:
        return False
    return bool(json.loads(str(params["reply_parameters"])).get("message_id") == asked.id)
