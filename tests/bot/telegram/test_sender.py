"""Telegram's errors become ours: gone, not now, or refused; an edit that changes nothing is done."""

import json
from collections.abc import Awaitable, Callable

import pytest
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError, TimedOut
from telegram.request import RequestData

from bot.common.errors import ChatGone, DeliveryError, MessageGone, NotNow
from bot.messaging.messenger import Address, Button, Offer, with_retries
from bot.telegram.sender import Sender, _Refused, _translated
from tests.support.network_stand_in import NetworkStandIn, bot_on


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Forbidden("bot was blocked by the user"), ChatGone),
        (ChatMigrated(-100), ChatGone),
        (BadRequest("Chat not found"), ChatGone),
        (BadRequest("Message to edit not found"), MessageGone),
        (BadRequest("Query is too old and response timeout expired or query id is invalid"), MessageGone),
        (BadRequest("Message is too long"), _Refused),
        (TimedOut(), NotNow),
        (TelegramError("?"), DeliveryError),
    ],
)
def test_errors_are_translated(error: TelegramError, expected: type[DeliveryError]) -> None:
    with pytest.raises(DeliveryError) as caught, _translated():
        raise error
    assert type(caught.value) is expected


def test_an_edit_that_changes_nothing_is_done() -> None:
    with _translated():
        raise BadRequest("Message is not modified: specified new message content is exactly the same")


def test_the_wait_that_telegram_asks_for_is_kept() -> None:
    with pytest.raises(NotNow) as caught, _translated():
        raise RetryAfter(17)
    assert caught.value.seconds == 17


def failing(times: int, error: DeliveryError) -> Callable[[], Awaitable[str]]:
    left = [error] * times

    async def action() -> str:
        if left:
            raise left.pop()
        return "shown"

    return action


async def test_patience_waits_out_what_passes_and_not_what_is_final() -> None:
    assert await with_retries(failing(3, NotNow("later", seconds=0.01))) == "shown"
    with pytest.raises(ChatGone):
        await with_retries(failing(1, ChatGone("gone")))


class RecordingTelegram(NetworkStandIn):
    """Stands in for the network: notes every call, and refuses what has markup if told so."""

    def __init__(self, *, refuses_markup: bool = False) -> None:
        self.calls: list[tuple[str, dict[str, object]]] = []
        self._refuses_markup = refuses_markup

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *_: object, **__: object
    ) -> tuple[int, bytes]:
        assert request_data is not None
        endpoint, parameters = url.rsplit("/", 1)[1], dict(request_data.json_parameters)
        self.calls.append((endpoint, parameters))
        if "entities" in str(parameters) and self._refuses_markup:
            return 400, b'{"ok": false, "description": "Bad Request: can\'t parse entities"}'
        message = {"message_id": 7, "date": 1, "chat": {"id": 1, "type": "private"}}
        return 200, json.dumps({"ok": True, "result": message}).encode()


def sender(telegram: RecordingTelegram) -> Sender:
    return Sender(bot_on(telegram))


LIKE = ((Button("👍", "up:1"),),)


async def test_an_edit_that_would_change_nothing_is_never_sent() -> None:
    telegram = RecordingTelegram()
    messages = sender(telegram)
    message_id = await messages.send(Address(chat_id=1), "✍️ …")
    await messages.edit(1, message_id, "✍️ …")
    await messages.edit(1, message_id, "tea", LIKE)
    await messages.edit(1, message_id, "tea", LIKE)
    await messages.edit_buttons(1, message_id, LIKE)
    assert [endpoint for endpoint, _ in telegram.calls] == ["sendMessage", "editMessageText"]


async def test_markdown_is_shown_as_spans_and_a_footer_is_left_alone() -> None:
    telegram = RecordingTelegram()
    await sender(telegram).edit_markdown(1, 7, "**tea** [click](http://evil.example)", "AI_generated_ · #1")
    ((_, sent),) = telegram.calls
    assert sent["text"] == "tea click (http://evil.example)\n\nAI_generated_ · #1"
    assert [(span["type"], span["length"]) for span in json.loads(str(sent["entities"]))] == [("bold", 3)]
    assert json.loads(str(sent["link_preview_options"])) == {"is_disabled": True}


async def test_no_word_of_a_text_vanishes_and_nothing_but_one_blank_line_stands_before_the_label() -> None:
    telegram = RecordingTelegram()
    body = "Dear <name>, thank you for your **<thing>**:\n\n- a\n- b\n\n\n```python\nx\n```\n\n* c\n"
    await sender(telegram).edit_markdown(1, 7, body, "label")
    ((_, sent),) = telegram.calls
    text = "Dear <name>, thank you for your <thing>:\n\n• a\n• b\n\nx\n\n• c\n\nlabel"
    assert sent["text"] == text
    bold, program = json.loads(str(sent["entities"]))
    assert bold == {"type": "bold", "offset": 32, "length": 7}
    assert program == {"type": "pre", "offset": text.index("x\n"), "length": 1, "language": "python"}


async def test_markup_that_telegram_refuses_is_shown_as_plain_text() -> None:
    telegram = RecordingTelegram(refuses_markup=True)
    await sender(telegram).edit_markdown(1, 7, "**tea**", "label")
    assert [sent["text"] for _, sent in telegram.calls] == ["tea\n\nlabel", "**tea**\n\nlabel"]


@pytest.mark.parametrize("body", ["***", "- " * 1500])
async def test_a_text_that_is_all_marks_is_shown_as_it_stands(body: str) -> None:
    telegram = RecordingTelegram()
    await sender(telegram).edit_markdown(1, 7, body, "label")
    assert str(telegram.calls[-1][1]["text"]).endswith("\n\nlabel")
    assert len(str(telegram.calls[-1][1]["text"])) <= 4096


def an_offer(body: str) -> Offer:
    return Offer(token="t", title="✍️ write 1", body=body, footer="label · #1", is_markdown=True, buttons=LIKE)


async def test_offers_carry_spans_a_footer_and_buttons_and_nothing_of_them_is_kept() -> None:
    telegram = RecordingTelegram()
    await sender(telegram).offer("7", [an_offer("**tea** time"), an_offer("- " * 1500)], "Look here")
    ((endpoint, sent),) = telegram.calls
    first, second = json.loads(str(sent["results"]))
    content = first["input_message_content"]
    assert endpoint == "answerInlineQuery" and content["message_text"] == "tea time\n\nlabel · #1"
    assert [span["type"] for span in content["entities"]] == ["bold"] and content["link_preview_options"]
    assert first["description"] == "tea time"
    assert first["reply_markup"]["inline_keyboard"][0][0]["callback_data"] == "up:1"
    all_marks = second["input_message_content"]["message_text"]
    assert all_marks.endswith("\n\nlabel · #1") and len(all_marks) <= 4096
    assert json.loads(str(sent["button"])) == {"text": "Look here", "start_parameter": "inline"}
    assert (str(sent["cache_time"]), str(sent["is_personal"]).lower()) == ("0", "true")


async def test_offers_whose_markup_telegram_refuses_are_offered_as_plain_text() -> None:
    telegram = RecordingTelegram(refuses_markup=True)
    await sender(telegram).offer("7", [an_offer("**tea**")])
    _, (_, sent) = telegram.calls
    (result,) = json.loads(str(sent["results"]))
    assert result["input_message_content"]["message_text"] == "**tea**\n\nlabel · #1" and "button" not in sent
