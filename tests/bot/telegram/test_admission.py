"""What people do by hand is let in whole; of a flood only what decides; and what people rely on always decides."""

import itertools
import random
from typing import Any

import pytest

from bot.telegram.admission import MOST, OF_CHAT, OF_CROWD, OF_SENDER, Admission
from tests.support.updates import (
    BOT,
    as_chat,
    asked_inline,
    counted,
    pressed,
    pressed_inline,
    reacted,
    read,
    said,
)

ADA, BOB, GROUP = 100, 200, -1001


class Door:
    """Lets updates in, in the order in which they come, and knows what waits."""

    def __init__(self) -> None:
        self.admission = Admission(BOT)
        self.raws: dict[int, dict[str, Any]] = {}
        self.dropped: list[str] = []
        self._numbers = itertools.count(1)

    def send(self, *raws: dict[str, Any]) -> "Door":
        for raw in raws:
            number = next(self._numbers)
            reason = self.admission.admit(read(number, raw))
            if reason is not None:
                self.dropped.append(reason)
                continue
            self.raws[number] = raw
            for moot in self.admission.queue(number):
                del self.raws[moot]
        return self

    def send_together(self, *raws: dict[str, Any]) -> "Door":
        """As one batch, of which what is moot at once is not even stored."""
        batch = dict(zip(self._numbers, raws, strict=False))
        let_in = [number for number, raw in batch.items() if self.admission.admit(read(number, raw)) is None]
        for number in self.admission.moot_among(let_in):
            self.admission.end(number)
            let_in.remove(number)
        for number in let_in:
            self.raws[number] = batch[number]
            for moot in self.admission.queue(number):
                del self.raws[moot]
        return self

    def begin(self, number: int) -> None:
        self.admission.begin(number)

    def end(self) -> None:
        """All is handled."""
        for number in list(self.raws):
            self.admission.end(number)
        self.raws.clear()

    @property
    def data(self) -> list[str]:
        """The buttons whose presses wait."""
        return [raw["callback_query"]["data"] for raw in self.raws.values() if "callback_query" in raw]

    @property
    def texts(self) -> list[str]:
        return [raw["message"]["text"] for raw in self.raws.values() if "message" in raw]


def flooded(who: int = ADA, where: int = GROUP) -> Door:
    """As much waits of somebody as may."""
    return Door().send(*(said(who, where, f"/slogan {number}") for number in range(OF_SENDER)))


COMMANDS = "start help settings stats top about privacy optin optout cancel check mydata".split()


@pytest.mark.parametrize(
    "burst",
    [
        [said(ADA, ADA, "/slogan tea")] * 5,
        [said(ADA, ADA, f"/{name}") for name in COMMANDS],
        [said(4242, 4242, f"/{name}") for name in ("models", "health", "audit", "backup", "promote v1", "ban #1")],
        [reacted(who, GROUP, "👍") for who in range(1, 1001)],
        [pressed(who, GROUP, "up:1") for who in range(1, 301)],
        [said(who, who, "/slogan tea") for who in range(1, 1001)],
        [said(who, GROUP, "/start") for who in range(1, 1001)],
        [said(who, GROUP, f"/slogan {turn}") for turn in range(3) for who in range(1, 41)],
        [reacted(ADA, GROUP, "👍", message=number) for number in range(200)],
        [pressed(ADA, GROUP, f"up:{number}", message=number) for number in range(200)],
        [
            said(ADA, GROUP, "/report", reply_to_message={"message_id": n, **said(7, GROUP, "")["message"]})
            for n in (1,)
        ],
        [said(ADA, ADA, "/cancel"), said(ADA, ADA, "/slogan tea"), said(ADA, ADA, "/cancel")],
        [as_chat(GROUP, "/slogan tea"), said(ADA, GROUP, "/slogan tea"), asked_inline(ADA, "tea")],
    ],
)
def test_what_people_do_by_hand_is_let_in_whole(burst: list[dict[str, Any]]) -> None:
    door = Door().send(*burst)
    assert door.dropped == [] and len(door.raws) == len(burst) and not door.admission.is_full


def test_a_command_that_waits_already_is_answered_once_and_again_when_it_is_answered() -> None:
    door = Door().send(
        *[said(ADA, GROUP, "/help"), said(ADA, GROUP, "/HELP@ovation_bot me"), said(ADA, GROUP, "/top")] * 9
    )
    assert door.texts == ["/help", "/top"] and set(door.dropped) == {"repeated"}
    assert Door().send(said(ADA, GROUP, "/help"), said(BOB, GROUP, "/help"), said(ADA, ADA, "/help")).dropped == []
    door.begin(1)
    door.send(*[said(ADA, GROUP, "/help")] * 9)
    assert door.texts == ["/help", "/top", "/help"], "the first may be answered already"
    door.end()
    assert door.send(said(ADA, GROUP, "/help")).texts == ["/help"]


