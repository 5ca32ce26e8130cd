"""How long a stranger waits for a text, in private, while others flood the bot: one person, or ten in a group.

Each flood is sent whole before the bot fetches the first of it; then strangers prompt, one after the other, and nothing
is waited for between two floods. One bot takes all of them, so what is left of one flood adds to the next.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.stage import Engine, Stage, running_engine, staged
from benchmarks.tables import Row, Table, number
from bot.sandbox.api.faults import FloodLimits
from bot.sandbox.world.records import Chat, Json, Person, SeenMessage
from bot.sandbox.world.world import World

STRANGERS = 3
"""After each flood."""
USUAL = ("PROMPTS_PER_HOUR", "QUEUE_LIMIT")
"""Settings that stand as they are shipped."""

_LONGEST_SECONDS = 150.0
_FAR = 900_000_000
"""Numbers of texts that there are not."""


@dataclass(slots=True)
class Flooders:
    """Ten people, and the floods that they send."""

    world: World
    people: list[Person] = field(init=False)
    _queries: "itertools.count[int]" = field(default_factory=lambda: itertools.count(_FAR), init=False)

    def __post_init__(self) -> None:
        """They arrive."""
        self.people = [self.world.add_person(f"Flooder {number}") for number in range(10)]

    def group(self) -> Chat:
        """A new one, with all of them in it."""
        group = self.world.add_group("Flooders", bot_admin=True)
        for person in self.people:
            self.world.join(person, group)
        return group

    async def shown(self, person: Person, chat: Chat, text: str) -> SeenMessage:
        """Say something, and wait for the message of the bot that answers."""
        asked = self.world.say(person, chat, text)
        return await self.world.until(lambda: next(iter(self.world.answers(asked)), None), 60)

    def press(self, person: Person, message: SeenMessage, data: str) -> None:
        """Press a button, of the message or not, and do not wait."""
        query: Json = {"id": str(next(self._queries)), "from": person.json(), "chat_instance": "1", "data": data}
        self.world.updates.add("callback_query", query | {"message": self.world.state.json_of(message)})

    async def commands(self) -> None:
        """Ten people send /help to one group."""
        group = self.group()
        for _ in range(300):
            for person in self.people:
                self.world.say(person, group, "/help")

    async def many_commands(self) -> None:
        """Ten people send commands that the bot does not know, each another one."""
        group = self.group()
        for turn in range(300):
            for person in self.people:
                self.world.say(person, group, f"/nothing{turn}@{self.world.bot.username}")

    async def settings(self) -> None:
        """One person presses a button of their own /settings."""
        person = self.people[0]
        shown = await self.shown(person, self.world.private_chat(person), "/settings")
        data = shown.buttons[0].callback_data or ""
        name, value, owner = data.split(":")[1:]
        others = {"short": "long", "calm": "daring"}
        for turn in range(2_400):
            self.press(person, shown, f"set:{name}:{value if turn % 2 else others.get(value, value)}:{owner}")

    async def foreign_buttons(self) -> None:
        """One person presses, by a client of their own, buttons that a message of the bot does not have."""
        person = self.people[1]
        shown = await self.shown(person, self.world.private_chat(person), "/help")
        kinds = ("up", "down", "again", "refine", "better", "stop")
        for turn in range(2_400):
            self.press(person, shown, f"{kinds[turn % len(kinds)]}:{_FAR + turn}")

    async def ratings(self) -> None:
        """One person presses 👍 and 👎 of one text, and changes their reaction to it."""
        shown = await self.shown(self.people[2], self.group(), "/slogan green tea")
        for turn in range(1_200):
            self.press(self.people[2], shown, f"{('up', 'down')[turn // 2 % 2]}:1")
            self.world.react(self.people[2], shown, ["👍👎"[turn % 2]])

    async def reactions(self) -> None:
        """One person reacts to every message of a busy group."""
        group = self.group()
        said = [self.world.say(person, group, f"message {turn}") for turn in range(100) for person in self.people]
        for message in said:
            self.world.react(self.people[3], message, ["🔥"])

    async def inline(self) -> None:
        """One person types behind the bot's name without end."""
        for turn in range(1_000):
            query: Json = {"id": str(next(self._queries)), "from": self.people[4].json(), "query": f"tea {turn}"}
            self.world.updates.add("inline_query", query | {"offset": "", "chat_type": "supergroup"})

    async def groups(self) -> None:
        """One account floods sixty groups of its own."""
        groups = [self.world.add_group(f"Flood {number}", bot_admin=True) for number in range(60)]
        for group in groups:
            self.world.join(self.people[5], group)
        for turn in range(20):
            for group in groups:
                self.world.say(self.people[5], group, ("/help", "/stats", "/about", "/top")[turn % 4])

    async def reports(self) -> None:
        """One person reports one text again and again."""
        group = self.group()
        shown = await self.shown(self.people[6], group, "/slogan black tea")
        for turn in range(600):
            self.world.say(self.people[6], group, f"/report {turn}", reply_to=shown)

    async def prompts(self) -> None:
        """One person sends prompts, duels and replies."""
        chat = self.world.private_chat(self.people[7])
        for turn in range(200):
            self.world.say(self.people[7], chat, f"/slogan {turn}")
            self.world.say(self.people[7], chat, f"/duel poem {turn}")
            self.world.say(self.people[7], chat, f"and now shorter {turn}")

    async def consents(self) -> None:
        """One person agrees and withdraws."""
        group = self.group()
        for turn in range(1_200):
            self.world.say(self.people[8], group, ("/optin", "/optout")[turn % 2])


