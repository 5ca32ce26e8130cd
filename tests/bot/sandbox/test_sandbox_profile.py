"""What the bot says about itself, and whom it may write to."""

import pytest
from telegram.error import Forbidden

from bot.sandbox.server import Sandbox
from tests.bot.sandbox.test_sandbox import application, person_and_group


@pytest.fixture
async def sandbox():
    async with Sandbox() as sandbox:
        yield sandbox


async def test_nobody_is_written_to_who_has_not_written_or_has_blocked_the_bot(sandbox):
    ada = sandbox.world.add_person("Ada")
    chat = sandbox.world.private_chat(ada)
    async with application(sandbox) as app:
        with pytest.raises(Forbidden, match="can't initiate conversation"):
            await app.bot.send_message(chat.id, "hello?")
        sandbox.world.say(ada, chat, "/start")
        await app.bot.send_message(chat.id, "hello!")
        sandbox.world.block(ada)
        with pytest.raises(Forbidden, match="blocked by the user"):
            await app.bot.send_message(chat.id, "hello?")
        sandbox.world.unblock(ada)
        await app.bot.send_message(chat.id, "welcome back")


async def test_the_command_menu_depends_on_scope_and_language(sandbox):
    async with application(sandbox) as app:
        await app.bot.set_my_commands([("write", "Write anything")])
        await app.bot.set_my_commands([("write", "随便写点什么")], language_code="zh")
        await app.bot.set_my_commands([("slogan", "A slogan")], scope={"type": "all_group_chats"})
        stored = await app.bot.get_my_commands(language_code="zh")
        await app.bot.delete_my_commands(language_code="zh")
    menus = sandbox.world.state.menus
    ada, group = person_and_group(sandbox)
    private = sandbox.world.private_chat(ada)
    assert [(each.command, each.description) for each in stored] == [("write", "随便写点什么")]
    assert menus.commands_for(private, ada.id, "zh", is_admin=False)[0].description == "Write anything"
    assert menus.commands_for(group, ada.id, "en", is_admin=False)[0].name == "slogan"


async def test_the_description_falls_back_to_the_one_for_all_languages(sandbox):
    async with application(sandbox) as app:
        await app.bot.set_my_description("I write.")
        await app.bot.set_my_short_description("我写作。", language_code="zh")
        await app.bot.set_my_name("Scribe")
        described = await app.bot.get_my_description(language_code="zh")
        short = await app.bot.get_my_short_description()
        renamed = await app.bot.get_me()
    assert (described.description, short.short_description, renamed.first_name) == ("I write.", "", "Scribe")


async def test_who_is_in_a_chat(sandbox):
    ada, group = person_and_group(sandbox)
    boss = sandbox.world.add_person("Boss")
    sandbox.world.join(boss, group, as_admin=True)
    async with application(sandbox) as app:
        assert (await app.bot.get_chat(group.id)).title == "Tea house"
        assert (await app.bot.get_chat_member(group.id, ada.id)).status == "member"
        assert (await app.bot.get_chat_member(group.id, sandbox.world.bot.id)).status == "administrator"
        admins = await app.bot.get_chat_administrators(group.id)
        assert [each.user.first_name for each in admins] == ["Boss", "Ovation"]
        assert await app.bot.get_chat_member_count(group.id) == 3
        await app.bot.leave_chat(group.id)
        with pytest.raises(Forbidden, match="not a member"):
            await app.bot.send_message(group.id, "bye")