def test_the_excess_of_one_sender_is_dropped_and_nobody_elses() -> None:
    door = flooded().send(said(ADA, ADA, "tea"), said(ADA, -1002, "/poem tea"), said(BOB, GROUP, "/poem tea"))
    assert door.dropped == ["sender", "sender"] and door.texts[-1] == "/poem tea" and len(door.raws) == OF_SENDER + 1
    door.end()
    assert door.send(said(ADA, ADA, "tea")).texts == ["tea"]


@pytest.mark.parametrize(
    "kind",
    [
        lambda n: said(ADA, GROUP, f"/nothing{n}"), lambda n: said(ADA, ADA, "", reply_to_message=None),
        lambda n: pressed(ADA, ADA, f"set:length:long:{n:012x}"), lambda n: pressed(ADA, GROUP, f"again:{n}"),
        lambda n: pressed(ADA, GROUP, f"\x00 nothing of ours {n}"), lambda n: pressed(ADA, GROUP, f"up:{n}"),
        lambda n: pressed(ADA, GROUP, f"yes:{n:016}"), lambda n: pressed(ADA, ADA, f"optin:{n}"),
        lambda n: pressed_inline(ADA, f"up:{n}:token"), lambda n: asked_inline(ADA, f"tea {n}"),
        lambda n: reacted(ADA, GROUP, "👍👎"[n % 2]), lambda n: counted(GROUP, n), lambda n: as_chat(GROUP, f"/a{n}"),
        lambda n: said(ADA, GROUP, "/optin" if n % 2 else "/optout"), lambda n: said(ADA, GROUP, f"/forget {n}"),
        lambda n: said(ADA, -n - 1, f"/slogan {n}"), lambda n: said(ADA, GROUP, f"/duel {n}"),
        lambda n: said(ADA, GROUP, "/report", reply_to_message=said(7, GROUP, "")["message"] | {"message_id": n}),
    ],
)  # fmt: skip
def test_of_a_flood_of_any_kind_little_waits_and_the_inbox_is_not_full(kind: Any) -> None:
    door = Door().send(*(kind(number) for number in range(500)))
    assert len(door.admission) == len(door.raws) <= OF_SENDER + 3 and not door.admission.is_full


