"""One person's whole way: a yes, prompts, ratings, a version that learns from them, /mydata, /forget, nothing left."""

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.common.keys import Keys, open_keys
from bot.common.settings import DataSettings
from bot.sandbox.world.records import Chat, Person
from storage.db.database import Database
from storage.db.records import Version
from storage.tables import runs, versions
from tests.support.scene import ADMIN_ID, BotProcess, Scene, confirmed
from tests.support.stored.extra_version import VERSION, publish_version

SECRET = "quince-marmalade-7731"
TOPICS = ("green tea", "night trains", "our library", "the old harbour", "rain boots", "a bakery")


def keys_of(bot: BotProcess) -> Keys:
    return open_keys(DataSettings(data_dir=bot.folder / "data"))


def files_with(folder: Path, *words: str) -> set[str]:
    """Names of the files in which some of the words stand; no bot may run on the folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name for path in files if any(word.encode() in path.read_bytes() for word in words)}


async def talk(scene: Scene, everybody: list[Person], group: Chat) -> None:
    """Everybody asks in the group, everybody rates; Ada, the first, has a secret."""
    for number, person in enumerate(everybody):
        topic = f"{SECRET} {number}" if number == 0 else TOPICS[number % len(TOPICS)]
        message = await scene.ask(person, group, f"/slogan {topic}")
        for rater in everybody:
            scene.sandbox.world.react(rater, message, ["👍" if rater is person else "👎"])
    ada = everybody[0]
    shown = await scene.ask(ada, group, f"/title {SECRET}")
    await scene.ask(everybody[1], group, "shorter, please", reply_to=shown)


async def version_that_learned(bot: BotProcess) -> None:
    """A champion whose run has learned from all that is agreed to, as a night leaves it."""
    publish_version(bot.folder / "data")
    db = await Database.open(bot.folder / "data" / "ovation.db", keys_of(bot).keyring)
    now = datetime.now(UTC)
    run = await runs.start(db, slot=None, at=now)
    assert run is not None
    assert await runs.take_training_data(db, run.id, fewest=1)
    await runs.end(db, run.id, verdict="promoted", reason="better", numbers={}, version=VERSION, at=now)
    version = Version(name=VERSION, base="starter", run=run.id, state="candidate", created_at=now)
    assert await versions.add(db, version)
    await versions.promote(db, VERSION, at=now)
    await db.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_person_comes_teaches_looks_and_leaves_without_a_trace(lone_bot: BotProcess, scene: Scene) -> None:
    await lone_bot.start(MIN_RATINGS="20", OBJECTIVE="kto", TRAIN_MINUTES="0.2")
    world = scene.sandbox.world
    group, people = await scene.company("Ada", "Bob", "Cyd", "Dee", agreed=True)
    ada, admin_pair = people[0], scene.person("Root", person_id=ADMIN_ID)
    adas_chat = world.private_chat(ada)
    await talk(scene, people, group)
    assert await lone_bot.stop() == 0
    data = lone_bot.folder / "data"
    person = keys_of(lone_bot).pseudonyms.person(ada.id)
    assert files_with(data, SECRET, "Greener") == set(), "what people wrote is on no disk in the clear"
    await version_that_learned(lone_bot)
    await lone_bot.start()
    old_backup = data / "backups" / Path((await lone_bot.ovation("backup")).strip()).name

    document = await mydata(scene, ada)
    assert [text["asked"][-1]["content"] for text in document["texts"]] == [f"{SECRET} 0", SECRET]
    assert {version["name"] for version in document["versions"]} == {VERSION}
    assert len(document["ratings"]) == 4 and document["consents"][0]["revoked_at"] is None
    assert "private chat" in await scene.say(ada, group, "/mydata")
    assert SECRET not in json.dumps(await mydata(scene, people[2])), "nobody reads what others wrote"

    kept = await asyncio.to_thread(old_backup.read_bytes)  # far away, where no /forget can reach it
    assert "erased" in await confirmed(scene, ada, adas_chat, "/forget")
    assert "serves until the next run" in await scene.say(*admin_pair, "/models")
    world.say(*admin_pair, "/retrain")
    await until_base_serves(scene, people[1], group)
    assert "destroyed" in await scene.say(*admin_pair, "/models")
    assert await lone_bot.stop() == 0
    await lone_bot.start()  # each start sweeps
    await world.until(lambda: not (data / "versions" / VERSION).exists(), 30)
    exported = "".join([await lone_bot.ovation("export", what) for what in ("generations", "ratings")])
    assert person not in exported and SECRET not in exported and exported
    assert await lone_bot.stop() == 0
    assert files_with(data, person, SECRET) == {"tombstones.jsonl"}

    (lone_bot.folder / "far.db").write_bytes(kept)
    assert "is restored" in await lone_bot.ovation("restore", str(lone_bot.folder / "far.db"), "--yes")
    for path in data.glob("ovation.db.before-restore-*"):
        path.unlink()
    assert files_with(data, person, SECRET) == {"tombstones.jsonl"}
    await lone_bot.start()
    assert (await mydata(scene, ada))["texts"] == []


async def mydata(scene: Scene, person: Person) -> dict[str, list[dict[str, object]]]:
    world = scene.sandbox.world
    message = await scene.answer(world.say(person, world.private_chat(person), "/mydata"))
    assert message.attachment is not None and message.attachment.name == "mydata.json"
    found: dict[str, list[dict[str, object]]] = json.loads(world.state.files[message.attachment.file_id][1])
    return found


async def until_base_serves(scene: Scene, person: Person, group: Chat) -> None:
    async with asyncio.timeout(60):
        while not re.search(r"· starter · #\d+$", (await scene.ask(person, group, "/slogan night trains")).text):
            await asyncio.sleep(0.2)
