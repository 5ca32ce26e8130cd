"""Each refusal is told for what it is, in a sentence that holds the server's words and nobody else's."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from engine.api.client import EngineClient
from engine.api.refusals import Refusal, without_echo
from engine.api.types import Message, Sampling, fold_system
from engine.errors import EngineBusy, EngineError, EngineFailed, EngineUnavailable, RequestError

TOO_LONG = [
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens. Please reduce the length.",
    "the request exceeds the available context size, try increasing it",
    "Trying to keep the first 9000 tokens when context overflows. However, the context length is only 8192",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Too many tokens",
    "The messages have 900 tokens and max_tokens is 128, but together they may be 512 tokens at most; shorten them.",
    "Requested token count exceeds the model's maximum context length of 32768 tokens.",
]  # fmt: skip
TEMPLATE = [
    "System role not supported",
    "Conversation roles must alternate user/assistant/user/assistant/...",
    "Developer instruction is not enabled for models/gemma-3-1b-it",
    "Only user and assistant roles are supported!",
    "Failed to apply chat template: UndefinedError",
    "Error rendering prompt with jinja template",
    "system prompt is not supported by this model",
]
NO_MODEL = [
    "The model `gpt-9` does not exist or you do not have access to it.",
    "model 'llama9' not found, try pulling it first",
    "There is no model 'x'; there are starter.",
    "No such model",
    "Unknown model: x",
    "The model is not loaded",
]
FIELD = [
    "Unsupported parameter: 'top_k'",
    "Unknown parameter: 'temperature'.",
    "Unrecognized request argument supplied: min_p",
    "Unsupported value: 'temperature' does not support 0.7 with this model.",
    "Extra inputs are not permitted",
]


def kind_of(status: int, words: str) -> str:
    return Refusal.read(status, json.dumps({"error": {"message": words}}), {}).kind


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        *(("too_long", words) for words in TOO_LONG),
        *(("template", words) for words in TEMPLATE),
        *(("no_model", words) for words in NO_MODEL),
        *(("field", words) for words in FIELD),
        ("policy", "The response was filtered due to the prompt triggering the content management policy."),
        ("account", "You exceeded your current quota, please check your plan and billing details."),
        ("other", "Bad request"),
        ("other", ""),
    ],
)
def test_a_400_is_what_its_words_say(kind: str, words: str) -> None:
    assert kind_of(400, words) == kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (401, "Incorrect API key provided", "key"), (401, "", "key"), (403, "Forbidden", "key"), (402, "", "account"),
        (403, "Model x is not available in your region", "key"), (404, "Not Found", "address"), (404, "", "address"),
        (404, "The model `x` does not exist", "no_model"), (405, "Method Not Allowed", "address"), (301, "", "address"),
        (413, "Request Entity Too Large", "too_large"), (422, "", "field"), (422, "n: field required", "field"),
        (422, TOO_LONG[0], "too_long"), (501, "", "address"), (418, "", "other"),
    ],
)  # fmt: skip
def test_other_refusals_are_what_their_status_says(status: int, words: str, kind: str) -> None:
    assert kind_of(status, words) == kind
    error = Refusal.read(status, json.dumps({"message": words}), {}).error([])
    assert isinstance(error, RequestError) and (error.kind, error.status) == (kind, status)
    assert str(error)[0].isupper() and str(error).endswith((".", "…", words))


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        (500, "CUDA error", EngineFailed), (502, "", EngineUnavailable), (503, "loading", EngineUnavailable),
        (504, "", EngineUnavailable), (529, "overloaded", EngineUnavailable), (408, "", EngineUnavailable),
        (409, "", EngineUnavailable), (425, "", EngineUnavailable), (429, "slow down", EngineBusy),
        (429, "", EngineBusy), (500, TOO_LONG[1], RequestError), (500, TEMPLATE[4], RequestError),
        (429, "insufficient_quota", RequestError),
    ],
)  # fmt: skip
def test_what_may_pass_is_told_from_what_will_not(status: int, words: str, expected: type[EngineError]) -> None:
    assert type(Refusal.read(status, json.dumps({"error": words}), {}).error([])) is expected


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7), ("0", 0, 0), ("-5", 0, 0), ("nan", 1, 1), ("inf", 1, 1), ("1e99", 3600, 3600), ("", 1, 1),
        ("soon", 1, 1),
    ],
)  # fmt: skip
def test_how_long_to_wait_is_read_whatever_its_form(header: str, least: float, most: float) -> None:
    error = Refusal.read(429, "{}", {"Retry-After": header}).error([])
    assert isinstance(error, EngineBusy) and least <= error.retry_after_seconds <= most


@pytest.mark.parametrize(("later", "least", "most"), [(1000, 900, 1000), (-86400, 0, 0)])
def test_how_long_to_wait_may_be_told_as_a_date(later: float, least: float, most: float) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=later))
    error = Refusal.read(429, "{}", {"Retry-After": date}).error([])
    assert isinstance(error, EngineBusy) and least <= error.retry_after_seconds <= most


ASKED = "Write on my ex-wife Anna Kowalska, PIN 4711, and 绿茶的口号"


@pytest.mark.parametrize(
    "words",
    [
        f"Invalid prompt: {ASKED}",
        f"unexpected character in {json.dumps(ASKED)}",
        f"cannot parse {ASKED.upper()!r}",
        f"near {ASKED[18:27]!r}",
        "pin=4711, topic='绿茶'",
        "input_value={'role': 'user', 'content': 'Write on my ex-wife Anna Kowals...'}",
    ],
)
def test_nothing_that_was_asked_is_in_the_words_that_are_kept(words: str) -> None:
    told = without_echo(words, [ASKED])
    for secret in ("anna", "kowal", "4711", "绿茶", "wife", "u7eff"):
        assert secret not in told.casefold()


def test_the_words_that_matter_are_kept_whatever_was_asked() -> None:
    words = TOO_LONG[0]
    assert without_echo(words, ["The maximum context of a model, in tokens"]) == words
    assert without_echo("'system' role is not supported", ["Write a system"]) == "'system' role is not supported"
    assert without_echo("模型不存在", ["写一首诗"]) == "模型不存在"


def test_keys_and_pages_are_not_kept_and_long_words_are_cut() -> None:
    assert "abcdef" not in without_echo("Incorrect API key provided: sk-abcdef12. Bearer abcdef", [])
    page = Refusal.read(502, "<html><h1>Bad Gateway</h1></html>", {}).error([])
    assert str(page) == "The engine answered with status 502."
    assert len(str(Refusal.read(400, json.dumps({"error": "why " * 5000}), {}).error([]))) < 500


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "3", '"x"', "[" * 10_000, '{"error": null}', '{"detail": [{"loc": 3}]}', "\0"]
)
def test_any_body_of_a_refusal_is_read(body: str) -> None:
    assert isinstance(Refusal.read(400, body, {}).error([]), RequestError)


def test_a_folded_conversation_has_no_system_message_and_takes_turns() -> None:
    folded = fold_system(
        [
            Message("user", "a"),
            Message("system", "s"),
            Message("user", "b"),
            Message("assistant", "c"),
            Message("user", "d"),
        ]
    )
    assert folded == (Message("user", "s\n\na\n\nb"), Message("assistant", "c"), Message("user", "d"))
    assert fold_system([Message("system", "s")]) == (Message("user", "s"),)
    assert fold_system([Message("user", "a")]) == (Message("user", "a"),)


class Gemma:
    """A server whose template takes no system message, and says so as `refusal` has it."""

    def __init__(self, status: int, words: str) -> None:
        self.status, self.words = status, words
        self.asked: list[list[dict[str, str]]] = []
        self.client = EngineClient("http://gemma", http=httpx.AsyncClient(transport=httpx.MockTransport(self)))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        messages = json.loads(request.content)["messages"]
        self.asked.append(messages)
        if any(message["role"] == "system" for message in messages):
            return httpx.Response(self.status, json={"error": {"message": self.words}})
        return httpx.Response(200, json={"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})


TURNS = [Message("system", "Be kind."), Message("user", "Hello")]


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize("words", [TEMPLATE[0], "Bad request", "Internal server error"])
async def test_a_template_without_a_system_message_is_found_at_the_start(status: int, words: str) -> None:
    server = Gemma(status, words)
    await server.client.learn_template("m")
    before = len(server.asked)
    assert (await server.client.complete(TURNS, Sampling(), model="m")).text == "hi"
    assert server.asked[before:] == [[{"role": "user", "content": "Be kind.\n\nHello"}]]


async def test_or_at_the_first_refusal() -> None:
    server = Gemma(400, TEMPLATE[0])
    for _ in range(2):
        assert (await server.client.complete(TURNS, Sampling(), model="m")).text == "hi"
    assert len(server.asked) == 3


async def test_or_at_the_first_refusals_of_many_at_once() -> None:
    all_asked = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        response = server(request)
        if len(server.asked) == 3:
            all_asked.set()
        await all_asked.wait()
        return response

    server = Gemma(400, TEMPLATE[0])
    client = EngineClient("http://gemma", http=httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    replies = await asyncio.gather(*(client.complete(TURNS, Sampling(), model="m") for _ in range(3)))
    assert [reply.text for reply in replies] == ["hi"] * 3


async def test_a_server_that_refuses_everything_is_not_taken_for_one() -> None:
    for status, words in ((401, "no key"), (400, "Bad request"), (500, "no"), (429, "busy"), (404, "no model")):
        client = EngineClient(
            "http://no",
            http=httpx.AsyncClient(
                transport=httpx.MockTransport(lambda _, s=status, w=words: httpx.Response(s, json={"error": w}))
            ),
        )
        await client.learn_template("m")
        with pytest.raises(EngineError):
            await client.complete(TURNS, Sampling(), model="m")


async def test_a_server_that_wants_the_newer_name_of_the_limit_gets_it() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(body := json.loads(request.content))
        if "max_tokens" in body:
            words = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
            return httpx.Response(400, json={"error": {"message": words}})
        return httpx.Response(200, json={"choices": [{"message": {"content": "hi"}}]})

    client = EngineClient("http://o", http=httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    for _ in range(2):
        assert (await client.complete(TURNS, Sampling(max_tokens=5), model="m")).text == "hi"
    assert [body.get("max_completion_tokens") for body in asked] == [None, 5, 5]
