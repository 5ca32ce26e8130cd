"""What the stand-in refuses, in Telegram's words; asked by plain HTTP, as no library can ask for nonsense."""

import httpx
import pytest

from bot.sandbox.server import Sandbox
from bot.sandbox.world.errors import AddressError, WorldError

BUTTON = {"text": "👍", "callback_data": "up:1"}


@pytest.fixture
async def sandbox():
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def api(sandbox):
    """Calls a method by JSON and gives the whole answer; `chat_id` is a group with message 2 of the bot in it."""
    ada = sandbox.world.add_person("Ada")
    group = sandbox.world.add_group("Tea house", bot_admin=False)
    sandbox.world.join(ada, group)
    async with httpx.AsyncClient(verify=False, base_url=f"{sandbox.url}/bot{sandbox.token}/") as client:

        async def call(method, **params):
            return (await client.post(method, json={"chat_id": group.id, **params})).json()

        sent = await call("sendMessage", text="a text")
        assert sent["result"]["message_id"] == 2
        yield call


@pytest.mark.parametrize(
    ("method", "params", "reason"),
    [
        ("sendMessage", {"text": ""}, "message text is empty"),
        ("sendMessage", {}, "message text is empty"),
        ("sendMessage", {"text": " \n "}, "text must be non-empty"),
        ("sendMessage", {"text": "x" * 4097}, "message is too long"),
        ("sendMessage", {"text": "😀" * 2049}, "message is too long"),
        (
            "sendMessage",
            {"text": "x", "parse_mode": "HTML"},
            "unsupported parse_mode HTML; the stand-in reads entities",
        ),
        ("sendMessage", {"text": "x", "chat_id": 77}, "chat not found"),
        ("sendMessage", {"text": "x", "chat_id": ""}, "chat_id is empty"),
        ("sendMessage", {"text": "x", "reply_parameters": {"message_id": 99}}, "message to be replied not found"),
        (
            "sendMessage",
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "?", "callback_data": "x" * 65}]]}},
            "BUTTON_DATA_INVALID",
        ),
        (
            "sendMessage",
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "?", "callback_data": "字" * 22}]]}},
            "BUTTON_DATA_INVALID",
        ),
        (
            "sendMessage",
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "?"}]]}},
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ),
        ("editMessageText", {"message_id": 2, "text": "a text"}, "message is not modified: specified new message"),
        ("editMessageText", {"message_id": 99, "text": "x"}, "message to edit not found"),
        ("editMessageText", {"message_id": 1, "text": "x"}, "message can't be edited"),
        ("editMessageText", {"message_id": 2, "text": "x" * 4097}, "MESSAGE_TOO_LONG"),
        ("editMessageReplyMarkup", {"message_id": 2}, "message is not modified"),
        ("deleteMessage", {"message_id": 99}, "message to delete not found"),
        ("deleteMessage", {"message_id": 1}, "message can't be deleted"),
        ("answerCallbackQuery", {"callback_query_id": "1"}, "query is too old"),
        ("sendPhoto", {"photo": "nothing"}, "wrong file identifier/HTTP URL specified"),
        ("setMyCommands", {"commands": [{"command": "Big", "description": "x"}]}, "BOT_COMMAND_INVALID"),
        ("setMyCommands", {"commands": [{"command": "x", "description": ""}]}, "BOT_COMMAND_DESCRIPTION_INVALID"),
        ("setMyCommands", {"commands": [], "language_code": "english"}, "LANG_CODE_INVALID"),
        (
            "setMyCommands",
            {"commands": [], "scope": {"type": "chat_member"}},
            "can't parse BotCommandScope: unsupported",
        ),
        ("getChatMember", {"user_id": 77}, "member not found"),
        ("setWebhook", {"url": "ftp://example.org"}, "bad webhook"),
        (
            "setWebhook",
            {"url": "http://127.0.0.1:9/hook", "secret_token": "a b"},
            "bad webhook: secret token",
        ),
        *(
            ("setWebhook", {"url": url}, "bad webhook: the stand-in posts to addresses of this machine")
            for url in (
                "https://evil.example/",
                "http://127.0.0.1@evil.example",
                "http://localhost.evil.example",
                "http://10.0.0.1",
                "http://[::2]/",
                "http://",
                "http://[",
                "http://evil.example#127.0.0.1",
                "http://127.0.0.1.example\\@x",
            )
        ),
        ("sendMessage", {"text": "x", "reply_markup": "{not json"}, "can't parse reply keyboard markup JSON object"),
    ],
)
async def test_a_bad_request_is_refused_in_telegrams_words(api, method, params, reason):
    answer = await api(method, **params)
    assert (answer["ok"], answer["error_code"]) == (False, 400)
    assert answer["description"].startswith(f"Bad Request: {reason}")


