"""What the start asks of Telegram is asked until it is answered, or refused for good, which is told in a sentence."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from telegram.error import NetworkError, TimedOut
from telegram.request import RequestData

from bot.common.errors import StartError
from bot.common.kinds import load_kinds
from bot.common.timing import Timing
from bot.telegram.application import publish_menu, reach
from tests.support.network_stand_in import NetworkStandIn, bot_on
from tests.support.virtual_time import in_virtual_time

TIMING = Timing(retry=3.0)
US = {"ok": True, "result": {"id": 7, "is_bot": True, "first_name": "Ovation", "username": "ovation_bot"}}

Answer = Exception | tuple[int, object]


class ScriptedTelegram(NetworkStandIn):
    """Answers with a status and JSON, or text as it stands, or fails; the last answer stands for all that follow."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.asked_at: list[float] = []

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *_: object, **__: object
    ) -> tuple[int, bytes]:
        self.asked_at.append(asyncio.get_running_loop().time())
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return status, (body if isinstance(body, str) else json.dumps(body)).encode()


def refusal(status: int, words: str, **parameters: Any) -> Answer:
    return status, {"ok": False, "error_code": status, "description": words, "parameters": parameters}


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (refusal(429, "Too Many Requests: retry after 17", retry_after=17), 17.0),
        (refusal(429, "Too Many Requests: retry after 0", retry_after=0), 3.0),
        (refusal(429, "Too Many Requests: retry after soon", retry_after="soon"), 3.0),
        (refusal(429, "Too Many Requests"), 3.0),
        (refusal(502, "Bad Gateway"), 3.0),
        ((502, "<html>Bad Gateway</html>"), 3.0),
        ((403, "<html>The proxy says no</html>"), 3.0),
        ((404, "<html>Not here</html>"), 3.0),
        ((200, "<html>Please log in</html>"), 3.0),
        ((200, []), 3.0),
        ((200, {"ok": True}), 3.0),
        ((200, {"ok": True, "result": None}), 3.0),
        ((200, {"ok": True, "result": {"id": "x"}}), 3.0),
        (TimedOut(), 3.0),
        (NetworkError("reset"), 3.0),
    ],
)
def test_what_passes_is_waited_out(answer: Answer, seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def start() -> None:
        telegram = ScriptedTelegram([answer, answer, (200, US)])
        bot = bot_on(telegram)
        await reach(bot.initialize, TIMING)
        assert bot.username == "ovation_bot"
        assert telegram.asked_at == [0.0, seconds, 2 * seconds]
        await bot.shutdown()

    start()
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("bot.")]
    assert len(ours) == 2 and all("Trying it again in" in words for words in ours)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refusal(401, "Unauthorized"), "Telegram does not know TELEGRAM_BOT_TOKEN"),
        (refusal(404, "Not Found"), "Telegram does not know TELEGRAM_BOT_TOKEN"),
        (refusal(403, "Forbidden: user is deactivated"), "user is deactivated"),
        (
            refusal(400, "Bad Request: bad webhook: an HTTPS\n URL must be provided"),
            "Bad webhook: an https url must be",
        ),
    ],
)
async def test_what_is_refused_for_good_ends_the_start_with_a_sentence(answer: Answer, told: str) -> None:
    bot = bot_on(ScriptedTelegram([answer]))
    for call in (bot.initialize, bot.delete_webhook, lambda: bot.set_webhook("http://bot.example/telegram")):
        with pytest.raises(StartError, match=told) as caught:
            await reach(call, TIMING)
        assert caught.value.exit_status == 2 and "\n" not in str(caught.value)
    await bot.shutdown()


@pytest.mark.parametrize(
    "answer", [refusal(429, "Too Many Requests", retry_after=9), (200, {"ok": True}), (200, "<html>"), TimedOut()]
)
async def test_a_menu_that_is_refused_costs_the_menu_and_not_the_start(answer: Answer) -> None:
    bot = bot_on(ScriptedTelegram([answer]))
    await publish_menu(bot, load_kinds(), (4242,))
    await bot.shutdown()
