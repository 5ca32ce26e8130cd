"""Whatever Telegram sends, once, twice, late, out of order or broken: each update counts once, and the bot goes on."""

import json
import signal
import sqlite3
from typing import Any

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import SeenMessage
from bot.sandbox.world.updates import Waiting
from storage.tables.inbox import MAX_ATTEMPTS
from tests.support.scene import ADMIN_ID, BotProcess, Scene, values


def send_raw(sandbox: Sandbox, *updates: dict[str, Any]) -> None:
    """Put updates before the bot exactly as they are, ids and all."""
    queue = sandbox.world.updates
    for update in updates:
        (kind,) = [name for name in update if name != "update_id"] or ["nothing"]
        queue.pending.append(Waiting(update["update_id"], kind, queue._clock(), update.get(kind, {})))
        queue._next_id = max(queue._next_id, update["update_id"] + 1)
    queue._wake()


def inbox_states(bot: BotProcess) -> dict[int, str]:
    return dict(bot.rows("SELECT update_id, state FROM inbox"))  # type: ignore[arg-type]


def a_message(update_id: int, sender: int, text: object, **more: object) -> dict[str, Any]:
    message = {
        "message_id": 90_000 + update_id % 1000, "date": 1_790_000_000, "text": text,
        "chat": {"id": sender, "type": "private", "first_name": "Ada"},
        "from": {"id": sender, "is_bot": False, "first_name": "Ada", "language_code": "en"},
    }  # fmt: skip
    return {"update_id": update_id, "message": message | more}


def answered(sandbox: Sandbox, chat: Any) -> list[SeenMessage]:
    return [message for message in sandbox.world.messages(chat) if message.button("up:")]


async def test_updates_that_come_five_times_and_out_of_order_count_once(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan black tea")
    entities = [{"type": "bot_command", "offset": 0, "length": 7}]
    prompt = a_message(800_000_005, ada.id, "/slogan green tea", entities=entities)
    send_raw(sandbox, *[prompt] * 5)
    await sandbox.world.until(lambda: len(answered(sandbox, chat)) >= 2, 30)
    shown = answered(sandbox, chat)[-1]
    user = {"id": ada.id, "is_bot": False, "first_name": "Ada"}
    base = {"chat": {"id": chat.id, "type": "private"}, "message_id": shown.id, "user": user, "old_reaction": []}

    def reaction(update_id: int, date: int, *emojis: str) -> dict[str, Any]:
        new = [{"type": "emoji", "emoji": emoji} for emoji in emojis]
        return {"update_id": update_id, "message_reaction": {**base, "date": date, "new_reaction": new}}

    late = reaction(800_000_011, 1_790_000_020, "👎")
    send_raw(sandbox, late, reaction(800_000_010, 1_790_000_010, "👍"), late, late)
    await values(bot, -1.0)
    await bot.settled()
    assert len(answered(sandbox, chat)) == 2
    await values(bot, -1.0)


async def test_numbers_that_start_anew_below_the_last_ones_are_accepted(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan black tea")
    await sandbox.world.until(lambda: sandbox.calls_of("getUpdates")[-1].params.get("offset") in (0, "0") or None, 30)
    sandbox.world.updates._next_id = 1_000
    await scene.ask(ada, chat, "/slogan green tea")
    assert 1_000 in inbox_states(bot)


async def test_garbage_is_buried_or_answered_and_never_stops_the_bot(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    root, roots = scene.person("Root", person_id=ADMIN_ID)
    await scene.ask(root, roots, "/slogan black tea")
    await scene.ask(ada, chat, "/slogan black tea")
    first = 800_000_100
    garbage = [
        {"update_id": first, "message": {"message_id": 1}},  # no chat, no date
        {"update_id": first + 1, "message": "a string"},
        {"update_id": first + 2, "message": {"message_id": 1, "date": 10**18, "chat": {"id": 1, "type": "private"}}},
        {"update_id": first + 3, "something_new": {"of": "tomorrow"}},
        {"update_id": first + 4},
        a_message(first + 5, ada.id, 12345),
        a_message(first + 6, ada.id, "nul \x00 and a lone \ud800 surrogate"),
        a_message(first + 7, ada.id, "\u202eright to left\u202c zero\u200bwidth " + "😀" * 500),
        a_message(first + 8, ada.id, "x" * 100_000),
    ]
    send_raw(sandbox, *garbage)
    assert (await scene.ask(ada, chat, "/slogan green tea")).button("up:")
    states = inbox_states(bot)
    numbers = range(first, first + len(garbage))
    assert set(numbers) <= set(states) and {states[number] for number in numbers} <= {"done", "dead"}
    assert [states[first + n] for n in (0, 1, 2)] == ["dead"] * 3
    told = await sandbox.world.until(
        lambda: [m.text for m in sandbox.world.messages(roots) if "had to give up on an update" in m.text], 20
    )
    assert len(told) == 1  # one alarm, not one for each


async def test_an_update_that_ends_the_process_each_time_is_given_up(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan black tea")
    await bot.stop(signal.SIGKILL)
    # as the processes that died over it would have left it
    poison = json.dumps(a_message(800_000_200, ada.id, "poison"))
    connection = sqlite3.connect(bot.folder / "data" / "ovation.db")
    connection.execute(
        "INSERT INTO inbox (update_id, received_at, body, attempts) VALUES (800000200, '2026-11-24', ?, ?)",
        (poison, MAX_ATTEMPTS),
    )
    connection.execute(
        "INSERT INTO inbox (update_id, received_at, body) VALUES (800000201, '2026-11-24', '{\"update_id\": \"no\"}')"
    )
    connection.commit()
    connection.close()
    await bot.start()
    assert (await scene.ask(ada, chat, "/slogan green tea")).button("up:")
    states = inbox_states(bot)
    assert (states[800_000_200], states[800_000_201]) == ("dead", "dead")


async def test_a_thousand_toggles_leave_one_rating_and_few_edits(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    message = await scene.ask(ada, chat, "/slogan green tea")
    for number in range(1001):
        sandbox.world.react(ada, message, ["👍"] if number % 2 == 0 else ["👎"])
    sandbox.world.react(ada, message, ["👍"])
    await sandbox.world.until(lambda: not sandbox.world.updates.pending or None, 60)
    await values(bot, 1.0)
    await sandbox.world.until(lambda: sandbox.world.current(message).button("up:").text == "👍 1" or None, 20)  # type: ignore[union-attr]
    assert len(sandbox.calls_of("editMessageReplyMarkup")) <= 100, "of a thousand and two"


async def test_reactions_of_nobody_on_strangers_messages_are_not_kept(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob")
    shown = await scene.ask(ada, group, "/slogan green tea")
    chatter = world.say(bob, group, "I had coffee")
    world.react(ada, chatter, ["🔥"])
    world.react(bob, shown, ["👍"], anonymous=True)
    world.react(bob, shown, ["👎"])
    await values(bot, -1.0)
    assert bot.rows("SELECT * FROM early_reactions") == []
    assert bot.rows("SELECT * FROM inbox WHERE body IS NOT NULL AND state <> 'new'") == []
