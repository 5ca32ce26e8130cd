"""Whoever is not on the list is told so once, whatever they send; who is gets through, and rights outlive the list."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from telegram import Update, User
from telegram.ext import ExtBot

from bot.common.errors import NotNow
from bot.common.keys import Pseudonyms
from bot.common.metrics import BotMetrics
from bot.common.settings import Settings
from bot.messaging.messenger import Address
from bot.telegram.allow_list import AllowList
from bot.telegram.inbox import Inbox
from storage.db.database import Database
from storage.tables import inbox as stored_updates
from storage.tables import people
from tests.support.stored.keys import keyring_in

ADMIN, ADA, EVE = 4242, 100, 666
TEAM, OTHERS, CHANNEL = -1001, -1002, -1003
TOKEN = "7:AAE-this_is_a_token_of_35_characters"
RIGHTS = dict.fromkeys(
    "can_be_edited is_anonymous can_manage_chat can_delete_messages can_manage_video_chats can_restrict_members"
    " can_promote_members can_change_info can_invite_users can_post_stories can_edit_stories"
    " can_delete_stories".split(),
    False,
)
PSEUDONYMS = Pseudonyms(bytes(32))


def user(number: int) -> dict[str, Any]:
    return {"id": number, "is_bot": False, "first_name": "Somebody", "language_code": "en"}


def chat(number: int) -> dict[str, Any]:
    if number > 0:
        return {"id": number, "type": "private", "first_name": "Somebody"}
    return {"id": number, "type": "channel" if number == CHANNEL else "supergroup", "title": "Tea lovers"}


def message(sender: int, where: int, text: str = "/slogan tea", **more: Any) -> dict[str, Any]:
    entities = []
    if text.startswith("/"):
        entities = [{"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}]
    body = {"message_id": 5, "date": 1_790_000_000, "chat": chat(where), "text": text, "entities": entities} | more
    return body if where == CHANNEL else body | {"from": user(sender)}


def reaction(sender: int, where: int) -> dict[str, Any]:
    base = {"chat": chat(where), "message_id": 5, "date": 1_790_000_000, "user": user(sender)}
    return base | {"old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": "👍"}]}


def standing(sender: int, where: int, before: str, now: str) -> dict[str, Any]:
    bot = {"id": 7, "is_bot": True, "first_name": "Ovation", "username": "ovation_bot"}
    old, new = ({"status": status, "user": bot} | RIGHTS for status in (before, now))
    change = {"chat": chat(where), "from": user(sender), "date": 1_790_000_000}
    return change | {"old_chat_member": old, "new_chat_member": new}


def press(sender: int, where: int, data: str = "up:1") -> dict[str, Any]:
    query = {"id": "9", "from": user(sender), "chat_instance": "1", "data": data}
    return query | {"message": message(7, where, "a text")}


def kinds(sender: int, where: int) -> dict[str, dict[str, Any]]:
    """An update of every kind that somebody makes somewhere."""
    return {
        "message": message(sender, where),
        "edited_message": message(sender, where) | {"edit_date": 1_790_000_001},
        "callback_query": press(sender, where),
        "message_reaction": reaction(sender, where),
        "my_chat_member": standing(sender, where, "left", "member"),
    }


INLINE = {
    "inline_query": {"id": "8", "from": user(EVE), "query": "slogan tea", "offset": ""},
    "chosen_inline_result": {"result_id": "1", "from": user(EVE), "query": "slogan tea"},
}


@dataclass
class Door:
    """An allow list of some settings, and what it says to whom."""

    db: Database
    folder: Path
    sender: MagicMock = field(default_factory=lambda: MagicMock(send=AsyncMock(), offer=AsyncMock(), leave=AsyncMock()))
    alerts: MagicMock = field(default_factory=MagicMock)
    metrics: BotMetrics = field(default_factory=BotMetrics)

    def open(self, *, ids: tuple[int, ...] = (), chats: tuple[int, ...] = ()) -> None:
        settings = Settings(
            telegram_bot_token=TOKEN, admin_ids=(ADMIN,), allowed_ids=ids, allowed_chats=chats, data_dir=self.folder
        )
        self.bot = ExtBot(TOKEN)
        self.bot._bot_user = User(7, "Ovation", is_bot=True, username="ovation_bot")
        self.list = AllowList(
            settings=settings, bot=self.bot, sender=self.sender, alerts=self.alerts, metrics=self.metrics, db=self.db,
            pseudonyms=PSEUDONYMS,
        )  # fmt: skip

    async def admits(self, kind: str, body: dict[str, Any]) -> bool:
        is_admitted = await self.list.admits(Update.de_json({"update_id": 1, kind: body}, self.bot))
        await asyncio.gather(*self.list._tasks._tasks)
        return is_admitted

    @property
    def said(self) -> list[tuple[int, str]]:
        return [(call.args[0].chat_id, call.args[1]) for call in self.sender.send.await_args_list]


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> Any:
    monkeypatch.chdir(tmp_path)
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    made = Door(db, tmp_path)
    yield made
    await made.list.close()
    await db.close()


async def test_without_a_list_everybody_is_let_in(door: Door) -> None:
    door.open()
    for where in (EVE, OTHERS):
        for kind, body in kinds(EVE, where).items():
            assert await door.admits(kind, body), kind
    assert await door.admits("channel_post", message(EVE, CHANNEL))


@pytest.mark.parametrize(
    ("sender", "where"), [(ADA, ADA), (ADA, OTHERS), (EVE, TEAM), (ADMIN, ADMIN), (ADMIN, OTHERS), (ADMIN, TEAM)]
)
async def test_people_on_the_list_and_everybody_in_a_chat_on_it_are_let_in(door: Door, sender: int, where: int) -> None:
    door.open(ids=(ADA,), chats=(TEAM, CHANNEL))
    for kind, body in kinds(sender, where).items():
        assert await door.admits(kind, body), kind
    assert await door.admits("channel_post", message(0, CHANNEL))
    assert door.said == [] and door.list.turned_away == 0


@pytest.mark.parametrize("where", [EVE, OTHERS])
async def test_nothing_of_anybody_else_is_let_in(door: Door, where: int) -> None:
    door.open(ids=(ADA,))
    for kind, body in (kinds(EVE, where) | INLINE).items():
        assert not await door.admits(kind, body), kind
    total = {"chat": chat(where), "message_id": 5, "date": 1_790_000_000, "reactions": []}
    assert not await door.admits("message_reaction_count", total)
    assert not await door.admits("channel_post", message(0, CHANNEL))
    assert f"ovation_turned_away_total {float(door.list.turned_away)}".encode() in door.metrics.text()
    assert door.list.turned_away > 5


async def test_a_stranger_is_told_once_in_private_with_the_number_to_give_to_the_operator(door: Door) -> None:
    door.open(ids=(ADA,))
    for text in ("hello", "/slogan tea", "/start", "/optin"):
        assert not await door.admits("message", message(EVE, EVE, text))
    ((where, words),) = door.said
    assert where == EVE and str(EVE) in words
    assert door.list.turned_away == 4


async def test_a_group_is_told_once_and_only_when_the_bot_is_spoken_to(door: Door) -> None:
    door.open(ids=(ADA,))
    for text in ("good morning", "/weather@other_bot", "@ovation_bot2 hello", "press@ovation_bot.example"):
        assert not await door.admits("message", message(EVE, OTHERS, text))
    assert door.said == [] and door.list.turned_away == 0
    mention = {"text": "hey @Ovation_Bot", "entities": [{"type": "mention", "offset": 4, "length": 12}]}
    ours = message(7, OTHERS, "a text") | {"from": {"id": 7, "is_bot": True, "first_name": "Ovation"}}
    caption = {"caption": "/summary", "caption_entities": [{"type": "bot_command", "offset": 0, "length": 8}]}
    for more in (mention, {"text": "nice", "reply_to_message": ours}, {"text": None, "entities": None, **caption}):
        assert not await door.admits("message", message(EVE, OTHERS) | more)
    assert not await door.admits("message", message(667, OTHERS, "/slogan@ovation_bot tea"))
    ((where, words),) = door.said
    assert where == OTHERS and str(OTHERS) in words
    assert door.list.turned_away == 4
    door.sender.leave.assert_not_awaited()


async def test_a_press_and_an_inline_query_are_answered(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    toast = AsyncMock()
    monkeypatch.setattr("bot.telegram.allow_list.toast", toast)
    door.open(ids=(ADA,))
    for _ in range(5):
        await door.admits("callback_query", press(EVE, OTHERS))
    toast.assert_awaited_once()
    assert toast.await_args is not None and toast.await_args.kwargs["number"] == str(EVE)
    await door.admits("inline_query", {"id": "8", "from": user(667), "query": "slogan", "offset": ""})
    door.sender.offer.assert_awaited_once()


async def test_who_may_use_the_bot_hears_that_a_channel_must_be_on_the_list(door: Door) -> None:
    door.open(ids=(ADA,))
    assert not await door.admits("my_chat_member", standing(ADA, CHANNEL, "left", "administrator"))
    ((told, words),) = door.said
    assert told == ADA and str(CHANNEL) in words
    door.sender.leave.assert_not_awaited()
    assert await door.admits("my_chat_member", standing(ADA, OTHERS, "left", "member"))
    door.open(ids=(ADA,), chats=(CHANNEL,))
    assert await door.admits("my_chat_member", standing(ADA, CHANNEL, "left", "administrator"))
    assert len(door.said) == 1


@pytest.mark.parametrize("where", [OTHERS, CHANNEL])
async def test_a_bot_that_a_stranger_brings_in_says_why_and_leaves(door: Door, where: int) -> None:
    door.open(ids=(ADA,))
    status = "administrator" if where == CHANNEL else "member"
    assert not await door.admits("my_chat_member", standing(EVE, where, "left", status))
    ((told, words),) = door.said
    assert told == (EVE if where == CHANNEL else OTHERS) and str(where) in words
    door.sender.leave.assert_awaited_once_with(where)
    assert not await door.admits("my_chat_member", standing(EVE, where, "member", "left"))
    assert len(door.said) == 1 and door.sender.leave.await_count == 1


async def test_with_chats_on_the_list_the_bot_leaves_the_others_it_is_in(door: Door) -> None:
    door.open(chats=(TEAM,))
    door.sender.send.side_effect = NotNow("later", seconds=1)
    for kind in ("message", "edited_message", "message_reaction"):
        assert not await door.admits(kind, kinds(EVE, OTHERS)[kind])
    door.sender.leave.assert_awaited_once_with(OTHERS)
    assert not await door.admits("channel_post", message(0, CHANNEL))
    assert door.sender.leave.await_count == 2 and len(door.said) == 1, "nothing is posted in a channel"
    assert not await door.admits("message", message(EVE, EVE)), "a private chat is nobody's group"


@pytest.mark.parametrize(
    "service",
    [message(EVE, TEAM, "", migrate_to_chat_id=OTHERS), message(1087968824, OTHERS, "", migrate_from_chat_id=TEAM)],
)
async def test_a_group_on_the_list_stays_on_it_when_it_becomes_a_supergroup(
    door: Door, service: dict[str, Any]
) -> None:
    door.open(chats=(TEAM,))
    assert await door.admits("message", service | {"sender_chat": service["chat"]})
    assert await door.admits("message", message(EVE, OTHERS))
    assert door.alerts.tell.call_args.kwargs == {"before": str(TEAM), "now": str(OTHERS)}


async def test_who_was_allowed_before_keeps_their_rights_and_no_more(door: Door) -> None:
    door.open(ids=(ADA,))
    rights = [f"/{name}" for name in ("privacy", "mydata", "optout", "forget", "developer_info", "forget@ovation_bot")]
    buttons = ["optout:3", "yes:0123456789abcdef", "no:0123456789abcdef"]
    for text in rights:
        assert not await door.admits("message", message(EVE, EVE, text)), "there is nothing of her"
    await people.see(door.db, PSEUDONYMS.person(EVE), at=datetime.now(UTC))
    for text in rights:
        assert await door.admits("message", message(EVE, EVE, text)), text
    for data in buttons:
        assert await door.admits("callback_query", press(EVE, OTHERS, data)), data
    for text in ("/optin", "/slogan tea", "forget", "/forget@other_bot", "/forgetful"):
        assert not await door.admits("message", message(EVE, EVE, text)), text
    for data in ("optin:3", "up:1", "yes:1"):
        assert not await door.admits("callback_query", press(EVE, OTHERS, data)), data


async def test_a_flood_of_strangers_is_not_told_all_at_once(door: Door) -> None:
    door.open(ids=(ADA,))
    gate = asyncio.Event()

    async def send(_to: Address, _text: str) -> int:
        await gate.wait()
        return 1

    door.sender.send = AsyncMock(side_effect=send)
    for number in range(1000, 1300):
        update = Update.de_json({"update_id": 1, "message": message(number, number)}, door.bot)
        assert not await door.list.admits(update)
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*door.list._tasks._tasks)
    assert door.sender.send.await_count == 100 and door.list.turned_away == 300


async def test_nothing_of_a_stranger_reaches_the_inbox_and_what_waits_from_before_is_dropped(door: Door) -> None:
    door.open(ids=(ADA,))
    inbox = Inbox(db=door.db, bot=door.bot, metrics=door.metrics, alerts=door.alerts, allow_list=door.list)

    async def stored() -> list[tuple[int, str, bool]]:
        return await door.db.read(
            lambda c: [tuple(row) for row in c.execute("SELECT update_id, state, body IS NOT NULL FROM inbox")]
        )

    odd = [{"text": 5}, {"text": ["/forget"]}, {"entities": [{"type": "bot_command", "offset": -1, "length": 10**9}]}]
    raws = [{"update_id": number, "message": message(EVE, EVE) | more} for number, more in enumerate([{}, *odd], 10)]
    await inbox.accept([*raws, {"update_id": 1, "message": message(ADA, ADA)}, {"update_id": 2, "nonsense": {}}])
    assert await stored() == [(1, "new", True)] and inbox.queue.qsize() == 1

    left = {"update_id": 3, "message": message(EVE, EVE, "/slogan a secret")}
    await stored_updates.accept(door.db, [(3, json.dumps(left))], at=datetime.now(UTC))
    await inbox.resume()
    assert await stored() == [(1, "new", True), (3, "done", False)] and inbox.queue.qsize() == 2
