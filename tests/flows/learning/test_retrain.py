"""The loop turns: ratings become a better version, or the present one stays and a reason is given."""

import asyncio
import re
from collections.abc import Callable
from random import Random

import pytest

from bot.sandbox.world.records import Chat, Person, SeenMessage
from tests.support.scene import ADMIN_ID, BotProcess, Scene, confirmed, has_verdict

TOPICS = ("green tea", "night trains", "our library", "the old harbour", "rain boots", "a bakery", "chess", "the moon")
KINDS = ("slogan", "poem", "title", "post", "pitch", "story")
RUN_SECONDS = 240


async def people_with_consent(scene: Scene, count: int) -> list[tuple[Person, Chat]]:
    pairs = [scene.person(f"Person {number}") for number in range(count)]
    await asyncio.gather(*(scene.opt_in(*pair) for pair in pairs))
    return pairs


async def rated_prompts(scene: Scene, people: list[tuple[Person, Chat]], count: int) -> None:
    """`count` prompts over the people; each author likes short texts and dislikes long ones."""

    async def one(number: int) -> None:
        person, chat = people[number % len(people)]
        topic = TOPICS[number % len(TOPICS)]
        message = await scene.ask(person, chat, f"/{KINDS[number % len(KINDS)]} {topic} {number}")
        text = message.text.rsplit("\n\n", 1)[0]
        scene.sandbox.world.react(person, message, ["👍" if len(text) < 120 else "👎"])

    for start in range(0, count, 10):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 10, count))))


async def retrain(scene: Scene, admin: Person, chat: Chat, *, seconds: float = RUN_SECONDS) -> str:
    asked = scene.sandbox.world.say(admin, chat, "/retrain")
    verdict: SeenMessage = await scene.answer(asked, has_verdict, seconds=seconds)
    return verdict.text


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_thirty_ratings_from_six_people_give_a_verdict_and_the_named_version_answers(
    lone_bot: BotProcess, scene: Scene
) -> None:
    await lone_bot.start(MIN_RATINGS="30")
    people = await people_with_consent(scene, 6)
    admin, chat = scene.person("Root", person_id=ADMIN_ID)
    await rated_prompts(scene, people, 30)
    await lone_bot.settled()
    assert len(await lone_bot.export("generations")) == 30
    assert len(await lone_bot.export("ratings")) == 30
    verdict = await retrain(scene, admin, chat)
    named = re.search(r"\b(v\d+|starter) (?:answers from now on|keeps serving)", verdict)
    assert named is not None, verdict
    answer = await scene.ask(admin, chat, "/slogan green tea")
    assert f"· {named[1]} ·" in answer.text.rsplit("\n\n", 1)[1]
    (run,) = await lone_bot.export("runs")
    assert run["verdict"] in {"promoted", "rejected"} and run["version"] == named[1]
    assert not list((lone_bot.folder / "data").glob("runs/*/dataset.jsonl"))


async def test_too_few_ratings_and_strangers_are_told_what_to_do(bot: BotProcess, scene: Scene) -> None:
    await bot.start()
    admin, chat = scene.person("Root", "zh", person_id=ADMIN_ID)
    asked = scene.sandbox.world.say(admin, chat, "/retrain")
    verdict = await scene.answer(asked, lambda message: "已跳过" in message.text)
    assert "目前有 0 个获得同意的评价；训练需要 50 个" in verdict.text
    ada, adas_chat = scene.person("Ada")
    assert await scene.say(ada, adas_chat, "/retrain") == "Only the admins of this bot may do that."
    (run,) = await bot.export("runs")
    assert (run["verdict"], run["reason"]) == ("skipped", "too_few_ratings")


