"""A model that hangs: health tells the truth, nobody waits for ever, and the next request is served."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator

import httpx
import pytest

from engine.api.types import Message, Sampling
from engine.errors import EngineUnavailable
from engine.inference.engine import Engine
from engine.models.loader import Base
from engine.server.app import build_app

ASK = [Message("user", "Write a poem on tea")]
SHORT = Sampling(max_tokens=4, temperature=0.0, ignore_eos=True)


class Hang:
    """Makes the model's next forward pass wait until it is let go."""

    def __init__(self, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_on = True
        self.hanging = threading.Event()
        self.go_on = threading.Event()
        forward = base.model.forward

        def waiting(*arguments: object, **options: object) -> object:
            if self.is_on:
                self.hanging.set()
                self.go_on.wait(60)
            return forward(*arguments, **options)

        waiting.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
        monkeypatch.setattr(base.model, "forward", waiting)

    def end(self) -> None:
        self.is_on = False
        self.go_on.set()


@pytest.fixture
async def hang(tiny_base: Base, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hang]:
    hang = Hang(tiny_base, monkeypatch)
    yield hang
    hang.end()


async def status(engine: Engine) -> tuple[int, str]:
    transport = httpx.ASGITransport(build_app(engine, versions_dir=None))
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
        response = await http.get("/health")
        return response.status_code, response.json()["status"]


async def write(engine: Engine) -> str:
    return "".join([piece.text async for piece in engine.submit(ASK, SHORT, model="tiny").pieces()])


async def test_health_is_503_while_the_model_is_stuck_and_200_before_and_after(
    tiny_base: Base, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine(tiny_base) as engine:
        assert await status(engine) == (200, "ok")
        writing = asyncio.create_task(write(engine))
        await asyncio.to_thread(hang.hanging.wait)
        assert await status(engine) == (200, "ok"), "a long round is none that is stuck"
        monkeypatch.setattr("engine.inference.engine.STUCK_SECONDS", 0.05)
        await asyncio.sleep(0.1)
        assert await status(engine) == (503, "stuck")
        monkeypatch.setattr("engine.inference.engine.STUCK_SECONDS", 60.0)
        hang.end()
        assert await writing
        monkeypatch.setattr("engine.inference.engine.STUCK_SECONDS", 0.0)
        while await status(engine) != (200, "ok"):  # an idle engine is not stuck, however long it waits
            await asyncio.sleep(0.01)
    assert await status(engine) == (503, "stopped")


async def test_a_hung_generation_does_not_hold_up_the_next(
    tiny_base: Base, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.inference.engine.SILENCE_SECONDS", 0.2)
    async with Engine(tiny_base, max_batch=1) as engine:
        hung, waiting = (engine.submit(ASK, SHORT, model="tiny") for _ in range(2))
        for generation in (hung, waiting):
            with pytest.raises(EngineUnavailable, match="silent for too long"):
                await anext(generation.pieces())
        monkeypatch.setattr("engine.inference.engine.SILENCE_SECONDS", 60.0)
        hang.end()
        assert await write(engine)
        assert engine.running == engine.waiting == 0, "those that gave up hold no row"


async def test_an_engine_whose_thread_has_died_says_so(tiny_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.excepthook", lambda _: None)

    def die(_: object) -> list[object]:
        raise SystemError("out of the blue")

    async with Engine(tiny_base) as engine:
        monkeypatch.setattr("engine.inference.scheduler.Scheduler.run_round", die)
        with pytest.raises(EngineUnavailable, match="stopped"):
            await write(engine)
        await engine.ended.wait()
        assert await status(engine) == (503, "stopped")
        with pytest.raises(EngineUnavailable):
            await write(engine)