def test_one_chat_never_fills_the_inbox_and_who_has_nothing_waiting_there_is_let_in() -> None:
    crowd = [said(who, GROUP, f"/slogan {turn}") for turn in range(20) for who in range(1, OF_CHAT + 1)]
    door = Door().send(*crowd)
    assert len(door.raws) == OF_CHAT and set(door.dropped) == {"chat"}
    door.send(*(said(who, GROUP, "/slogan tea") for who in range(OF_CHAT + 1, 3 * OF_CROWD)))
    assert len(door.raws) == OF_CROWD and not door.admission.is_full
    for name in range(2, MOST // OF_CHAT + 2):
        assert not door.admission.is_full
        door.send(*(said(10_000 * name + who, -name, "/slogan tea") for who in range(OF_CHAT)))
    assert door.admission.is_full, "it takes many people in many chats"
    door.end()
    assert not door.admission.is_full and len(door.admission) == 0


def toggled(stands: str, presses: list[str]) -> str:
    for press in presses:
        stands = "" if stands == press else press
    return stands


def test_presses_that_toggle_leave_what_they_would_have_left_however_many_are_dropped() -> None:
    rng = random.Random(22)
    for _ in range(60):
        presses = rng.choices(["up", "down"], [rng.random() + 0.01, 1], k=rng.randrange(1, 60))
        raws = [pressed(ADA, GROUP, f"{press}:1") for press in presses]
        door, cut = flooded(), rng.randrange(len(raws))
        if rng.random() < 0.5:
            door.send(*raws)
        else:
            door.send_together(*raws[:cut]).send_together(*raws[cut:])
        left = [data.partition(":")[0] for data in door.data]
        assert len(left) <= 3
        for before in ("", "up", "down"):
            assert toggled(before, left) == toggled(before, presses)


def test_a_press_that_is_being_handled_is_not_taken_back() -> None:
    door = flooded().send(pressed(ADA, GROUP, "up:1"))
    door.begin(OF_SENDER + 1)
    door.send(*[pressed(ADA, GROUP, "up:1")] * 5)
    assert toggled("", ["up"] * len(door.data)) == toggled("", ["up"] * 6)


def test_of_reactions_on_one_message_the_latest_by_its_date_decides() -> None:
    door = flooded()
    door.send(
        reacted(ADA, GROUP, "👍", after=1), reacted(ADA, GROUP, "👎", after=3), reacted(ADA, GROUP, "🔥", after=2)
    )
    door.send(reacted(ADA, GROUP, "💩", message=6), reacted(BOB, GROUP, "👍"), counted(GROUP, 1))
    left = [raw["message_reaction"] for raw in door.raws.values() if "message_reaction" in raw]
    assert [each["new_reaction"][0]["emoji"] for each in left] == ["👎", "💩", "👍"]


def test_of_reactions_within_one_second_the_highest_number_decides_in_whatever_order_they_come() -> None:
    admission = flooded().admission
    for number, emojis in ((902, ""), (901, "👍")):
        admission.admit(read(number, reacted(ADA, GROUP, *emojis)))
        assert admission.queue(number) == []
    assert 901 in admission and 902 in admission


def test_a_reaction_that_is_taken_back_stays_with_the_one_that_said_something_before_it() -> None:
    door = flooded().send(pressed(ADA, GROUP, "down:1"))
    door.send(*(reacted(ADA, GROUP, emoji, after=after) for after, emoji in enumerate("🔥👎👍", 1)))
    door.send(reacted(ADA, GROUP, "🤔", after=4), reacted(ADA, GROUP, after=6), reacted(ADA, GROUP, after=5))
    left = [raw["message_reaction"] for raw in door.raws.values() if "message_reaction" in raw]
    assert [[kind["emoji"] for kind in each["new_reaction"]] for each in left] == [["👍"], []]
    door.send(reacted(ADA, GROUP, "❤", after=7))
    (only,) = [raw["message_reaction"] for raw in door.raws.values() if "message_reaction" in raw]
    assert only["new_reaction"][0]["emoji"] == "❤"


def test_no_consent_no_forgetting_and_no_confirmation_is_ever_dropped_but_for_one_that_says_the_same_later() -> None:
    door = flooded()
    door.send(*(said(ADA, GROUP, text) for text in ("/optin", "/optout", "/forget", "/optin", "/forget now")))
    assert door.texts[OF_SENDER:] == ["/optout", "/optin", "/forget now"]
    door.send(pressed(ADA, GROUP, "yes:0123456789abcdef"), pressed(ADA, GROUP, "no:0123456789abcdef"))
    assert door.data == ["yes:0123456789abcdef"], "a question is answered once, and by the first answer"
    door.send(
        pressed(ADA, GROUP, "optout:1", message=9),
        pressed(ADA, GROUP, "better:1"),
        pressed(ADA, GROUP, "better:2", message=6),
    )
    door.send(pressed(ADA, GROUP, "better:1"))
    assert door.data[1:] == ["optout:1", "better:2", "better:1"]


def test_what_waits_stays_in_order_whatever_is_dropped() -> None:
    rng = random.Random(7)
    door, sent = Door(), []
    for number in range(800):
        raw = rng.choice([
            said(ADA, GROUP, f"/slogan {number}"), pressed(ADA, GROUP, f"up:{number}"), said(ADA, GROUP, "/optin"),
            reacted(ADA, GROUP, "👍", after=number), said(ADA, GROUP, "/optout"), said(BOB, GROUP, "/help"),
        ])  # fmt: skip
        sent.append(raw)
        door.send(raw)
        if rng.random() < 0.2 and door.raws:
            oldest = min(door.raws)
            door.admission.end(oldest)
            del door.raws[oldest]
        assert list(door.raws) == sorted(door.raws)
        assert all(door.raws[key] is sent[key - 1] for key in door.raws)
    door.end()
    assert len(door.admission) == 0 and not door.admission._waiting and not door.admission._newest
    assert not door.admission._of_sender and not door.admission._of_chat and not door.admission._look_ups


def test_what_is_not_as_telegrams_updates_are_is_let_in_for_its_handler_to_give_up() -> None:
    odd = [
        {"message": said(ADA, ADA, "")["message"] | {"text": 5}},
        said(ADA, ADA, "/x", entities=[{"type": "bot_command", "offset": -1, "length": 10**9}]),
    ]
    odd += [reacted(ADA, GROUP, "👍") for _ in range(1)]
    odd[-1]["message_reaction"]["message_id"] = [1]
    assert Door().send(*odd).dropped == []


def test_the_excess_of_presses_is_told_unread_and_only_what_would_be_dropped_in_any_case() -> None:
    presses = [
        pressed(ADA, ADA, data) for data in ("set:length:long:0123456789ab", "again:1", "up:1", "optout:1", "no:1")
    ]
    assert not any(Door().admission.is_excess(press) for press in presses)
    full = flooded()
    for press in presses:
        is_excess = full.admission.is_excess(press)
        before = len(full.dropped)
        assert is_excess == (len(full.send(press).dropped) > before)
    odd = [None, {}, {"callback_query": None}, {"callback_query": {"from": {"id": [1]}, "data": 5}}]
    assert not any(full.admission.is_excess(raw) for raw in odd) and not full.admission.is_excess(said(ADA, ADA, "tea"))
