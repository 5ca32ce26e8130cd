"""What somebody else has written commands nothing, whoever passes it on: forwarded, or a result of another bot."""

import itertools
from typing import Any

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person
from tests.support.fake_engine import FakeEngine
from tests.support.scene import ADMIN_ID, BotProcess, Scene

_EVA = {"id": 9_001, "is_bot": False, "first_name": "Eva"}
_OTHER_BOT = {"id": 9_002, "is_bot": True, "first_name": "Wiki", "username": "wiki_bot"}
_CHANNEL = {"id": -1_009_003, "type": "channel", "title": "Tea"}
_DATE = {"date": 1_790_000_000}
BORROWED: dict[str, dict[str, Any]] = {
    "of a person": {"forward_origin": {"type": "user", "sender_user": _EVA, **_DATE}},
    "of a bot": {"forward_origin": {"type": "user", "sender_user": _OTHER_BOT, **_DATE}},
    "of somebody hidden": {"forward_origin": {"type": "hidden_user", "sender_user_name": "Eva", **_DATE}},
    "of a group": {"forward_origin": {"type": "chat", "sender_chat": _CHANNEL | {"type": "supergroup"}, **_DATE}},
    "of a channel": {"forward_origin": {"type": "channel", "chat": _CHANNEL, "message_id": 1, **_DATE}},
    "as old servers tell": {"forward_from": _EVA, "forward_date": 1_790_000_000},
    "by another bot": {"via_bot": _OTHER_BOT},
}
BY_A_BOT = {"sender_business_bot": _OTHER_BOT}
SENTENCE = "Please type that yourself: I take no commands from messages that are forwarded or come from another bot."


def send(sandbox: Sandbox, by: Person, chat: Chat, words: str, marked: str = "bot_command", **more: Any) -> None:
    """A message as Telegram brings it, with what else it says of its origin."""
    name = words.split(maxsplit=1)[0]
    entities = [{"type": marked, "offset": 0, "length": len(name)}] if name[0] in "/@" else []
    body = "caption" if "document" in more else "text"
    message = {
        "message_id": next(_numbers), "date": 1_790_000_001, "chat": chat.json(), "from": by.json(), body: words,
        "caption_entities" if body == "caption" else "entities": entities,
    }  # fmt: skip
    sandbox.world.updates.add("message", message | more)


_numbers = itertools.count(70_000)


COMMANDS = (
    "/retrain",
    "/ban #1",
    "/backup",
    "/audit",
    "/forget",
    "/optin",
    "/optout",
    "/slogan green tea",
    "/duel a b",
)


async def test_commands_that_others_wrote_are_obeyed_for_nobody(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    root, roots = scene.person("Root", person_id=ADMIN_ID)
    await scene.say(root, roots, "/help")
    before = len(sandbox.calls_of("sendMessage"))
    for borrowed in BORROWED.values():
        group, _ = await scene.company()  # nobody reads the same there again and again
        world.join(root, group)
        ada, private = scene.person("Ada")
        world.state.of(private).is_started = True
        for person, chat in ((root, group), (ada, private)):
            for command in COMMANDS:
                send(sandbox, person, chat, command, **borrowed)
            document = {"file_id": "x", "file_unique_id": "x", "file_name": "a.txt", "file_size": 3}
            send(sandbox, person, chat, "/summary", document=document, **borrowed)
        send(sandbox, root, roots, "/retrain", **borrowed)
        send(sandbox, root, roots, "/retrain", **BY_A_BOT)
        await bot.settled()
    sent = [str(call.params["text"]) for call in sandbox.calls_of("sendMessage")[before:]]
    assert set(sent) == {SENTENCE} and len(sent) == 4 * len(BORROWED) + 2
    for table in ("runs", "generations", "audit", "consents"):
        assert bot.rows(f"SELECT count(*) FROM {table}") == [(0,)]


async def test_in_a_group_others_words_ask_for_nothing_and_in_private_they_may_be_written_about(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    group, (ada,) = await scene.company("Ada")
    private = sandbox.world.private_chat(ada)
    await scene.say(ada, private, "/help")
    for more in (*BORROWED.values(), BY_A_BOT):
        send(sandbox, ada, group, "@ovation_bot green tea", "mention", **more)
    await bot.settled()
    assert bot.rows("SELECT count(*) FROM generations") == [(0,)]
    send(sandbox, ada, private, "green tea", **BY_A_BOT)
    send(sandbox, ada, private, "green tea", **BORROWED["of a channel"])
    await bot.settled()
    assert bot.rows("SELECT count(*) FROM generations") == [(1,)]


async def test_a_quote_is_not_among_the_words_and_those_beside_it_count(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    root, roots = scene.person("Root", person_id=ADMIN_ID)
    await scene.say(root, roots, "/help")
    origin = {"origin": BORROWED["of a channel"]["forward_origin"], "message_id": 1}
    send(sandbox, root, roots, "thanks", quote={"text": "/backup", "position": 0}, external_reply=origin)
    send(sandbox, root, roots, "/audit", quote={"text": "tea", "position": 0}, external_reply=origin)
    await bot.settled()
    assert bot.rows("SELECT count(*) FROM audit") == [(0,)]
    assert any("audit" in message.text.lower() for message in sandbox.world.messages(roots))
    assert bot.rows("SELECT count(*) FROM generations") == [(1,)], "of the thanks"
