"""A growing text is shown by few edits, and by none when Telegram asks to wait."""

import asyncio

import pytest

from bot.common.errors import NotNow
from bot.generation import pipeline
from bot.generation.pipeline import Preview
from bot.messaging.messenger import Address, Keyboard, Urgency
from tests.support.virtual_time import in_virtual_time


class RecordingMessenger:
    """Stands in at the border to Telegram."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.shown: list[str] = []
        self.tries = 0
        self._refuse = refuse

    async def send(self, to: Address, text: str, buttons: Keyboard = ()) -> int:
        raise AssertionError("a preview only edits")

    async def edit(
        self, chat_id: int, message_id: int, text: str, buttons: Keyboard = (), *, urgency: Urgency = Urgency.FINAL
    ) -> None:
        assert urgency is Urgency.PREVIEW
        self.tries += 1
        if self._refuse:
            raise NotNow("wait", seconds=60)
        self.shown.append(text)

    async def edit_markdown(
        self, chat_id: int, message_id: int, body: str, footer: str, buttons: Keyboard = ()
    ) -> None:
        raise AssertionError("a preview is plain")

    async def edit_buttons(self, chat_id: int, message_id: int, buttons: Keyboard) -> None:
        raise AssertionError("a preview has text")

    async def delete(self, chat_id: int, message_id: int) -> None:
        raise AssertionError("a preview deletes nothing")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "FIRST_WORDS_SECONDS", 0.01)
    monkeypatch.setattr(pipeline, "PRIVATE_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(pipeline, "GROUP_INTERVAL_SECONDS", 0.2)


async def grow(messenger: RecordingMessenger, *, chat_id: int) -> None:
    async with Preview(messenger, chat_id, 1) as growing:
        for times in range(1, 101):
            growing.show("tea " * times)
            await asyncio.sleep(0.003)


@in_virtual_time
async def test_pieces_are_merged_into_few_growing_edits_and_groups_get_fewer() -> None:
    private, group = RecordingMessenger(), RecordingMessenger()
    await asyncio.gather(grow(private, chat_id=1), grow(group, chat_id=-1))
    assert 2 <= len(private.shown) <= 25
    assert 1 <= len(group.shown) <= 3
    assert private.shown == sorted(private.shown, key=len) and private.shown[0].endswith(" …")
    assert len(set(private.shown)) == len(private.shown)


@in_virtual_time
async def test_the_first_words_do_not_wait_for_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "GROUP_INTERVAL_SECONDS", 60.0)
    messenger = RecordingMessenger()
    async with Preview(messenger, -1, 1) as growing:
        await asyncio.sleep(0.05)  # the engine takes its time
        growing.show("tea")
        while not messenger.shown:
            await asyncio.sleep(0.01)
        growing.show("tea time")
        await asyncio.sleep(0.1)
    assert messenger.shown == ["tea …"]


@in_virtual_time
async def test_a_preview_waits_as_long_as_telegram_asks() -> None:
    messenger = RecordingMessenger(refuse=True)
    await grow(messenger, chat_id=1)
    assert messenger.tries == 1


@in_virtual_time
async def test_nothing_is_shown_before_there_is_text() -> None:
    messenger = RecordingMessenger()
    async with Preview(messenger, 1, 1) as growing:
        growing.show(" \n")
        await asyncio.sleep(0.1)
    assert messenger.shown == []


@in_virtual_time
async def test_a_wait_is_told_seldom_and_only_when_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PATIENCE_SECONDS", 0.3)
    messenger = RecordingMessenger()
    asked = []

    def ahead() -> str:
        asked.append(len(asked))
        return f"{9 - len(asked)} before you"

    async with Preview(messenger, 1, 1) as growing:
        growing.meanwhile = ahead
        await asyncio.sleep(0.15)
        assert messenger.shown == []
        while len(messenger.shown) < 3:
            await asyncio.sleep(0.01)
        growing.show("tea")
        while messenger.shown[-1] != "tea …":
            await asyncio.sleep(0.01)
        assert messenger.shown == ["8 before you", "7 before you", "6 before you", "tea …"]
        growing.show("")
        await asyncio.sleep(0.1)
        growing.show("milk")
        while messenger.shown[-1] != "milk …":
            await asyncio.sleep(0.01)


@in_virtual_time
async def test_a_wait_of_which_nothing_is_known_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PATIENCE_SECONDS", 0.0)
    messenger = RecordingMessenger()
    async with Preview(messenger, 1, 1):
        await asyncio.sleep(0.1)
    assert messenger.tries == 0


class SlowMessenger(RecordingMessenger):
    """Telegram takes its time over an edit."""

    async def edit(
        self, chat_id: int, message_id: int, text: str, buttons: Keyboard = (), *, urgency: Urgency = Urgency.FINAL
    ) -> None:
        await asyncio.sleep(0.2)
        await super().edit(chat_id, message_id, text, buttons, urgency=urgency)


@in_virtual_time
async def test_an_edit_under_way_is_over_before_the_final_one_can_begin() -> None:
    messenger = SlowMessenger()
    async with Preview(messenger, 1, 1) as growing:
        growing.show("tea")
        await asyncio.sleep(0.1)  # the edit has begun
        assert messenger.shown == []
    assert messenger.shown == ["tea …"]


@in_virtual_time
async def test_what_may_not_be_seen_is_not_previewed() -> None:
    messenger = RecordingMessenger()
    async with Preview(messenger, 1, 1, may_show=lambda text: "secret" not in text) as growing:
        growing.show("green tea")
        await asyncio.sleep(0.1)
        growing.show("green tea and a secret")
        await asyncio.sleep(0.1)
    assert messenger.shown == ["green tea …"]


@in_virtual_time
async def test_a_label_that_is_not_ours_is_not_shown_while_the_text_grows() -> None:
    messenger, whole = RecordingMessenger(), "Tea is good.\n\nHuman-written / AI 生成 · v3 · #12\n\nCome along."
    async with Preview(messenger, 1, 1) as growing:
        for end in range(1, len(whole) + 1):
            growing.show(whole[:end])
            await asyncio.sleep(0.03)
    assert len(messenger.shown) > 20 and messenger.shown[-1] == "Tea is good.\n\nCome along. …"
    assert not any("written" in text or "v3" in text or "#1" in text for text in messenger.shown)