@pytest.mark.parametrize("text", ["x" * 4096, "😀" * 2048])
async def test_4096_units_are_allowed(api, text):
    assert (await api("sendMessage", text=text))["ok"]


async def test_a_reply_may_be_sent_without_its_message(api):
    reply = {"message_id": 99, "allow_sending_without_reply": True}
    answer = await api("sendMessage", text="x", reply_parameters=reply)
    assert answer["ok"]
    assert "reply_to_message" not in answer["result"]


async def test_an_edit_without_a_keyboard_removes_the_keyboard(api):
    with_button = {"inline_keyboard": [[BUTTON]]}
    assert (await api("editMessageText", message_id=2, text="b", reply_markup=with_button))["ok"]
    assert "reply_markup" not in (await api("editMessageText", message_id=2, text="b"))["result"]


async def test_an_unknown_method_is_not_found(api):
    answer = await api("sendLove")
    assert (answer["error_code"], answer["description"]) == (404, "Not Found: method not found")


async def test_method_names_are_taken_in_any_case(api):
    assert (await api("SENDMESSAGE", text="x"))["ok"]


async def test_polling_and_webhook_exclude_each_other(api):
    assert (await api("setWebhook", url="http://127.0.0.1:9/hook"))["ok"]
    refused = await api("getUpdates")
    assert (refused["error_code"], refused["description"][:48]) == (
        409,
        "Conflict: can't use getUpdates method while webh",
    )
    assert (await api("deleteWebhook"))["ok"]
    assert (await api("getUpdates"))["ok"]


async def test_a_group_that_moved_names_its_new_id(sandbox, api):
    ada = sandbox.world.people[0]
    old = sandbox.world.add_group("Old", kind="group")
    sandbox.world.join(ada, old)
    new = sandbox.world.migrate(old)
    answer = await api("sendMessage", chat_id=old.id, text="x")
    assert answer["description"] == "Bad Request: group chat was upgraded to a supergroup chat"
    assert answer["parameters"] == {"migrate_to_chat_id": new.id}
    assert (await api("sendMessage", chat_id=new.id, text="x"))["ok"]


async def test_parameters_come_by_query_form_and_json(sandbox, api):
    chat = sandbox.world.chats_of(sandbox.world.people[0])[0]
    markup = '{"inline_keyboard": [[{"text": "👍", "callback_data": "up:1"}]]}'
    async with httpx.AsyncClient(verify=False, base_url=f"{sandbox.url}/bot{sandbox.token}/") as client:
        await client.get("sendMessage", params={"chat_id": chat.id, "text": "by query", "reply_markup": markup})
        await client.post("sendMessage", data={"chat_id": chat.id, "text": "by form", "reply_markup": markup})
        await client.post("sendMessage", files={"chat_id": (None, str(chat.id)), "text": (None, "by multipart")})
        broken = await client.post("sendMessage", content=b"{", headers={"Content-Type": "application/json"})
    shown = sandbox.world.messages(chat)[-3:]
    assert [message.text for message in shown] == ["by query", "by form", "by multipart"]
    assert [len(message.buttons) for message in shown] == [1, 1, 0]
    assert broken.status_code == 400


async def test_a_taken_port_is_one_sentence(sandbox):
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(AddressError, match=rf"^Port {port} on 127.0.0.1 is taken; choose another one, or 0 for a free"):
        async with Sandbox(port=port):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])
async def test_only_this_machine_may_be_listened_on(host):
    with pytest.raises(AddressError, match=r"listens on 127\.0\.0\.1 only"):
        async with Sandbox(host=host):
            pass


async def test_a_person_can_only_do_what_the_apps_allow(sandbox):
    world = sandbox.world
    ada, group = world.add_person("Ada"), world.add_group("Tea house")
    with pytest.raises(WorldError, match="Ada is not in Tea house"):
        world.say(ada, group, "hello")
    world.join(ada, group)
    with pytest.raises(WorldError, match="1 to 4096 characters"):
        world.say(ada, group, "   ")
    message = world.say(ada, group, "hello")
    with pytest.raises(WorldError, match="not among Telegram's reactions"):
        world.react(ada, message, ["✅"])
    with pytest.raises(WorldError, match="has no button 'up:1'"):
        await world.press(ada, message, "up:1")
