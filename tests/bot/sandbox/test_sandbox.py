"""The stand-in as a real bot meets it: a python-telegram-bot Application that polls it over HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, InputFile, ReplyParameters, Update
from telegram.error import Conflict, InvalidToken
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    ChatMemberHandler,
    CommandHandler,
    MessageHandler,
    MessageReactionHandler,
    filters,
)

from bot.common.http_server import listen, serving
from bot.sandbox.api.methods import HANDLERS, Methods
from bot.sandbox.api.params import Params
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, SeenMessage
from bot.sandbox.world.updates import WebhookSender
from bot.sandbox.world.world import World

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)


def application(sandbox: Sandbox, *handlers, token: str | None = None) -> Application:
    app = (
        Application.builder()
        .token(token or sandbox.token)
        .base_url(f"{sandbox.url}/bot")
        .concurrent_updates(True)
        .build()
    )
    for handler in handlers:
        app.add_handler(handler)
    return app


@asynccontextmanager
async def polling(sandbox: Sandbox, *handlers, allowed_updates=Update.ALL_TYPES) -> AsyncIterator[Application]:
    app = application(sandbox, *handlers)
    async with app:
        await app.start()
        await app.updater.start_polling(allowed_updates=allowed_updates)
        await sandbox.world.until(lambda: sandbox.world.updates.is_polled)
        try:
            yield app
        finally:
            await app.updater.stop()
            await app.stop()


async def bot_sends(world: World, chat: Chat, text: str, *buttons: tuple[str, str], **params) -> SeenMessage:
    """A message of the bot's, sent without HTTP."""
    row = [{"text": label, "callback_data": data} for label, data in buttons]
    given = {"chat_id": chat.id, "text": text, "reply_markup": {"inline_keyboard": [row]}, **params}
    sent = await HANDLERS["sendmessage"](Methods(world.state, WebhookSender(world.updates)), Params(given))
    return world.message(chat, sent["message_id"])


@pytest.fixture
async def sandbox():
    async with Sandbox() as sandbox:
        yield sandbox


def person_and_group(sandbox: Sandbox, *, bot_admin: bool = True):
    ada = sandbox.world.add_person("Ada")
    group = sandbox.world.add_group("Tea house", bot_admin=bot_admin)
    sandbox.world.join(ada, group)
    return ada, group


async def stream(update, context):
    message = await update.message.reply_text("✍️ …", reply_parameters=ReplyParameters(update.message.message_id))
    for text in ("Green", "Green tea,", "Green tea, at last."):
        await message.edit_text(text)
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("👍", callback_data="up:1")]])
    await message.edit_text("Green tea, at last.\n\nAI · v1 · #1", reply_markup=keyboard)


async def test_a_prompt_is_answered_by_a_reply_that_streams_in_by_edits(sandbox):
    async with polling(sandbox, CommandHandler("slogan", stream)):
        ada, group = person_and_group(sandbox)
        asked = sandbox.world.say(ada, group, "/slogan green tea")
        done = await sandbox.world.until(lambda: next((m for m in sandbox.world.answers(asked) if m.buttons), None))
    assert done.text == "Green tea, at last.\n\nAI · v1 · #1"
    assert done.reply_to == asked.id
    assert done.edited
    assert done.sender == sandbox.world.bot
    assert [call.status for call in sandbox.calls_of("editMessageText")] == [200] * 4


async def test_a_command_in_a_private_chat_carries_the_persons_language(sandbox):
    seen = []

    async def note(update, context):
        seen.append((update.effective_user.language_code, context.args, update.effective_chat.type))

    async with polling(sandbox, CommandHandler("poem", note)):
        person = sandbox.world.add_person("小雨", "zh")
        sandbox.world.say(person, sandbox.world.private_chat(person), "/poem 秋雨")
        await sandbox.world.until(lambda: seen)
    assert seen == [("zh", ["秋雨"], "private")]


