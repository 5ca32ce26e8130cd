"""The real bot process with its real engine, driven over HTTP through the stand-in for the Bot API."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.sandbox.checker import check_calls
from bot.sandbox.child import BotChild
from bot.sandbox.records import Chat, Person, SeenMessage
from bot.sandbox.server import Sandbox

METHOD_TABLE = Path(__file__).parents[3] / "shared" / "telegram" / "bot-api-10.1.json"
ADMIN_ID = 4242


class BotProcess(BotChild):
    """`python -m bot` against a sandbox, with an admin, and the `ovation` command beside it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        settings = {"ADMIN_IDS": str(ADMIN_ID), "TENURE_DAYS": "0", "OMP_NUM_THREADS": "2", "PACING": "off"}
        super().__init__(sandbox, folder, settings)

    async def start(self, **settings: str) -> None:
        """Start with more settings, and wait until it polls."""
        self.settings |= settings
        await super().start()

    async def ovation(self, *arguments: str) -> str:
        """Run an `ovation` command beside the bot and return what it printed."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot.cli", *arguments, cwd=self.folder, env=self.environment,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, _ = await child.communicate()
        assert child.returncode == 0
        return printed.decode()

    async def export(self, what: str) -> list[dict[str, object]]:
        printed = await self.ovation("export", what, "--format", "jsonl")
        return [json.loads(line) for line in printed.splitlines()]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A stand-in whose every request is checked against Telegram's method table at the end, where that is at hand."""
    async with Sandbox(admin_id=ADMIN_ID) as running:
        yield running
        if METHOD_TABLE.exists():
            assert check_calls(running.calls, METHOD_TABLE) == []


@pytest.fixture
async def bot(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[BotProcess]:
    """A bot that is not started yet; killed at the end if it still runs."""
    process = BotProcess(sandbox, tmp_path)
    yield process
    if process.process is not None:
        await process.stop(signal.SIGTERM)


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


@pytest.fixture
def scene(sandbox: Sandbox) -> Scene:
    return Scene(sandbox)


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