async def test_the_bot_answers_while_it_learns_and_a_run_can_be_cancelled(bot: BotProcess, scene: Scene) -> None:
    await bot.start(MIN_RATINGS="20")
    people = await people_with_consent(scene, 4)
    admin, chat = scene.person("Root", person_id=ADMIN_ID)
    await rated_prompts(scene, people, 24)
    asked = scene.sandbox.world.say(admin, chat, "/retrain")
    await scene.answer(asked, lambda message: "Run 1" in message.text)
    assert "in progress" in await scene.say(admin, chat, "/retrain")
    assert (await scene.ask(*people[0], "/slogan green tea")).button("up:") is not None
    assert "Run 1" in await scene.say(admin, chat, "/retrain status")
    assert "cancelled" in await scene.say(admin, chat, "/retrain cancel")
    assert "skipped" in (await scene.answer(asked, has_verdict)).text


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_run_cut_off_by_a_restart_is_finished_after_it(lone_bot: BotProcess, scene: Scene) -> None:
    await lone_bot.start(MIN_RATINGS="20")
    people = await people_with_consent(scene, 4)
    admin, chat = scene.person("Root", person_id=ADMIN_ID)
    await rated_prompts(scene, people, 24)
    asked = scene.sandbox.world.say(admin, chat, "/retrain")
    await scene.answer(asked, lambda message: "%" in message.text)
    assert await lone_bot.stop() == 0
    await lone_bot.start()
    verdict = await scene.answer(asked, has_verdict, seconds=RUN_SECONDS)
    assert "Run 1" in verdict.text
    assert len(await lone_bot.export("runs")) == 1


async def rate_in_company(
    scene: Scene, people: list[Person], group: Chat, count: int, likes: Callable[[str], bool]
) -> None:
    """`count` prompts in a group, each rated by three of the people."""

    async def one(number: int) -> None:
        topic, kind = TOPICS[number % len(TOPICS)], KINDS[number % len(KINDS)]
        message = await scene.ask(people[number % len(people)], group, f"/{kind} {topic}")
        text = message.text.rsplit("\n\n", 1)[0]
        for offset in range(3):
            rater = people[(number + offset) % len(people)]
            scene.sandbox.world.react(rater, message, ["🔥" if likes(text) else "🥱"])

    for start in range(0, count, 10):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 10, count))))


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_ratings_without_a_taste_promote_nothing(lone_bot: BotProcess, scene: Scene) -> None:
    await lone_bot.start()
    group, people = await scene.company(*"ABCDEF", agreed=True)
    admin, chat = scene.person("Root", person_id=ADMIN_ID)
    coin = Random(5)
    await rate_in_company(scene, people, group, 60, lambda _: coin.random() < 0.5)
    verdict = await retrain(scene, admin, chat)
    assert "rejected. starter keeps serving" in verdict
    assert "· starter ·" in (await scene.ask(people[0], group, "/slogan green tea")).text


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_ratings_with_a_taste_give_a_better_version_that_waits_for_approval_and_can_be_taken_back(
    lone_bot: BotProcess, scene: Scene
) -> None:
    await lone_bot.start(PROMOTION="approve", PROMPTS_PER_HOUR="0", OBJECTIVE="kto")  # the demo's test has the long way
    group, people = await scene.company(*"ABCDEF", agreed=True)
    admin, chat = scene.person("Root", person_id=ADMIN_ID)
    await rate_in_company(scene, people, group, 120, lambda text: any(mark in text for mark in "!！"))
    verdict = await retrain(scene, admin, chat)
    assert "canary" in verdict and "/approve v1" in verdict
    assert await version_that_answers(scene, people[0], group) == "starter"
    assert "waiting" in await scene.say(admin, chat, "/models")
    assert "v1" in await scene.say(admin, chat, "/approve v1")
    assert await version_that_answers(scene, people[0], group) == "v1"
    assert await lone_bot.stop() == 0
    await lone_bot.start()
    assert await version_that_answers(scene, people[0], group) == "v1"
    assert await confirmed(scene, admin, chat, "/rollback") == "Done: starter serves now."
    assert await version_that_answers(scene, people[0], group) == "starter"


async def version_that_answers(scene: Scene, person: Person, chat: Chat) -> str:
    """The version that the footer of a new text names."""
    message = await scene.ask(person, chat, "/slogan green tea")
    return message.text.rsplit("\n\n", 1)[1].split(" · ")[-2]
