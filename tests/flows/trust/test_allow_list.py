"""A bot for some: others are told so and nothing of theirs is stored; who was let in before can still be forgotten."""

import signal

from bot.sandbox.server import Sandbox
from tests.support.scene import ADMIN_ID, BotProcess, Scene, confirmed


async def test_a_bot_for_some_people_and_a_group_keeps_nothing_of_others(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    world = sandbox.world
    ada, adas = scene.person("Ada")
    eve, eves = scene.person("Eve")
    admin, admins = scene.person("Root", person_id=ADMIN_ID)
    team, (bob,) = await scene.company("Bob")
    lost = world.add_group("Somewhere else", bot_admin=True)
    world.join(eve, lost)
    await bot.start(ALLOWED_IDS=str(ada.id), ALLOWED_CHATS=str(team.id))

    await scene.ask(ada, adas, "/slogan green tea")
    text = await scene.ask(bob, team, "/slogan black tea")
    await bot.settled()
    tables = [name for (name,) in bot.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    before = {name: bot.rows(f"SELECT count(*) FROM {name}") for name in tables if name != "pulse"}

    assert str(eve.id) in await scene.say(eve, eves, "/slogan a secret of mine")
    for words in ("/slogan again", "/optin", "/forget", "hello"):
        world.say(eve, eves, words)
    answer = await world.type_inline(eve, eves, "slogan tea")
    assert answer is not None and answer.results == () and "let in" in (answer.hint or "")
    await world.until(lambda: world.state.of(lost).bot_status == "left" or None, 20)
    (farewell,) = [message for message in world.messages(lost) if world.state.is_bots(message)]
    assert str(lost.id) in farewell.text
    await world.until(lambda: not world.updates.pending or None, 20)
    assert {name: bot.rows(f"SELECT count(*) FROM {name}") for name in before} == before
    assert len([message for message in world.messages(eves) if world.state.is_bots(message)]) == 1

    world.join(eve, team)
    assert "rates a text" in await scene.say(eve, team, "/help"), "in a group that is let in, everybody is"
    assert await world.press(eve, text, "up:2") is not None
    assert "Turned away" in await scene.say(admin, admins, "/stats")


async def test_who_was_let_in_before_can_have_everything_erased(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    world = sandbox.world
    await bot.start()
    eve, eves = scene.person("Eve")
    club = world.add_group("Eve's")
    world.join(eve, club)
    world.set_bot_status(club, "left")
    await scene.ask(eve, eves, "/slogan green tea")
    await bot.settled()
    await bot.stop(signal.SIGTERM)
    await bot.start(ALLOWED_IDS="1")
    assert "let in" in await scene.say(eve, eves, "/slogan black tea")
    assert "What I keep" in await scene.say(eve, eves, "/privacy")
    document = await scene.answer(world.say(eve, eves, "/mydata"))
    assert document.attachment is not None
    assert "1 texts" in await confirmed(scene, eve, eves, "/forget")
    assert bot.rows("SELECT count(*) FROM people") == [(0,)]

    world.set_bot_status(club, "member", by=eve)
    await world.until(lambda: world.state.of(club).bot_status == "left" or None, 20)
    assert any("leaving" in message.text for message in world.messages(club))
