"""Who sees what: the world's rules without HTTP, read from the queue of updates."""

from datetime import UTC, datetime, timedelta

import pytest
from telegram import Update

from bot.sandbox.world.errors import ApiError, NoProgress
from bot.sandbox.world.records import Entity
from bot.sandbox.world.text import Formatted, trimmed, utf16_length
from bot.sandbox.world.world import World
from tests.bot.sandbox.test_sandbox import bot_sends

FIVE_O_CLOCK = datetime(2026, 5, 1, 17, tzinfo=UTC)


@pytest.fixture
def world():
    world = World(clock=lambda: FIVE_O_CLOCK)
    world.updates.allow(Update.ALL_TYPES)
    return world


def told(world):
    """What the bot will be told, emptied by the look: pairs of kind and payload."""
    waiting = [(each.kind, each.payload) for each in world.updates.pending]
    world.updates.pending.clear()
    return waiting


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("/slogan green tea", True),
        ("/slogan@ovation_bot green tea", True),
        ("/slogan@Ovation_Bot green tea", True),
        ("/slogan@other_bot green tea", False),
        ("good morning", False),
        ("hello @ovation_bot", False),
        ("half/slogan", False),
    ],
)
def test_with_privacy_mode_a_member_bot_gets_commands_for_it_only(world, text, reaches):
    ada, group = world.add_person("Ada"), world.add_group("Tea house")
    world.join(ada, group)
    told(world)
    world.say(ada, group, text)
    assert [kind for kind, _ in told(world)] == (["message"] if reaches else [])


def test_an_admin_bot_gets_everything(world):
    ada, group = world.add_person("Ada"), world.add_group("Tea house", bot_admin=True)
    world.join(ada, group)
    told(world)
    world.say(ada, group, "good morning")
    assert [payload["text"] for _, payload in told(world)] == ["good morning"]


async def test_a_reply_to_the_bot_reaches_it_in_spite_of_privacy_mode(world):
    ada, group = world.add_person("Ada"), world.add_group("Tea house")
    world.join(ada, group)
    text = await bot_sends(world, group, "a text")
    told(world)
    world.say(ada, group, "shorter please", reply_to=text)
    [(_, payload)] = told(world)
    assert payload["reply_to_message"]["text"] == "a text"


@pytest.mark.parametrize(("is_admin", "kinds"), [(True, ["message_reaction"]), (False, [])])
def test_reactions_in_groups_reach_admin_bots_only(world, is_admin, kinds):
    ada, group = world.add_person("Ada"), world.add_group("Tea house", bot_admin=is_admin)
    world.join(ada, group)
    message = world.say(ada, group, "/slogan tea")
    told(world)
    world.react(ada, message, ["👍"])
    assert [kind for kind, _ in told(world)] == kinds


def test_a_reaction_in_a_private_chat_reaches_the_bot(world):
    ada = world.add_person("Ada")
    message = world.say(ada, world.private_chat(ada), "/slogan tea")
    told(world)
    world.react(ada, message, ["👍"])
    [(kind, payload)] = told(world)
    assert (kind, payload["user"]["id"], payload["chat"]["type"]) == ("message_reaction", ada.id, "private")


def test_the_same_reaction_again_tells_nothing(world):
    ada = world.add_person("Ada")
    message = world.say(ada, world.private_chat(ada), "/slogan tea")
    world.react(ada, message, ["❤️"])
    told(world)
    world.react(ada, message, ["❤"])
    assert told(world) == []


def test_an_anonymous_reaction_names_the_chat_and_no_person(world):
    ada, group = world.add_person("Ada"), world.add_group("Tea house", bot_admin=True)
    world.join(ada, group)
    message = world.say(ada, group, "/slogan tea")
    told(world)
    world.react(ada, message, ["🔥"], anonymous=True)
    [(_, payload)] = told(world)
    assert "user" not in payload
    assert payload["actor_chat"]["id"] == group.id


async def test_in_a_channel_reactions_are_only_counted(world):
    people = [world.add_person(name) for name in ("Ada", "Ben", "Clara")]
    channel = world.add_channel("News")
    for person in people:
        world.join(person, channel)
    post = await bot_sends(world, channel, "a post")
    told(world)
    for person, emoji in zip(people, "👍👍🔥", strict=True):
        world.react(person, post, [emoji])
    kind, payload = told(world)[-1]
    assert kind == "message_reaction_count"
    assert [(each["type"]["emoji"], each["total_count"]) for each in payload["reactions"]] == [("👍", 2), ("🔥", 1)]


def test_an_anonymous_admin_writes_as_the_group(world):
    ada, group = world.add_person("Ada"), world.add_group("Tea house", bot_admin=True)
    world.join(ada, group)
    told(world)
    world.say(ada, group, "/slogan tea", anonymous=True)
    [(_, payload)] = told(world)
    assert (payload["from"]["username"], payload["sender_chat"]["id"]) == ("GroupAnonymousBot", group.id)


def test_by_default_reactions_are_left_out(world):
    world.updates.allow([])
    ada = world.add_person("Ada")
    message = world.say(ada, world.private_chat(ada), "/slogan tea")
    world.react(ada, message, ["👍"])
    assert [kind for kind, _ in told(world)] == ["message"]


