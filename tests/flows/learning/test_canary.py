"""Live ratings decide about a new version, by themselves, and the admin is told."""

import asyncio
from datetime import UTC, datetime

import pytest

from bot.common.keys import open_keys
from bot.common.settings import DataSettings
from bot.sandbox.world.records import Chat, Person, SeenMessage
from storage.db.database import Database
from storage.tables import versions
from tests.flows.learning.test_retrain import TOPICS, version_that_answers
from tests.support.scene import ADMIN_ID, BotProcess, Scene
from tests.support.stored.extra_version import BASE, VERSION, add_version

TEXTS_AT_ONCE = 10
MOST_TEXTS = 120


async def put_on_trial(bot: BotProcess) -> None:
    """A published version, as a night leaves it that has found it good."""
    data = bot.folder / "data"
    keyring = open_keys(DataSettings(data_dir=data), may_create=True).keyring
    await add_version(data)
    db = await Database.open(data / "ovation.db", keyring)
    await versions.register_base(db, BASE, at=datetime.now(UTC))
    await versions.make_canary(db, VERSION, at=datetime.now(UTC))
    await db.close()


def version_of(message: SeenMessage) -> str:
    return message.text.rsplit("\n\n", 1)[1].split(" · ")[-2]


async def told(scene: Scene, chat: Chat, words: str, seconds: float) -> SeenMessage | None:
    """A message in a chat with these words, if it comes in time."""
    world = scene.sandbox.world

    def found() -> SeenMessage | None:
        return next((message for message in world.messages(chat) if words in message.text), None)

    try:
        return await world.until(found, seconds)
    except TimeoutError:
        return None


async def rate_until_told(
    scene: Scene, people: list[Person], group: Chat, office: Chat, *, words: str, liked: str
) -> SeenMessage:
    """People like the texts of one version and dislike those of the other, until the admin is told."""

    async def one(number: int) -> None:
        asker = people[number % len(people)]
        message = await scene.ask(asker, group, f"/slogan {TOPICS[number % len(TOPICS)]}")
        for rater in people[:3]:
            scene.sandbox.world.react(rater, message, ["🔥" if version_of(message) == liked else "👎"])

    for start in range(0, MOST_TEXTS, TEXTS_AT_ONCE):
        await asyncio.gather(*(one(number) for number in range(start, start + TEXTS_AT_ONCE)))
        if start >= 2 * TEXTS_AT_ONCE and (message := await told(scene, office, words, 2)) is not None:
            return message
    heard = [message.text for message in scene.sandbox.world.messages(office)]
    raise AssertionError(f"after {MOST_TEXTS} texts nobody says “{words}”, but {heard}")


@pytest.mark.timeout(600)
async def test_a_canary_that_people_dislike_is_rolled_back_by_itself_and_the_admin_is_told(
    bot: BotProcess, scene: Scene
) -> None:
    await put_on_trial(bot)
    await bot.start(CANARY_SHARE="0.5", CANARY_HOURS="0", PROMPTS_PER_HOUR="0")
    group, people = await scene.company(*"ABCDE", agreed=True)
    admin, office = scene.person("Root", person_id=ADMIN_ID)
    assert "on trial beside starter: nobody has rated its texts yet" in await scene.say(admin, office, "/models")
    message = await rate_until_told(scene, people, group, office, words="have rolled", liked=BASE)
    assert f"{VERSION} back" in message.text and "in 0 of" in message.text and "starter answers now" in message.text
    assert {await version_that_answers(scene, person, group) for person in people} == {BASE}
    assert f"rolled_back {VERSION}" in await scene.say(admin, office, "/audit")
    assert await bot.stop() == 0
    await bot.start()
    assert "on trial" not in await scene.say(admin, office, "/models")


@pytest.mark.timeout(600)
async def test_a_canary_that_people_like_is_promoted_by_itself_and_the_admin_is_told(
    bot: BotProcess, scene: Scene
) -> None:
    await put_on_trial(bot)
    await bot.start(CANARY_SHARE="0.5", CANARY_HOURS="0", CANARY_RATINGS="20", PROMPTS_PER_HOUR="0")
    group, people = await scene.company(*"ABCDE", agreed=True)
    admin, office = scene.person("Root", "zh", person_id=ADMIN_ID)
    await scene.ask(admin, office, "/slogan 绿茶")
    assert "正在与 starter 并行试用" in await scene.say(admin, office, "/models")
    message = await rate_until_told(scene, people, group, office, words="转正", liked=VERSION)
    assert f"让 {VERSION} 转正" in message.text and "100 %" in message.text
    assert {await version_that_answers(scene, person, group) for person in people} == {VERSION}
