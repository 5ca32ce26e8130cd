"""The real bot process, driven over HTTP through the stand-in for the Bot API, and what people do and see there."""

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.common.keys import open_existing_keys
from bot.common.settings import DataSettings
from bot.reporting.export import What, lines
from bot.sandbox.bot_process import BotChild
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person, SeenMessage
from storage.db.database import open_for_reading
from storage.tables.statistics import Statistics, read_statistics

METHOD_TABLE = Path(__file__).parents[3] / "shared" / "telegram" / "bot-api-10.1.json"
ADMIN_ID = 4242
QUICK_BOT = Path(__file__).with_name("quick_bot.py")

_RECORDED_SECONDS = 20.0
_UNFINISHED = """
    SELECT 1 FROM inbox WHERE state = 'new' UNION ALL
    SELECT 1 FROM generations g LEFT JOIN offers o ON o.generation = g.id
    WHERE g.state IN ('accepted', 'placed', 'written') AND o.generation IS NULL
"""
_SHOWN_ONLY = """
    SELECT g.id FROM generations g LEFT JOIN offers o ON o.generation = g.id
    WHERE g.state = 'written' AND o.generation IS NULL
"""


class BotProcess(BotChild):
    """A bot with short waits and an admin, against a sandbox; and what the operator reads of it."""

    def __init__(self, sandbox: Sandbox, folder: Path, engine_url: str = "") -> None:
        settings = {
            "MODEL": "starter",
            "ADMIN_IDS": str(ADMIN_ID),
            "TENURE_DAYS": "0",
            "PACING": "off",
            "BEST_OF": "2",  # a choice, at little cost
            "ENGINE_URL": engine_url,
        }
        super().__init__(sandbox, folder, settings, program=("-P", str(QUICK_BOT)))

    async def start(self, **settings: str) -> None:
        """Start with more settings, and wait until it polls."""
        self.settings |= settings
        await super().start()

    async def end(self) -> None:
        """Have it stop, if it was started and still runs."""
        if self.process is not None:
            await self.stop(signal.SIGTERM)

    async def ovation(self, *arguments: str) -> str:
        """Run an `ovation` command beside the bot and return what it printed."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot.cli", *arguments, cwd=self.folder, env=self.environment,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, _ = await child.communicate()
        assert child.returncode == 0
        return printed.decode()

    async def export(self, what: str) -> list[dict[str, Any]]:
        """What `ovation export` prints, read by the functions that the command calls.

        People see a text a moment before it is recorded as delivered; such a moment is waited for.
        """
        async with asyncio.timeout(_RECORDED_SECONDS):
            while self._is_alive and self.rows(_SHOWN_ONLY):
                await asyncio.sleep(0.02)
        return self.exported(what)

    async def settled(self, seconds: float = 60.0) -> None:
        """Wait until the bot has handled every update and seen every text to its end: nothing more will come."""
        world = self.sandbox.world
        await world.until(lambda: (not world.updates.pending and not self.rows(_UNFINISHED)) or None, seconds)

    def exported(self, what: str) -> list[dict[str, Any]]:
        """`export` of this very moment."""
        producer = self.settings.get("CONTENT_PRODUCER", "Ovation")
        with self._opened() as connection:
            return [json.loads(line) for line in lines(connection, What(what), producer=producer)]

    def statistics(self) -> Statistics:
        """What `ovation stats` prints, of all time."""
        with self._opened() as connection:
            return read_statistics(connection, since=datetime.min.replace(tzinfo=UTC))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds in the bot's database now."""
        with self._opened() as connection:
            return [tuple(row) for row in connection.execute(query)]

    @property
    def _is_alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def _opened(self) -> closing[sqlite3.Connection]:
        settings = DataSettings(data_dir=self.folder / "data")
        return closing(open_for_reading(settings.database_path, open_existing_keys(settings).keyring))


@dataclass(frozen=True)
class Scene:
    """People with the bot, and the waiting that tests about them need."""

    sandbox: Sandbox

    def person(self, name: str, language: str = "en", *, person_id: int | None = None) -> tuple[Person, Chat]:
        person = self.sandbox.world.add_person(name, language, id=person_id)
        return person, self.sandbox.world.private_chat(person)

    async def company(self, *names: str, agreed: bool = False) -> tuple[Chat, list[Person]]:
        """A group in which the bot is an administrator and these people are members; `agreed`: all have opted in."""
        group = self.sandbox.world.add_group("Tea lovers", bot_admin=True)
        people = [self.sandbox.world.add_person(name) for name in names]
        for person in people:
            self.sandbox.world.join(person, group)
            if agreed:
                await self.opt_in(person, group)
        return group, people

    async def ask(self, person: Person, chat: Chat, text: str, *, reply_to: SeenMessage | None = None) -> SeenMessage:
        """Say something and return the finished generation that answers it."""
        asked = self.sandbox.world.say(person, chat, text, reply_to=reply_to)
        return await self.answer(asked, lambda message: message.button("up:") is not None)

    async def answer(
        self, asked: SeenMessage, is_it: Callable[[SeenMessage], bool] = lambda _: True, *, seconds: float = 60
    ) -> SeenMessage:
        """The bot's reply to a message, once it is as wanted."""
        world = self.sandbox.world
        return await world.until(lambda: next((m for m in world.answers(asked) if is_it(m)), None), seconds)

    async def say(self, person: Person, chat: Chat, text: str) -> str:
        """Say something and return the words of the reply."""
        return (await self.answer(self.sandbox.world.say(person, chat, text))).text

    async def opt_in(self, person: Person, chat: Chat) -> None:
        asked = await self.answer(self.sandbox.world.say(person, chat, "/start"))
        button = asked.button("optin:")
        assert button is not None and button.callback_data is not None
        assert await self.sandbox.world.press(person, asked, button.callback_data) is not None


VERDICTS = ("promoted", "canary", "rejected", "skipped", "failed")


def has_verdict(message: SeenMessage) -> bool:
    return any(f": {word}." in message.text for word in VERDICTS)


async def confirmed(scene: Scene, person: Person, chat: Chat, command: str) -> str:
    """Send a command that asks back, say yes, and return what the question has become."""
    world = scene.sandbox.world
    question = await scene.answer(world.say(person, chat, command), lambda message: message.button("yes:") is not None)
    yes = question.button("yes:")
    assert yes is not None and yes.callback_data is not None
    await world.press(person, question, yes.callback_data)
    done = await world.until(lambda: not world.current(question).buttons and world.current(question), 20)
    return done.text


async def values(bot: BotProcess, *expected: float) -> list[dict[str, Any]]:
    """The current ratings, once their values are as expected; what they are otherwise after a while."""
    for _ in range(400):
        rows = bot.exported("ratings")
        if [row["value"] for row in rows] == list(expected):
            break
        await asyncio.sleep(0.05)
    assert [row["value"] for row in rows] == list(expected)
    return rows
