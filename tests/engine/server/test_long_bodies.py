"""What is long is refused before it is read, or read beside everything else: nobody waits for somebody's megabytes."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from engine.errors import EngineBusy, RequestError
from engine.inference import engine as engine_module
from engine.inference.engine import Engine
from engine.models.loader import Base, ChatTemplate
from engine.server import app
from tests.engine.conftest import CONTEXT_TOKENS
from tests.support.asking import JSON, chat
from tests.support.learning.rated import served

MEGABYTES = "tea and " * 500_000
PATHS = ("/v1/chat/completions", "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/moderations", "/v1/watermark")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Of each text that becomes tokens: whether that is on the event loop's thread, and how many characters it has."""
    found: list[tuple[bool, int]] = []
    tokens = ChatTemplate._tokens

    def noted(template: ChatTemplate, text: str, **options: bool) -> list[int]:
        found.append((threading.current_thread() is threading.main_thread(), len(text)))
        return tokens(template, text, **options)

    monkeypatch.setattr(ChatTemplate, "_tokens", noted)
    return found


@pytest.fixture
async def engine(tiny_base: Base) -> AsyncIterator[Engine]:
    yield Engine(tiny_base)


def messages(content: str, number: int = 1) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}] * number


async def test_what_can_in_no_way_fit_is_refused_unread(engine: Engine, read: list[tuple[bool, int]]) -> None:
    async with served(engine) as http:
        for content in (MEGABYTES, "茶" * engine.most_characters + "茶", "\ue000" * (engine.most_characters + 1)):
            answer = await chat(http, messages=messages(content))
            assert answer.status_code in (400, 413)
            assert "longer than" in answer.text or "too long for a context" in answer.text
    assert read == []


async def test_what_is_long_and_might_fit_is_read_beside_the_loop_a_small_one_on_it(
    engine: Engine, read: list[tuple[bool, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_SHORT_CHARACTERS", 200)
    content = "tea and " * 30
    async with served(engine) as http:
        answers = await asyncio.gather(*(chat(http, messages=messages(content), max_tokens=2) for _ in range(6)))
        assert {answer.status_code for answer in answers} <= {200, 400}
        assert read and not any(is_on_loop for is_on_loop, _ in read)
        whole = answers[0].json()
        read.clear()
        assert (await chat(http, messages=messages("tea"), max_tokens=2)).status_code == 200
        assert all(is_on_loop for is_on_loop, _ in read)
        monkeypatch.setattr(engine_module, "_SHORT_CHARACTERS", 1 << 20)
        at_once = (await chat(http, messages=messages(content), max_tokens=2)).json()
    assert at_once.get("usage") == whole.get("usage") and at_once.get("error") == whole.get("error")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("is_told", [True, False])
async def test_a_body_is_bounded_in_one_place(tiny_base: Base, path: str, is_told: bool) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(80):
            sent += 1 << 16
            yield b" " * (1 << 16)

    async with served(Engine(tiny_base)) as http:
        content = b" " * (5 << 20) if is_told else pieces()
        answer = await http.post(path, content=content, headers=JSON)
    assert answer.status_code == 413
    assert "longer than" in answer.json()["error"]["message"]


async def test_a_bound_follows_from_what_the_context_holds(engine: Engine) -> None:
    assert engine.most_characters == CONTEXT_TOKENS * engine._base.template.characters_a_token
    bodies = app._Bodies(engine.most_characters)
    longest = json.dumps(messages("😀" * engine.most_characters))
    assert len(longest) < bodies._most_bytes < app.MAX_BODY_BYTES


class Sent:
    """A request whose body comes when it is let."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.goes_on = asyncio.Event()

    async def stream(self) -> AsyncIterator[bytes]:
        yield b" " * (app._LONG_BYTES + 1)
        await self.goes_on.wait()
        yield json.dumps({"input": "tea"}).encode()


async def test_long_bodies_wait_in_a_bounded_line_and_short_ones_pass_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_LONG_WAITING", 3)
    bodies, held = app._Bodies(1 << 20), [Sent() for _ in range(app._LONG_AT_ONCE + 3)]

    async def take(request: object) -> str:
        async with bodies.read(request, app.protocol.TextRequest) as asked:  # type: ignore[arg-type]
            return asked.input

    waiting = [asyncio.create_task(take(each)) for each in held]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(EngineBusy):
        await take(Sent())
    small = httpx.Request("POST", "http://x", json={"input": "tea"})
    small.stream = _once(small.content)  # type: ignore[method-assign, assignment]
    assert await take(small) == "tea"
    for each in held:
        each.goes_on.set()
    assert await asyncio.gather(*waiting) == ["tea"] * len(held)


def _once(content: bytes):
    async def stream() -> AsyncIterator[bytes]:
        yield content

    return stream


def floods() -> Iterator[bytes]:
    """Bodies whose faults are very many, or very deep."""
    turn = b'{"role": "wizard", "content": [{}]}'
    yield b'{"model": "tiny", "messages": [' + b"{}," * 80_000 + b"{}]}"
    yield b'{"model": "tiny", "messages": [' + b",".join([turn] * 8_000) + b"]}"
    yield b'{"model": "tiny", "messages": [{"role": "user", "content": [' + b"{}," * 80_000 + b"{}]}]}"
    yield b'{"model": "tiny", "messages": [], "stop": [' + b"0," * 100_000 + b"0]}"
    yield b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "tools": ' + b"[" * 60 + b"]" * 60 + b"}"
    yield b'{"x": ' * 30_000 + b"1" + b"}" * 30_000
    yield b"[" * 200_000


async def test_faults_without_number_are_told_by_the_first(tiny_base: Base) -> None:
    async with served(Engine(tiny_base)) as http:
        for body in floods():
            answer = await http.post("/v1/chat/completions", content=body, headers=JSON)
            assert answer.status_code == 400
            assert len(answer.json()["error"]["message"]) < 300


async def test_every_character_of_private_use_beside_a_control_token_is_text(tiny_base: Base) -> None:
    private = "".join(map(chr, range(0xE000, 0xF900)))
    engine = Engine(tiny_base)
    with pytest.raises(RequestError, match="together they may be|too long"):
        async with engine:
            content = private + "<|end|>" + private
            engine.submit(_asked(content), app.protocol.Sampling(), model="tiny")
    template = tiny_base.template
    assert template.encode(_asked("\ue000<|end|>\ue000")) == template.encode(_asked("\ue000<|end|>\ue000"))
    plain = tiny_base.tokenizer.decode(template.encode(_asked("\ue001<|end|>\uf8fe")))
    assert "\ue001<|end|>\uf8fe" in plain


def _asked(content: str) -> tuple[app.protocol.Message, ...]:
    return (app.protocol.Message("user", content),)
