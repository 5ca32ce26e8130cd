"""The stage of the state machine: one bot process, its Telegram, two people and an admin.

Everything that somebody does here is told to the model, and `check` compares.
"""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.kills import kill_family
from bot.common.keys import Keys, open_keys
from bot.common.settings import DataSettings
from bot.reporting.export import What, lines
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Person, SeenMessage
from engine.data.rewards import DOWN, UP, value_of_reactions
from storage.db.database import open_for_reading
from storage.tables import versions
from tests.faults.histories.model import Model, Text, Word, assert_same, finished_of, number_of, version_of
from tests.support.api_checker import check_calls
from tests.support.scene import ADMIN_ID, METHOD_TABLE, BotProcess, Scene
from tests.support.stored.extra_version import BASE, VERSION, add_version

NAMES = ("Ada", "Bob")
GROUPS = ("tea", "chess", "trains")
BUTTONS = {"up": Word("button", UP, "👍"), "down": Word("button", DOWN, "👎")}
PATIENCE_SECONDS = 90.0

_READY = " ready: @"
_WAITING = """
    SELECT (SELECT count(*) FROM inbox WHERE state = 'new'),
        (SELECT count(*) FROM generations WHERE state IN ('accepted', 'placed', 'written'))
"""
_TRACES = """
    SELECT (SELECT count(*) FROM generations WHERE author = :person)
        + (SELECT count(*) FROM ratings WHERE rater = :person)
"""


