"""What one request raises ends that request with an error of its own; the others go on, token for token."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from engine.api.types import Message, Sampling
from engine.errors import AnswerFailed, EngineError
from engine.inference import batch, request
from engine.inference.batch import Batch, Row
from engine.inference.engine import Engine, TextStream
from engine.inference.penalties import History
from engine.inference.request import Detokenizer, SequenceState
from engine.models.loader import Base
from engine.server.app import build_app

DRAWN = Sampling(max_tokens=12, temperature=0.9, top_p=0.95, ignore_eos=True, seed=1)
FAULTY = Sampling(max_tokens=99, temperature=0.9, seed=99)
"""The request whose row raises; the faults know it by its `max_tokens`."""


class Panic(BaseException):
    """As a panic of Rust comes to Python: no `Exception`."""


def ask(engine: Engine, sampling: Sampling, **more: Any) -> TextStream:
    return engine.submit([Message("user", f"A poem on tea {sampling.seed}")], sampling, model="tiny", **more)


def in_row(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: BaseException, *, after: int = 0) -> None:
    """Let a method raise for the faulty row, once it has been called so often for it."""
    original, calls = getattr(owner, name), iter(range(10**6))

    def raising(self: Any, *arguments: Any, **more: Any) -> Any:
        sampling = getattr(self, "sampling", None) or getattr(self, "_sampling", None)
        if sampling is not None and sampling.max_tokens == FAULTY.max_tokens and next(calls) >= after:
            raise error
        return original(self, *arguments, **more)

    monkeypatch.setattr(owner, name, raising)


def in_forward(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, *, after: int = 0) -> None:
    """Let a pass of the whole batch raise as long as the faulty row has a part in it."""
    original = getattr(Batch, name)

    def raising(self: Batch[Any], *arguments: Any) -> Any:
        rows = [*self.rows, *(arguments[0] if arguments else ())]
        if any(row.sampling.max_tokens == FAULTY.max_tokens and row.length >= after for row in rows):
            raise error
        return original(self, *arguments)

    monkeypatch.setattr(Batch, name, raising)


def in_the_middle_of_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a draw raise when some rows have their token and others do not."""
    original = batch.draw

    def raising(logits: torch.Tensor, rows: Sequence[Row], *more: Any) -> list[int]:
        tokens = original(logits, rows, *more)
        if any(row.sampling.max_tokens == FAULTY.max_tokens for row in rows):
            raise IndexError("of a sampling processor")
        return tokens

    monkeypatch.setattr(batch, "draw", raising)