FLOODS: Mapping[str, Callable[[Flooders], object]] = {
    "10 people, 300 `/help` each, in one group": Flooders.commands,
    "10 people, 300 unknown commands each, all different": Flooders.many_commands,
    "one account, 2,400 presses of its own settings button": Flooders.settings,
    "one account, 2,400 presses with data of its own": Flooders.foreign_buttons,
    "one account, 1,200 presses and 1,200 reactions on one text": Flooders.ratings,
    "one account, a reaction on each of 1,000 new messages": Flooders.reactions,
    "one account, 1,000 inline queries": Flooders.inline,
    "one account, 20 commands in each of 60 groups": Flooders.groups,
    "one account, 600 `/report`": Flooders.reports,
    "one account, 1,200 `/optin` and `/optout` in turns": Flooders.consents,
    "one account, 600 prompts, duels and replies": Flooders.prompts,
}


def measure() -> Table:
    """One flood after the other, with Telegram's limits kept."""
    rows = asyncio.run(_measure())
    note = (
        f"The starter with its default limits, against the stand-in on loopback. {STRANGERS} strangers prompt in"
        " private after each flood, each when the one before has been answered. From the prompt until the placeholder"
        " stands, and until the text has its buttons."
    )
    return Table("Floods", note, ["seconds for a stranger, the slowest", "placeholder; text", "goal"], rows)


async def _measure() -> list[Row]:
    async with running_engine() as engine:
        return await _besieged(engine)


async def _besieged(engine: Engine) -> list[Row]:
    rows: list[Row] = []
    async with staged(engine, flood_limits=FloodLimits()) as stage:
        for name in USUAL:
            del stage.bot.settings[name]
        await stage.bot.start()
        flooders = Flooders(stage.sandbox.world)
        rows.append(("no flood", _seconds([await _ask(stage, n) for n in range(STRANGERS)]), ""))
        for name, flood in FLOODS.items():
            await flood(flooders)  # type: ignore[misc]
            rows.append((name, _seconds([await _ask(stage, n) for n in range(STRANGERS)]), "text ≤ 3"))
        metrics = await stage.metrics()
        left = await stage.health("ready")
        rows.append(("`/ready` in the end", json.loads(left)["status"], "ok"))
        rows.append(("answers with status 429", f"{metrics['ovation_429s_total']:.0f}", "0"))
        rows.append(("updates given up", f"{metrics['ovation_dead_letters_total']:.0f}", "0"))
    return rows


async def _ask(stage: Stage, turn: int) -> tuple[float, float]:
    """Seconds until a stranger sees the placeholder, and the text."""
    world = stage.sandbox.world
    person = world.add_person(f"Stranger {turn}")
    began = time.monotonic()
    asked = world.say(person, world.private_chat(person), "/slogan green tea")
    await world.until(lambda: world.answers(asked) or None, _LONGEST_SECONDS)
    placed = time.monotonic() - began
    await world.until(lambda: any(it.button("up:") for it in world.answers(asked)) or None, _LONGEST_SECONDS)
    return placed, time.monotonic() - began


def _seconds(waits: list[tuple[float, float]]) -> str:
    return "; ".join(number(max(values)) for values in zip(*waits, strict=True))