class Stage:
    """A bot that has been started. Call `open` first and `close` last; every deed leaves it running or starting."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.sandbox = Sandbox(admin_id=ADMIN_ID)
        self.bot = BotProcess(self.sandbox, folder)
        self.model = Model(BASE)
        self._data = folder / "data"
        self._settings = {"PROMPTS_PER_HOUR": "0", **settings}
        self._world = self.sandbox.world
        self._scene = Scene(self.sandbox)
        self._stack = AsyncExitStack()
        self._presses: list[asyncio.Task[object]] = []
        self._lives = 0

    async def open(self) -> None:
        """Everybody arrives, and the bot starts on data that knows a second version."""
        self._pseudonym = self._opened().pseudonyms.person
        await add_version(self._data)
        await self._stack.enter_async_context(self.sandbox)
        self.bot.settings |= {"TELEGRAM_API_URL": self.sandbox.url, **self._settings}
        self._people = {name: self._world.add_person(name) for name in NAMES}
        self._admin = self._world.add_person("Root", id=ADMIN_ID)
        self._groups = {title: self._world.add_group(title, bot_admin=True) for title in GROUPS}
        for group in self._groups.values():
            for person in self._people.values():
                self._world.join(person, group)
        await self._rise()
        await self._ready()

    async def close(self, *, in_order: bool) -> None:
        """End all of it; `in_order` settles and looks once more before that."""
        try:
            if in_order:
                await self.settle()
                assert await self.bot.stop() == 0
                with self._database() as database:
                    assert [tuple(row) for row in database.execute("PRAGMA integrity_check")] == [("ok",)]
                    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
                if METHOD_TABLE.exists():
                    assert check_calls(self.sandbox.calls, METHOD_TABLE) == []
        finally:
            if self.bot.process is not None:
                await kill_family(self.bot)
            for press in self._presses:
                press.cancel()
            await self._stack.aclose()

    # What people do

    async def prompt(self, who: str, where: str, kind: str) -> None:
        """Ask for a text, in a group or in private."""
        person = self._people[who]
        chat = self._groups.get(where) or self._world.private_chat(person)
        self.model.ask(person, self._world.say(person, chat, f"/{kind} topic {len(self.model.texts)}"))

    async def refine(self, who: str, pick: int) -> None:
        """Reply to a finished text with a wish."""
        text, person = self._pick(who, pick), self._people[who]
        if text is None or (shown := await self._finished(text)) is None or text.is_forgotten:
            return
        wish = self._world.say(person, shown.chat, f"wish {len(self.model.texts)}", reply_to=shown)
        self.model.ask(person, wish, parent=text)

    async def again(self, who: str, pick: int) -> None:
        """Press 🔁 under a finished text, once."""
        text, person = self._pick(who, pick), self._people[who]
        if text is None or (shown := await self._finished(text)) is None or text.is_forgotten:
            return
        if all((other.asked.chat, other.asked.id) != (shown.chat, shown.id) for other in self.model.texts):
            await self._press(person, shown, f"again:{number_of(shown)}")
            self.model.ask(person, shown, parent=text)

    async def rate(self, who: str, pick: int, words: list[str]) -> None:
        """Say one thing after another to a text: press "up" or "down", react with an emoji, or with "nothing"."""
        text, person = self._pick(who, pick), self._people[who]
        if text is None:
            return
        await self._until(lambda: text.is_forgotten or self._world.answers(text.asked))
        for word in words:
            if word not in BUTTONS:
                self._react(person, text, word)
            elif (shown := await self._finished(text)) is not None:
                await self._press(person, shown, f"{word}:{number_of(shown)}")
                self.model.rate(person, shown, BUTTONS[word])

    async def forget(self, who: str, cut: float | None) -> None:
        """/forget and yes to it; `cut` kills the bot so many seconds later, and it is all forgotten or nothing is."""
        person = self._people[who]
        await self._taken()
        if not self._has_traces(person):
            return
        await self._confirm(person, "/forget", cut)
        await self._taken()
        if cut is None:
            assert not self._has_traces(person), f"{who} was forgotten, and is not"
        if not self._has_traces(person):
            self.model.forget(person, lambda text: len(finished_of(self._world.answers(text.asked))))

    # What befalls the bot

    async def crash(self, pause: float) -> None:
        """SIGKILL to all of it, perhaps while it starts; it is started again."""
        await asyncio.sleep(pause)
        await kill_family(self.bot)
        await self._rise()

    async def restart(self, pause: float) -> None:
        """SIGTERM with whatever is under way; it is started again."""
        await self._ready()
        await asyncio.sleep(pause)
        assert await self.bot.stop() == 0
        await self._rise()

    async def swap(self, cut: float | None) -> None:
        """The admin promotes the other version or rolls back to it, and asks for a text; `cut` kills in the middle."""
        await self._ready()
        office = self._world.private_chat(self._admin)
        unfinished = [text for text in self.model.texts if not finished_of(self._world.answers(text.asked))]
        if self.model.champion == BASE:
            asked = self._world.say(self._admin, office, f"/promote {VERSION}")
            await self._cut(cut)
            await self._until(lambda: self._world.answers(asked))
        else:
            await self._confirm(self._admin, "/rollback", cut)
        await self._taken()
        with self._database() as database:
            champion = versions.latest_champion(database)
        assert champion in {self.model.champion, VERSION, BASE} and (cut is not None or champion != self.model.champion)
        self.model.promote(champion, unfinished)
        self.model.ask(self._admin, self._world.say(self._admin, office, "/slogan a new broom"))

    async def flood(self, method: str, times: int) -> None:
        """Telegram asks to wait, so often from now on."""
        self.sandbox.faults.clear()
        self.sandbox.faults.refuse(method, 429, times=times, retry_after_seconds=1)

    async def settle(self) -> None:
        """Wait until nothing is left to do, and compare."""
        await self._taken(and_written=True)
        self.check()

    # What must hold

    def check(self) -> None:
        """Compare what is seen and exported with the model; nothing may be under way."""
        shown = {text: finished_of(self._world.answers(text.asked)) for text in self.model.texts}
        for text, answers in shown.items():
            assert len(answers) == text.stands, f"{len(answers)} answers, not {text.stands}, to {text.asked}"
        chats = {text.asked.chat for text in self.model.texts}
        total = sum(len(finished_of(self._world.messages(chat))) for chat in chats)
        assert total == sum(text.stands for text in self.model.texts), "a text answers nobody"
        standing = {text: shown[text][0] for text in self.model.texts if not text.is_forgotten}
        for text, answer in standing.items():
            assert version_of(answer) in text.versions, f"{version_of(answer)} wrote for {text}"
        self._check_generations(standing)
        self._check_ratings(standing)

    def _check_generations(self, standing: dict[Text, SeenMessage]) -> None:
        numbers = {text: number_of(answer) for text, answer in standing.items()}
        expected = {
            number: (self._pseudonym(text.author.id), numbers[text.parent] if text.parent else None)
            for text, number in numbers.items()
        }
        rows = self._export(What.GENERATIONS)
        assert_same({row["generation"]: (row["author"], row["parent"]) for row in rows}, expected)

    def _check_ratings(self, standing: dict[Text, SeenMessage]) -> None:
        expected = {
            (number_of(answer), self._pseudonym(person_id)): (word.value, word.emoji)
            for answer in standing.values()
            for person_id, word in self.model.verdicts(answer).items()
        }
        rows = self._export(What.RATINGS)
        assert_same({(row["generation"], row["rater"]): (row["value"], row["emoji"]) for row in rows}, expected)

    # How

    def _pick(self, who: str, pick: int) -> Text | None:
        """A late text of those that a person can see."""
        own = self._world.private_chat(self._people[who])
        seen = [text for text in self.model.texts if text.asked.chat in (own, *self._groups.values())]
        return seen[-1 - pick % len(seen)] if seen else None

    async def _finished(self, text: Text) -> SeenMessage | None:
        """The text as it is shown, once it is; None where it is forgotten."""
        await self._until(lambda: text.is_forgotten or finished_of(self._world.answers(text.asked)))
        return next(iter(finished_of(self._world.answers(text.asked))), None)

    def _react(self, person: Person, text: Text, emoji: str) -> None:
        """React to a text or, while there is none, to its placeholder, which may turn out to be nobody's."""
        answers = self._world.answers(text.asked)
        for answer in finished_of(answers)[:1] or answers[-1:]:
            before = answer.emojis_of(person.id)
            after = self._world.react(person, answer, [] if emoji == "nothing" else [emoji]).emojis_of(person.id)
            if before != after:
                self.model.rate(person, answer, Word("reaction", value_of_reactions(after), "".join(after)))

    async def _press(self, person: Person, message: SeenMessage, data: str) -> None:
        """Press and do not wait; the bot may be dead."""
        press = self._world.press(person, message, data, timeout_seconds=PATIENCE_SECONDS)
        self._presses.append(asyncio.create_task(press))
        await asyncio.sleep(0)

    async def _confirm(self, person: Person, command: str, cut: float | None) -> None:
        await self._ready()
        asked = self._world.say(person, self._world.private_chat(person), command)
        question = await self._scene.answer(asked, lambda message: message.button("yes:") is not None)
        yes = question.button("yes:")
        assert yes is not None and yes.callback_data is not None
        await self._press(person, question, yes.callback_data)
        await self._cut(cut)
        if cut is None:
            await self._until(lambda: not self._world.current(question).buttons)

    async def _cut(self, cut: float | None) -> None:
        if cut is not None:
            await self.crash(cut)

    async def _rise(self) -> None:
        self._lives = self.bot.log.count(_READY)
        await self.bot.spawn()

    async def _ready(self) -> None:
        await self._until(lambda: self.bot.log.count(_READY) > self._lives)

    async def _taken(self, *, and_written: bool = False) -> None:
        """Wait until the bot has handled every update, and perhaps finished every text."""
        await self._ready()
        await self._until(lambda: not self._world.updates.pending and not any(self._waiting()[: 1 + and_written]))

    async def _until(self, check: Callable[[], object]) -> None:
        """Wait for something that must come true while the bot lives."""
        process = self.bot.process
        assert process is not None
        with contextlib.suppress(TimeoutError):
            await self._world.until(lambda: check() or process.returncode is not None, PATIENCE_SECONDS)
        assert check(), f"not in {PATIENCE_SECONDS:.0f} seconds, or the bot ended: {process.returncode}"

    def _waiting(self) -> tuple[int, ...]:
        with self._database() as database:
            return tuple(database.execute(_WAITING).fetchone())

    def _opened(self) -> Keys:
        """The keys as they are now; those of people come while the bot runs."""
        return open_keys(DataSettings(data_dir=self._data), may_create=True)

    def _has_traces(self, person: Person) -> bool:
        with self._database() as database:
            return bool(database.execute(_TRACES, {"person": self._pseudonym(person.id)}).fetchone()[0])

    def _export(self, what: What) -> list[dict[str, Any]]:
        with self._database() as database:
            return [json.loads(line) for line in lines(database, what, producer="")]

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(open_for_reading(self._data / "ovation.db", self._opened().keyring)) as database:
            yield database