def in_detokenizer(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    original = Detokenizer.push

    def raising(self: Detokenizer, token: int) -> str:
        if "the faulty one" in self._stop:
            raise error
        return original(self, token)

    monkeypatch.setattr(Detokenizer, "push", raising)


def in_breakers(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    original = request.dry_breakers

    def raising(tokenizer: Any, sampling: Sampling) -> Any:
        if sampling.max_tokens == FAULTY.max_tokens:
            raise error
        return original(tokenizer, sampling)

    monkeypatch.setattr(request, "dry_breakers", raising)


Fault = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, Fault] = {
    "the detokenizer": lambda m: in_detokenizer(m, ValueError("invalid prefix")),
    "a panic in the detokenizer": lambda m: in_detokenizer(m, Panic("in Rust")),
    "stop strings": lambda m: in_row(m, SequenceState, "append", TypeError("of a stop string"), after=3),
    "what is counted for penalties": lambda m: in_row(m, History, "add", OverflowError("too large"), after=2),
    "a random number": lambda m: in_row(m, Row, "uniform", ZeroDivisionError()),
    "the beginning": lambda m: in_breakers(m, Panic("in Rust")),
    "the prompt's reading": lambda m: in_forward(m, "join", IndexError("out of range")),
    "a step": lambda m: in_forward(m, "step", RuntimeError("sizes do not match"), after=4),
    "a step, after some": lambda m: in_forward(m, "step", KeyError("logits"), after=9),
    "a draw": in_the_middle_of_a_draw,
}


async def alone(base: Base, samplings: Sequence[Sampling]) -> list[str]:
    async with Engine(base, max_batch=1) as engine:
        return [(await ask(engine, sampling).whole())[0].text for sampling in samplings]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("CRITICAL", logger="engine.inference"):
        yield


@pytest.mark.parametrize("name", FAULTS)
async def test_it_ends_and_the_others_get_what_they_would_have(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    others = [replace(DRAWN, seed=seed, max_tokens=6 + 3 * seed) for seed in range(5)]
    expected = await alone(tiny_base, others)
    FAULTS[name](monkeypatch)
    async with Engine(tiny_base, max_batch=8) as engine:
        early = [ask(engine, sampling) for sampling in others[:3]]
        faulty = [ask(engine, replace(FAULTY, stop=("the faulty one",))) for _ in range(2)]
        late = [ask(engine, sampling) for sampling in others[3:]]
        ends = await asyncio.gather(*(each.whole() for each in (*early, *late, *faulty)), return_exceptions=True)
        assert [texts[0].text for texts in ends[:5] if not isinstance(texts, BaseException)] == expected
        assert [type(end) for end in ends[5:]] == [AnswerFailed, AnswerFailed]
        assert engine.is_alive and (engine.running, engine.waiting, engine.scheduler.kv_reserved) == (0, 0, 0)
        assert (await ask(engine, others[0]).whole())[0].text == expected[0]


async def test_of_several_texts_of_a_request_an_exact_one_ends_it_and_nothing_is_left_behind(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await alone(tiny_base, [DRAWN])
    FAULTS["a step"](monkeypatch)
    async with Engine(tiny_base) as engine:
        other, faulty = ask(engine, DRAWN), ask(engine, FAULTY, n=3)
        with pytest.raises(AnswerFailed, match="ask for something else"):
            await faulty.whole()
        assert [text.text for text in await other.whole()] == expected
        assert engine.scheduler.kv_reserved == 0


async def test_a_version_goes_on_beside_one_whose_every_pass_fails(
    tiny_base: Base, versions_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine(tiny_base) as engine:
        await engine.load_adapter("first", versions_dir / "first")
        ask_first = [Message("user", "A poem on tea")]
        expected = (await engine.submit(ask_first, DRAWN, model="first").whole())[0].text
        FAULTS["a step"](monkeypatch)
        faulty = [ask(engine, FAULTY) for _ in range(3)]
        assert (await engine.submit(ask_first, DRAWN, model="first").whole())[0].text == expected
        for each in faulty:
            with pytest.raises(AnswerFailed):
                await each.whole()
        engine.unload_adapter("first")
        assert (await ask(engine, DRAWN).whole())[0].tokens == DRAWN.max_tokens


async def test_a_call_that_fails_leaves_the_engine_alive(
    tiny_base: Base, versions_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(*_: object) -> None:
        raise AssertionError("of a library")

    async with Engine(tiny_base) as engine:
        with monkeypatch.context() as patched, pytest.raises(EngineError):
            patched.setattr("engine.inference.lora.LoadedAdapters.load", raising)
            await engine.load_adapter("first", versions_dir / "first")
        await engine.load_adapter("first", versions_dir / "first")
        assert engine.model_names == ("tiny", "first")
        assert (await ask(engine, DRAWN).whole())[0].text


@pytest.mark.parametrize("stream", [False, True])
async def test_over_http_it_is_openais_error_object(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    FAULTS["the detokenizer"](monkeypatch)
    asked = {
        "model": "tiny", "messages": [{"role": "user", "content": "tea"}], "max_tokens": 4, "stream": stream,
        "stop": ["the faulty one"],
    }  # fmt: skip
    engine = Engine(tiny_base)
    transport = httpx.ASGITransport(build_app(engine, versions_dir=None))
    async with engine, httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=60) as http:
        answer = await http.post("/v1/chat/completions", json=asked)
        error = json.loads(answer.text.splitlines()[-2].removeprefix("data: ") if stream else answer.text)["error"]
        assert answer.status_code == (200 if stream else 500)
        assert (error["type"], error["code"], error["param"]) == ("server_error", "answer_failed", None)
        assert "could not compute this answer" in error["message"]
        assert (await http.post("/v1/chat/completions", json=asked | {"stop": []})).status_code == 200
