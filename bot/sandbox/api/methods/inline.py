"""Answering inline queries. Knows the rules for results; articles with a text are all that is offered here."""

import re

from bot.sandbox.api.methods.context import Context, Handler, formatted, keyboard
from bot.sandbox.api.params import Params
from bot.sandbox.world.bot_side import checked_text
from bot.sandbox.world.errors import bad_request
from bot.sandbox.world.records import InlineAnswer, InlineResult

MAX_RESULTS = 50
MAX_ID_BYTES = 64
_START_PARAMETER = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def answer_inline_query(context: Context, params: Params) -> object:
    """Offer results to the person who types."""
    given = params.items("results", "inline query results") or []
    if len(given) > MAX_RESULTS:
        raise bad_request("RESULTS_TOO_MUCH")
    results = tuple(_result(each) for each in given)
    if len({result.id for result in results}) < len(results):
        raise bad_request("RESULT_ID_DUPLICATE")
    hint, start = _button(params)
    context.side.answer_inline(params.text("inline_query_id"), InlineAnswer("", results, hint, start))
    return True


def _result(value: object) -> InlineResult:
    if not isinstance(value, dict) or value.get("type") != "article":
        raise bad_request("can't parse inline query result: unsupported type specified")
    fields = Params(value)
    name = fields.text("id")
    if not 0 < len(name.encode()) <= MAX_ID_BYTES:
        raise bad_request("RESULT_ID_INVALID")
    if not fields.text("title"):
        raise bad_request("can't parse inline query result: title is required")
    content = Params(fields.fields("input_message_content", "input message content"))
    text = checked_text(formatted(content, "message_text"), too_long="MESSAGE_TOO_LONG")
    return InlineResult(
        name, fields.text("title"), fields.text("description"), text.text, text.entities, keyboard(fields)
    )


def _button(params: Params) -> tuple[str | None, str | None]:
    """What the line above the results says, and what /start is sent with when it is pressed."""
    given = params.fields("button", "inline query results button")
    if not given:
        return None, None
    text, start = given.get("text"), given.get("start_parameter")
    if not text:
        raise bad_request("SWITCH_PM_TEXT_EMPTY")
    if not isinstance(start, str) or not _START_PARAMETER.fullmatch(start):
        raise bad_request("START_PARAM_INVALID")
    return str(text), start


METHODS: dict[str, Handler] = {"answerInlineQuery": answer_inline_query}
