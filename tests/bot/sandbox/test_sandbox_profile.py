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
        sandbox.world.set_bot_status(chat, "kicked")
        with pytest.raises(Forbidden, match="blocked by the user"):
            await app.bot.send_message(chat.id, "hello?")
        sandbox.world.set_bot_status(chat, "member")
        await app.bot.send_message(chat.id, "welcome back")


async def test_the_command_menu_depends_on_scope_and_language(sandbox):
    async with application(sandbox) as app:
        await app.bot.set_my_commands([("write", "Write anything")])
        await app.bot.set_my_commands([("write", "随便写点什么")], language_code="zh")
        await app.bot.set_my_commands([("slogan", "A slogan")], scope={"type": "all_group_chats"})
        ada, group = person_and_group(sandbox)
        bob, private = sandbox.world.add_person("Bob"), sandbox.world.private_chat(ada)
        bobs = sandbox.world.private_chat(bob)
        await app.bot.set_my_commands([("bans", "Who is banned")], scope={"type": "chat", "chat_id": private.id})

    def first(chat, language):
        return sandbox.world.state.menus.commands_for(chat, language)[0]

    assert (first(private, "zh").name, first(group, "zh").name) == ("bans", "slogan")
    assert [first(bobs, language).description for language in ("zh", "fr")] == ["随便写点什么", "Write anything"]


async def test_the_description_falls_back_to_the_one_for_all_languages(sandbox):
    async with application(sandbox) as app:
        await app.bot.set_my_description("I write.")
        await app.bot.set_my_short_description("我写作。", language_code="zh")
    menus = sandbox.world.state.menus
    assert (menus.text("description", "zh"), menus.text("short_description", "en")) == ("I write.", "")


async def test_who_is_in_a_chat(sandbox):
    ada, group = person_and_group(sandbox)
    boss = sandbox.world.add_person("Boss")
    sandbox.world.join(boss, group, as_admin=True)
    async with application(sandbox) as app:
        assert (await app.bot.get_chat(group.id)).title == "Tea house"
        assert (await app.bot.get_chat_member(group.id, ada.id)).status == "member"
        assert (await app.bot.get_chat_member(group.id, sandbox.world.bot.id)).status == "administrator"
        assert (await app.bot.get_chat_member(group.id, boss.id)).status == "administrator"
        sandbox.world.set_bot_status(group, "left")
        with pytest.raises(Forbidden, match="not a member"):
            await app.bot.send_message(group.id, "bye")