def test_none_keeps_the_setting_and_what_waits_stays(world):
    world.updates.allow(["message"])
    ada = world.add_person("Ada")
    world.say(ada, world.private_chat(ada), "one")
    world.updates.allow(["callback_query"])
    world.updates.allow(None)
    world.say(ada, world.private_chat(ada), "two")
    assert [payload["text"] for _, payload in told(world)] == ["one"]


def test_an_update_waits_for_a_day():
    moment = [FIVE_O_CLOCK]
    world = World(clock=lambda: moment[0])
    ada = world.add_person("Ada")
    world.say(ada, world.private_chat(ada), "yesterday")
    moment[0] += timedelta(hours=25)
    world.say(ada, world.private_chat(ada), "today")
    assert [each.payload["text"] for each in world.updates.first(100)] == ["today"]


def test_commands_and_mentions_are_marked_in_utf16_units(world):
    ada = world.add_person("Ada")
    world.say(ada, world.private_chat(ada), "😀 /poem for @ovation_bot at https://example.org/x.")
    [(_, payload)] = told(world)
    marks = [(mark["type"], mark["offset"], mark["length"]) for mark in payload["entities"]]
    assert marks == [("bot_command", 3, 5), ("mention", 13, 12), ("url", 29, 21)]


def test_migration_tells_both_ids(world):
    ada, group = world.add_person("Ada"), world.add_group("Tea house", kind="group", bot_admin=True)
    world.join(ada, group)
    told(world)
    new = world.migrate(group)
    payloads = [payload for _, payload in told(world)]
    assert [(p["chat"]["id"], p.get("migrate_to_chat_id"), p.get("migrate_from_chat_id")) for p in payloads] == [
        (group.id, new.id, None),
        (new.id, None, group.id),
    ]
    assert world.chats_of(ada) == (new,)


def test_nothing_reaches_a_bot_that_left(world):
    ada, group = world.add_person("Ada"), world.add_group("Tea house", bot_admin=True)
    world.join(ada, group)
    message = world.say(ada, group, "/slogan tea")
    world.set_bot_status(group, "left")
    told(world)
    world.say(ada, group, "/slogan tea")
    world.react(ada, message, ["👍"])
    assert told(world) == []


async def test_waiting_ends_with_what_was_waited_for_or_a_time_out(world):
    ada = world.add_person("Ada")
    chat = world.private_chat(ada)
    with pytest.raises(TimeoutError):
        await world.until(lambda: world.messages(chat), 0.05)
    world.say(ada, chat, "hello")
    [message] = await world.until(lambda: world.messages(chat), 0.05)
    assert message.text == "hello"


async def test_an_unanswered_button_gives_none(world):
    ada = world.add_person("Ada")
    chat = world.private_chat(ada)
    world.say(ada, chat, "/start")
    sent = await bot_sends(world, chat, "May I?", ("Yes", "optin:1"))
    assert await world.press(ada, sent, "optin:1", timeout_seconds=0.05) is None


async def test_a_topic_begins_with_a_notice_to_which_its_messages_reply(world):
    ada, forum = world.add_person("Ada"), world.add_group("Tea house", bot_admin=True, is_forum=True)
    world.join(ada, forum)
    topic = world.open_topic(ada, forum, "Green")
    told(world)
    world.say(ada, forum, "/slogan tea", topic=topic)
    [(_, payload)] = told(world)
    assert (payload["message_thread_id"], payload["is_topic_message"], payload["chat"]["is_forum"]) == (
        topic,
        True,
        True,
    )
    assert payload["reply_to_message"]["forum_topic_created"]["name"] == "Green"
    with pytest.raises(ApiError, match="thread not found"):
        await bot_sends(world, forum, "a text", message_thread_id=topic + 1)


async def test_a_reply_in_a_plain_supergroup_names_a_thread_that_is_no_topic(world):
    ada, group = world.add_person("Ada"), world.add_group("Tea house", bot_admin=True)
    world.join(ada, group)
    first = world.say(ada, group, "/slogan tea")
    told(world)
    world.say(ada, group, "indeed", reply_to=first)
    [(_, payload)] = told(world)
    assert payload["message_thread_id"] == first.id and "is_topic_message" not in payload
    with pytest.raises(ApiError, match="thread not found"):
        await bot_sends(world, group, "a text", message_thread_id=first.id)


def test_ends_are_trimmed_and_entities_move_along():
    assert trimmed(Formatted("  x \n", (Entity("bold", 2, 2),))) == Formatted("x", (Entity("bold", 0, 1),))


def test_characters_outside_the_basic_plane_count_twice():
    assert [utf16_length(text) for text in ("", "aé字", "😀", "👨‍💻")] == [0, 3, 2, 5]


async def test_what_is_active_is_waited_for_however_long_it_takes(world):
    beats = []

    def activity() -> int:
        beats.append(len(beats))
        return beats[-1]

    found = await world.until_or_stalled(
        lambda: "there" if len(beats) > 8 else None, activity=activity, stall_seconds=0.01, complaint="Nothing moved"
    )
    assert found == "there"


async def test_what_stands_still_is_told(world):
    with pytest.raises(NoProgress, match=r"^Nothing has moved for 0 seconds\.$"):
        await world.until_or_stalled(
            lambda: None, activity=lambda: 1, stall_seconds=0.01, complaint="Nothing has moved"
        )