async def test_reactions_arrive_whole_when_set_changed_and_removed(sandbox):
    seen = []

    async def note(update, context):
        change = update.message_reaction
        lists = [[each.emoji for each in kinds] for kinds in (change.old_reaction, change.new_reaction)]
        seen.append((change.user.first_name, change.message_id, *lists))

    async with polling(sandbox, MessageReactionHandler(note)):
        ada, group = person_and_group(sandbox)
        message = sandbox.world.say(ada, group, "a text")
        for emojis in (["👍"], ["❤️", "🔥"], []):
            sandbox.world.react(ada, message, emojis)
        await sandbox.world.until(lambda: len(seen) == 3)
    assert seen == [
        ("Ada", message.id, [], ["👍"]),
        ("Ada", message.id, ["👍"], ["❤", "🔥"]),
        ("Ada", message.id, ["❤", "🔥"], []),
    ]


async def test_reactions_do_not_arrive_when_the_bot_did_not_ask_for_them(sandbox):
    seen = []

    async def note(update, context):
        seen.append(update)

    async with polling(sandbox, MessageReactionHandler(note), MessageHandler(filters.TEXT, note), allowed_updates=[]):
        ada, group = person_and_group(sandbox)
        message = sandbox.world.say(ada, group, "a text")
        sandbox.world.react(ada, message, ["👍"])
        sandbox.world.say(ada, group, "the last")
        await sandbox.world.until(lambda: len(seen) == 2)
    assert [update.message.text for update in seen] == ["a text", "the last"]


async def test_a_pressed_button_gets_the_bots_answer(sandbox):
    async def ask(update, context):
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="optin:1")]])
        await update.message.reply_text("May I?", reply_markup=keyboard)

    async def thank(update, context):
        await update.callback_query.answer("Thank you", show_alert=True)
        await update.callback_query.edit_message_reply_markup(None)

    async with polling(sandbox, CommandHandler("start", ask), CallbackQueryHandler(thank)):
        ada = sandbox.world.add_person("Ada")
        chat = sandbox.world.private_chat(ada)
        sandbox.world.say(ada, chat, "/start")
        question = await sandbox.world.until(lambda: next((m for m in sandbox.world.messages(chat) if m.buttons), None))
        answer = await sandbox.world.press(ada, question, "optin:1")
        await sandbox.world.until(lambda: not sandbox.world.current(question).buttons)
    assert (answer.text, answer.is_alert) == ("Thank you", True)
    assert not sandbox.world.current(question).edited, "a change of the keyboard alone is no edit of the text"


async def test_promotion_is_told_to_the_bot(sandbox):
    seen = []

    async def note(update, context):
        change = update.my_chat_member
        seen.append((change.old_chat_member.status, change.new_chat_member.status))

    async with polling(sandbox, ChatMemberHandler(note, ChatMemberHandler.MY_CHAT_MEMBER)):
        _, group = person_and_group(sandbox, bot_admin=False)
        sandbox.world.set_bot_status(group, "administrator")
        sandbox.world.set_bot_status(group, "member")
        await sandbox.world.until(lambda: len(seen) == 2)
    assert seen == [("member", "administrator"), ("administrator", "member")]


async def test_a_photo_is_shown(sandbox):
    ada = sandbox.world.add_person("Ada")
    sandbox.world.say(ada, sandbox.world.private_chat(ada), "hello")
    async with application(sandbox) as app:
        sent = await app.bot.send_photo(ada.id, PNG, caption="Satisfaction")
    shown = sandbox.world.messages(sandbox.world.private_chat(ada))[-1]
    assert sandbox.world.state.files[sent.photo[0].file_id] == (shown.attachment, PNG)
    assert (shown.text, shown.attachment.width, shown.attachment.height) == ("Satisfaction", 1, 1)


async def test_a_document_keeps_its_name(sandbox):
    ada = sandbox.world.add_person("Ada")
    sandbox.world.say(ada, sandbox.world.private_chat(ada), "hello")
    async with application(sandbox) as app:
        sent = await app.bot.send_document(ada.id, InputFile(b"<p>report</p>", filename="report.html"))
    assert (sent.document.file_name, sent.document.file_size) == ("report.html", 13)


