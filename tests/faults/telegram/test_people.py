"""People who flood, pry, are shut out, change their minds or want to be forgotten: a sentence each, and no more."""

import asyncio
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.kills import kill_family
from bot.common.keys import open_keys
from bot.common.settings import DataSettings
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, SeenMessage
from storage.privacy import tombstones
from storage.privacy.tombstones import Tombstone
from tests.support.fake_engine import FakeEngine
from tests.support.scene import ADMIN_ID, BotProcess, Scene, confirmed, values


def answered(sandbox: Sandbox, chat: Chat) -> list[SeenMessage]:
    return [message for message in sandbox.world.messages(chat) if message.button("up:")]


async def test_one_person_who_floods_is_refused_and_holds_up_nobody(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start(PROMPTS_PER_HOUR="3")
    (mallory, his), (ada, hers) = scene.person("Mallory"), scene.person("Ada")
    for number in range(300):
        sandbox.world.say(mallory, his, f"/slogan spam {number}")
    assert (await scene.ask(ada, hers, "/slogan green tea")).button("up:")
    await sandbox.world.until(lambda: not sandbox.world.updates.pending or None, 30)
    await sandbox.world.until(lambda: len(answered(sandbox, his)) == 3 or None, 60)
    refusals = [message for message in sandbox.world.messages(his) if "limit here" in message.text]
    assert 1 <= len(refusals) <= 10, "one in half a minute, not one a prompt"


async def test_one_person_cannot_fill_the_queue(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    fake_engine.hold()
    await bot.start(QUEUE_LIMIT="4", ENGINE_URL=fake_engine.url)
    (mallory, his), (ada, hers) = scene.person("Mallory"), scene.person("Ada")
    asked = [sandbox.world.say(mallory, his, "/story the lighthouse") for _ in range(6)]
    for one in asked[2:3]:  # the same refusal is not said again for half a minute
        await scene.answer(one, lambda answer: "2 texts of yours are already coming" in answer.text)
    asked = [*asked[:2], sandbox.world.say(ada, hers, "/slogan green tea")]
    await scene.answer(asked[-1], lambda answer: answer.button("stop:") is not None)
    fake_engine.release()
    for one in asked:
        await scene.answer(one, lambda answer: answer.button("up:") is not None)


async def test_a_full_queue_is_a_polite_refusal(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    fake_engine.hold()
    await bot.start(QUEUE_LIMIT="2", ENGINE_URL=fake_engine.url)
    people = [scene.person(f"Person {number}") for number in range(6)]
    asked = [sandbox.world.say(person, chat, "/story the lighthouse") for person, chat in people]

    def answers(words: str) -> list[SeenMessage]:
        return [answer for one in asked for answer in sandbox.world.answers(one) if words in answer.text]

    await sandbox.world.until(lambda: len(answers("try again in a few")) == 4 or None, 60)
    fake_engine.release()
    await sandbox.world.until(lambda: len(answers("AI-generated")) == 2 or None, 60)


async def test_strangers_and_wrong_names_do_nothing(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start(PACING="off")
    ada, chat = scene.person("Ada")
    root, private = scene.person("Root", person_id=ADMIN_ID)
    for command in ("retrain", "models", "promote v1", "approve", "rollback", "health", "backup", "audit", "ban #1"):
        sandbox.world.say(ada, chat, f"/{command}")
    group = sandbox.world.add_group("Tea lovers", bot_admin=True)
    sandbox.world.join(root, group)
    assert "in our private chat" in await scene.say(root, group, "/audit")
    for name in ("../../etc/passwd", "/etc/passwd", "..%2e/x", "v1\x00", "x" * 300, "v1/../starter", "~root"):
        assert "There is no version" in await scene.say(root, private, f"/promote {name}")
    assert "The audit log is empty" in await scene.say(root, private, "/audit")
    told = [message.text for message in sandbox.world.messages(chat) if message.sender.id == sandbox.world.bot.id]  # type: ignore[union-attr]
    assert set(told) == {"Only the admins of this bot may do that."}


async def test_destructive_commands_ask_first_and_the_question_is_one_persons_once(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start(PACING="off")
    root, private = scene.person("Root", person_id=ADMIN_ID)
    ada, hers = scene.person("Ada")
    shown = await scene.ask(ada, hers, "/slogan green tea")
    question = await scene.answer(sandbox.world.say(root, private, "/ban #1"), lambda m: m.button("yes:") is not None)
    yes, no = question.button("yes:"), question.button("no:")
    assert yes is not None and no is not None and yes.callback_data and no.callback_data
    forged = await sandbox.world.press(root, question, no.callback_data)
    assert forged is not None
    assert await sandbox.world.until(lambda: sandbox.world.current(question).text == "Left as it was." or None, 10)

    assert "is banned" in await confirmed(scene, root, private, "/ban #1")
    pressed = await sandbox.world.press(ada, shown, "up:1")
    assert pressed is not None and "have banned you" in (pressed.text or "")
    assert "have banned you" in await scene.say(ada, hers, "/slogan black tea")
    sandbox.world.react(ada, shown, ["👍"])
    assert "no longer banned" in await scene.say(root, private, f"/unban {ada.id}")
    assert (await scene.ask(ada, hers, "/slogan white tea")).button("up:")
    await values(bot)
    trail = await scene.say(root, private, "/audit")
    assert "unban" in trail.splitlines()[1] and "ban" in trail.splitlines()[2] and str(ada.id) not in trail


async def test_a_text_that_is_being_written_is_stopped_by_its_author_only(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob")
    fake_engine.hold()
    asked = world.say(ada, group, "/story the lighthouse")
    placeholder = await scene.answer(asked, lambda answer: answer.button("stop:") is not None)
    no = await world.press(bob, placeholder, "stop:1")
    assert no is not None and "Only the person who asked" in (no.text or "")
    await world.press(ada, placeholder, "stop:1")
    await world.until(lambda: world.current(placeholder).text.startswith("⏹") or None, 20)
    fake_engine.release()
    await bot.settled()
    assert world.current(placeholder).buttons == () and await bot.export("generations") == []
    late = await scene.ask(ada, group, "/slogan green tea")
    old = await world.press(ada, late, "up:2")
    assert old is not None


async def find(folder: Path, word: str) -> list[str]:
    """Files below a folder that hold a word, read by another process."""
    found = subprocess.run(["grep", "-rlaF", word, str(folder)], capture_output=True, check=False)
    return found.stdout.decode().splitlines()


async def test_forgetting_erases_everything_at_once_also_what_is_being_written_and_in_backups(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url, PACING="off")
    (ada, hers), (bob, his) = scene.person("Ada"), scene.person("Bob")
    root, private = scene.person("Root", person_id=ADMIN_ID)
    message = await scene.ask(ada, hers, "/write zanzibarcloves")
    await scene.ask(bob, his, "/slogan black tea")
    sandbox.world.react(ada, message, ["👍"])
    await values(bot, 1.0)
    assert "is made and verified" in await scene.say(root, private, "/backup")
    data = bot.folder / "data"
    person = open_keys(DataSettings(data_dir=data)).pseudonyms.person(ada.id)
    assert await find(data, "zanzibarcloves") == [], "words are on no disk in the clear"
    assert len(await find(data, person)) >= 2, "in the database and in its backup"

    fake_engine.hold()
    asked = sandbox.world.say(ada, hers, "/story zanzibarcloves again")
    await scene.answer(asked, lambda answer: answer.button("stop:") is not None)
    assert (await confirmed(scene, ada, hers, "/forget")).startswith("Done. Nothing of yours is kept")
    fake_engine.release()
    await bot.settled()
    assert not any(answer.button("up:") for answer in sandbox.world.answers(asked))
    assert [row["kind"] for row in await bot.export("generations")] == ["slogan"]
    for _ in range(100):
        if await find(data, person) == [str(data / "tombstones.jsonl")]:
            break
        await asyncio.sleep(0.2)
    assert await find(data, person) == [str(data / "tombstones.jsonl")]
    assert "zanzibarcloves" not in bot.log
    assert await bot.stop() == 0
    assert await find(data, person) == [str(data / "tombstones.jsonl")]


def is_placed(database: Path) -> bool:
    """Whether the bot has noted in which message a text is to come; until then a kill leaves that message to nobody."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return bool(connection.execute("SELECT 1 FROM generations WHERE state = 'placed'").fetchall())


async def test_forgetting_that_a_crash_cut_off_is_finished_at_the_next_start(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url, PACING="off")
    (ada, hers), (bob, his) = scene.person("Ada"), scene.person("Bob")
    await scene.ask(bob, his, "/slogan black tea")
    await scene.ask(ada, hers, "/slogan green tea")
    fake_engine.hold()
    asked = sandbox.world.say(ada, hers, "/story the lighthouse")
    await scene.answer(asked, lambda answer: answer.button("stop:") is not None)
    await sandbox.world.until(lambda: is_placed(bot.folder / "data" / "ovation.db") or None, 20)
    await kill_family(bot)
    settings = DataSettings(data_dir=bot.folder / "data")
    keys = open_keys(settings)
    person = keys.pseudonyms.person(ada.id)
    tombstones.append(settings.tombstones_path, Tombstone(person, datetime.now(UTC)))
    keys.keyring.erase(person)  # as far as it had come: the rows are there, and nobody can read them

    fake_engine.release()
    await bot.start(PACING="off")
    assert [row["kind"] for row in await bot.export("generations")] == ["slogan"]
    assert sandbox.world.answers(asked) == ()
    assert tombstones.unfinished(settings.tombstones_path) == []
    assert "failed" not in bot.log
    await scene.ask(ada, hers, "/slogan the sea")
    assert await bot.stop() == 0
    await bot.start(PACING="off")
    assert len(await bot.export("generations")) == 2, "what came after it stays"


async def test_a_consent_taken_back_before_the_run_keeps_every_row_of_it_out(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start(MIN_RATINGS="1", PACING="off")
    people = [scene.person(f"Person {number}") for number in range(3)]
    root, private = scene.person("Root", person_id=ADMIN_ID)
    for person, chat in people:
        await scene.opt_in(person, chat)
        message = await scene.ask(person, chat, "/slogan green tea")
        sandbox.world.react(person, message, ["👍"])
    await values(bot, 1.0, 1.0, 1.0)
    await scene.say(*people[0], "/optout")
    await scene.say(root, private, "/retrain")
    await sandbox.world.until(lambda: "skipped" in sandbox.world.messages(private)[-1].text or None, 60)
    assert bot.rows("SELECT generation FROM lineage ORDER BY generation") == [(2,), (3,)]


@pytest.mark.parametrize("level", ["DEBUG"])
async def test_no_token_prompt_key_or_person_is_ever_in_the_log(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, level: str
) -> None:
    await bot.start(LOG_LEVEL=level, PACING="off")
    ada, chat = scene.person("Ada")
    for method in ("getUpdates", "sendMessage", "editMessageText", "answerCallbackQuery"):
        sandbox.faults.refuse(method, 400, description="Bad Request: something about zanzibarcloves")
        sandbox.faults.refuse(method, 502)
        sandbox.faults.cut(method)
    sandbox.world.say(ada, chat, "/write zanzibarcloves")
    message = await scene.ask(ada, chat, "/write zanzibarcloves once more")
    await sandbox.world.press(ada, message, message.button("up:").callback_data)  # type: ignore[union-attr, arg-type]
    sandbox.world.react(ada, message, ["👍"])
    await values(bot, 1.0)
    await bot.stop()
    key = (bot.folder / "data.key").read_text().strip()
    for secret in (sandbox.token, sandbox.token.partition(":")[2], "zanzibarcloves", key, str(ada.id)):
        assert secret not in bot.log
    assert "DEBUG" in bot.log or "INFO" in bot.log
