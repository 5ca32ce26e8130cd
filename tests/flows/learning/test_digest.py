"""The morning after a night that has learned something: what the admins read, see, and can take back with one tap."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.common.keys import open_keys
from bot.common.settings import DataSettings
from bot.learning.nightly import run_folder
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person, SeenMessage
from engine.runs.run_dir import Comparison, Reason, RunReport, write_report
from storage.db.database import Database
from storage.db.records import Version
from storage.tables import runs, versions
from tests.flows.learning.test_retrain import version_that_answers
from tests.support.scene import ADMIN_ID, BotProcess, Scene
from tests.support.stored.extra_version import BASE, publish_version

GAINED = {"gain": 0.05, "probability": 0.99}


async def leave_a_night_behind(bot: BotProcess, *, examples: tuple[Comparison, ...]) -> None:
    """A scheduled run that has published its version, and was cut off before it could let it serve."""
    data, now = bot.folder / "data", datetime.now(UTC)
    keyring = open_keys(DataSettings(data_dir=data), may_create=True).keyring
    publish_version(data, "v1")
    db = await Database.open(data / "ovation.db", keyring)
    await versions.register_base(db, BASE, at=now)
    run = await runs.start(db, slot="2026-11-29 03:30", at=now)
    assert run is not None and run.id == 1
    await versions.add(db, Version(name="v1", base=BASE, run=1, state="candidate", created_at=now))
    await db.close()
    folder = run_folder(data, 1)
    folder.mkdir(parents=True)
    write_report(folder, RunReport(passed=True, reason=Reason("better", GAINED), examples=examples))


async def miss_nights(bot: BotProcess) -> None:
    """Let the bot find, at its next start, that it was away when a run was due."""
    data = bot.folder / "data"
    db = await Database.open(data / "ovation.db", open_keys(DataSettings(data_dir=data)).keyring)
    await runs.record_slot(db, at=datetime.now(UTC) - timedelta(days=2))
    await db.close()


def known_admin(scene: Scene) -> tuple[Person, Chat]:
    """An admin who has spoken to the bot before, so that it may write to them."""
    admin, office = scene.person("Root", person_id=ADMIN_ID)
    scene.sandbox.world.say(admin, office, "/help")
    return admin, office


def example(prompt: str, gain: float) -> Comparison:
    return Comparison(prompt, f"Old {prompt}.", f"New {prompt}. " + "la " * 200, 0.5, 0.5 + gain)


async def digest_in(scene: Scene, chat: Chat) -> SeenMessage:
    world = scene.sandbox.world
    return await world.until(lambda: next((m for m in world.messages(chat) if m.text.startswith("☀️")), None), 60)


async def test_the_digest_tells_shows_and_takes_back(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    same = replace(example("rain", 0.9), after="Old rain.")
    await leave_a_night_behind(bot, examples=(example("tea", 0.1), example("chess", 0.3), same, example("sea", 0.2)))
    world = sandbox.world
    admin, office = known_admin(scene)
    ada, chat = scene.person("Ada")
    await bot.start(CANARY_SHARE="0")
    digest = await digest_in(scene, office)
    assert "Run 1: promoted. v1 answers from now on. On replayed prompts" in digest.text
    chess, sea = digest.text.index("“chess”"), digest.text.index("“sea”")
    assert chess < sea and "“tea”" not in digest.text and "“rain”" not in digest.text
    assert "Before: Old chess." in digest.text and "Now: New chess." in digest.text and len(digest.text) < 1200
    undo = digest.button("undo:v1")
    assert undo is not None and undo.text == "↩️ Take v1 back"
    assert await version_that_answers(scene, ada, chat) == "v1"
    said = await world.press(admin, digest, "undo:v1")
    assert said is not None and said.text == "Done: starter serves now."
    await world.until(lambda: not world.current(digest).buttons or None, 20)
    assert await version_that_answers(scene, ada, chat) == "starter"
    assert "undo v1" in await scene.say(admin, office, "/audit")


async def test_a_version_that_does_not_serve_any_more_is_not_taken_back(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await leave_a_night_behind(bot, examples=())
    admin, office = known_admin(scene)
    await bot.start(CANARY_SHARE="0")
    digest = await digest_in(scene, office)
    assert "Before:" not in digest.text
    await scene.say(admin, office, "/promote starter")
    said = await sandbox.world.press(admin, digest, "undo:v1")
    assert said is not None and said.is_alert
    assert (said.text or "").startswith("v1 no longer serves") and "starter answers now" in (said.text or "")


async def test_the_picture_comes_with_it_once_something_is_rated(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    world = sandbox.world
    _, office = known_admin(scene)
    ada, chat = scene.person("Ada")
    await bot.start()
    world.react(ada, await scene.ask(ada, chat, "/slogan green tea"), ["👍"])
    await world.until(lambda: not world.updates.pending or None, 20)
    assert await bot.stop() == 0
    await miss_nights(bot)
    await bot.start()

    def told() -> list[SeenMessage] | None:
        said = [message for message in world.messages(office) if message.sender.is_bot][1:]
        return said if any(message.attachment is not None for message in said) else None

    digest, picture, *_ = await world.until(told, 60)
    assert "skipped" in digest.text and digest.buttons == ()
    assert picture.attachment is not None and picture.attachment.kind == "photo" and picture.attachment.width > 0