async def test_a_wrong_token_is_unauthorised(sandbox):
    bot = application(sandbox, token="7000000001:wrong").bot
    async with bot.request:
        with pytest.raises(InvalidToken):
            await bot.get_me()
    assert [call.status for call in sandbox.calls] == [401]


async def test_the_second_of_two_pollers_ends_the_first_ones_wait(sandbox):
    async with application(sandbox) as first, application(sandbox) as second:
        waiting = asyncio.create_task(first.bot.get_updates(timeout=20, read_timeout=25))
        await sandbox.world.until(lambda: len(sandbox.calls) == 2)
        await asyncio.sleep(0.1)
        await second.bot.get_updates(timeout=0)
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await waiting


async def test_an_unconfirmed_update_comes_again_and_a_confirmed_one_does_not(sandbox):
    ada, group = person_and_group(sandbox)
    for text in ("one", "two", "three"):
        sandbox.world.say(ada, group, text)
    async with application(sandbox) as app:
        first = await app.bot.get_updates(limit=2)  # the first is that Ada joined
        again = await app.bot.get_updates(limit=2)
        rest = await app.bot.get_updates(offset=first[-1].update_id + 1)
        newest = await app.bot.get_updates(offset=-1)
    assert [update.update_id for update in again] == [update.update_id for update in first]
    assert [update.message.text for update in rest] == ["two", "three"]
    assert [update.message.text for update in newest] == ["three"]


async def test_a_webhook_gets_updates_in_order_with_the_secret_and_again_after_a_failure():
    received = []

    async def take(request: Request) -> Response:
        received.append((request.headers["X-Telegram-Bot-Api-Secret-Token"], (await request.json())["message"]["text"]))
        return Response(status_code=500 if len(received) == 1 else 200)

    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    app = Starlette(routes=[Route("/hook", take, methods=["POST"])])
    async with Sandbox() as sandbox, httpx.AsyncClient() as client, serving(app, listener):
        hook = {"url": f"http://127.0.0.1:{port}/hook", "secret_token": "s3cret"}
        await client.post(f"{sandbox.url}/bot{sandbox.token}/setWebhook", json=hook)
        ada = sandbox.world.add_person("Ada")
        for text in ("one", "two"):
            sandbox.world.say(ada, sandbox.world.private_chat(ada), text)
        await sandbox.world.until(lambda: len(received) == 3)
        await sandbox.world.until(lambda: not sandbox.world.updates.pending)
    assert received == [("s3cret", "one"), ("s3cret", "one"), ("s3cret", "two")]


async def test_the_bots_token_is_another_one_in_each_world():
    world = World()
    assert Sandbox().token != Sandbox().token
    assert Sandbox(world=world).token == Sandbox(world=world).token
    assert re.fullmatch(r"7000000001:[A-Za-z0-9_-]{35}", world.state.token)


async def test_without_the_token_nobody_is_the_bot():
    async with Sandbox() as sandbox, httpx.AsyncClient(base_url=sandbox.url) as client:
        for token in ("7000000001:a-local-stand-in", "7000000001:", sandbox.token[:-1], f"{sandbox.token}x", "%00"):
            for method in (*HANDLERS, "nothing"):
                answer = await client.post(f"/bot{token}/{method}", json={"url": "http://127.0.0.1:9/"})
                assert answer.status_code in (401, 404), (token, method)
            assert (await client.get(f"/file/bot{token}/photos/file1")).status_code in (401, 404)
        assert (await client.post(f"/bot{sandbox.token}/getMe", headers={"Origin": "null"})).status_code == 403
        assert (await client.post(f"/bot{sandbox.token}/getMe", headers={"Host": "rebound.example"})).status_code == 400
        assert (await client.post(f"/bot{sandbox.token}/getMe")).status_code == 200
