"""How soon people see something: the placeholder, the first words, the whole text, with ten of them asking at once; and
how soon a text is stopped.

Told from the moment of the prompt by the calls as they reach the stand-in; nothing is asked of the bot.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from benchmarks.stage import Engine, running_engine, staged
from benchmarks.tables import Row, Table, number, percentile
from bot.sandbox.api.faults import FloodLimits
from bot.sandbox.api.server import Call
from bot.sandbox.world.records import Person, SeenMessage
from bot.sandbox.world.world import World

PEOPLE = 10
ROUNDS = 20
STOPS = 20
_WARM_ROUNDS = 2
_PAUSE_SECONDS = 5.0
"""Between two rounds, so that no limit of Telegram's is near."""
_PROMPTS = ("/story a night train", "/poem autumn rain", "/post our library", "/slogan green tea", "/pitch a bakery")


@dataclass(slots=True)
class Waits:
    """Seconds from each prompt to what came of it."""

    placeholder: list[float] = field(default_factory=list)
    words: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    stopped: list[float] = field(default_factory=list)
    """From the press of ⏹ until the message says so."""


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
            began = datetime.now(UTC)
            asked = [
                world.say(person, world.private_chat(person), _PROMPTS[(turn + place) % len(_PROMPTS)])
                for place, person in enumerate(people)
            ]
            await world.until(partial(_are_answered, world, asked), 120)
            if turn >= _WARM_ROUNDS:
                for one in asked:
                    _take(waits, stage.sandbox.calls, one, began)
            await asyncio.sleep(_PAUSE_SECONDS)
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
