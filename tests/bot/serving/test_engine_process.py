"""The engine's keeper against a stand-in that starts at once: whatever ends it, it comes back and says why."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import psutil
import pytest

from bot.common.errors import StartError
from bot.serving import engine_process
from bot.serving.engine_process import EngineProcess
from engine.errors import EngineUnavailable

STAND_IN = """
import pathlib, socket, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

orders = pathlib.Path(__file__).parent
listener = socket.socket(fileno=int(sys.argv[sys.argv.index("--socket") + 1]))
if (orders / "end").exists():
    status, _, words = (orders / "end").read_text().partition(" ")
    print("x" * 200_000, words, sep="\\n", file=sys.stderr)
    sys.exit(int(status))

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if (orders / "sick").exists() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

helper = subprocess.Popen(["sleep", "600"], stderr=subprocess.DEVNULL)
(orders / "helper").write_text(str(helper.pid))
server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = listener
server.server_activate()
server.serve_forever()
"""


class Keeping:
    """An engine process with orders for the stand-in, and how often it was made ready."""

    def __init__(self, folder: Path, http: httpx.AsyncClient) -> None:
        self.folder = folder
        self.engine = EngineProcess(model="starter", versions=folder, http=http)
        self.readied = 0
        self.failures: list[Exception] = []

    async def on_ready(self) -> None:
        if self.failures:
            raise self.failures.pop()
        self.readied += 1

    @property
    def pid(self) -> int:
        child = self.engine._child
        assert child is not None
        return child.pid

    def order(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def recall(self, name: str) -> None:
        (self.folder / name).unlink()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_so():
                await asyncio.sleep(0.02)

    async def until_replaced(self, times: int = 1) -> None:
        await self.until(lambda: self.engine.restarts >= times and self.engine.is_healthy)


@pytest.fixture
async def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Keeping]:
    (tmp_path / "engine.py").write_text(STAND_IN)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S {tmp_path}/engine.py "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr("bot.serving.engine_process.sys.executable", str(python))
    monkeypatch.setattr(engine_process, "PULSE_SECONDS", 0.05)
    monkeypatch.setattr(engine_process, "LONGEST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(engine_process, "_FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("engine.api.client.HEALTH_SECONDS", 1.0)
    async with httpx.AsyncClient() as http:
        keeping = Keeping(tmp_path, http)
        yield keeping
        await keeping.engine.stop()


async def test_an_engine_that_answers_is_healthy_and_left_alone(keeping: Keeping) -> None:
    assert not keeping.engine.is_healthy
    await keeping.engine.start(keeping.on_ready)
    first = keeping.pid
    await asyncio.sleep(0.5)
    assert keeping.engine.is_healthy
    assert (keeping.pid, keeping.engine.restarts, keeping.readied) == (first, 0, 1)


async def test_nobody_else_gets_the_port_to_which_the_key_is_sent(keeping: Keeping) -> None:
    engine = keeping.engine
    port = engine._port.number

    def taken_by_another(*options: int) -> bool:
        with socket.socket() as other:
            for option in options:
                other.setsockopt(socket.SOL_SOCKET, option, 1)
            try:
                other.bind(("127.0.0.1", port))
                other.listen()
            except OSError:
                return False
            return True

    def is_held() -> bool:
        return not taken_by_another() and not taken_by_another(socket.SO_REUSEADDR)

    assert is_held(), "before the first"
    assert not await engine.client.is_ready(), "and nothing answers there"
    await engine.start(keeping.on_ready)
    assert is_held(), "while one answers"
    os.kill(keeping.pid, signal.SIGKILL)
    keeping.order("end", "1 It does not come back.")
    await keeping.until(lambda: engine.restarts > 0 and engine._child is not None and engine._child.returncode == 1)
    assert is_held(), "and between two"
    assert not await engine.client.is_ready()


@pytest.mark.parametrize(
    ("end", "told"), [(signal.SIGKILL, "most likely because memory ran out"), (signal.SIGSEGV, "ended by signal 11")]
)
async def test_an_engine_that_dies_is_replaced_and_the_log_says_why(
    keeping: Keeping, caplog: pytest.LogCaptureFixture, end: signal.Signals, told: str
) -> None:
    await keeping.engine.start(keeping.on_ready)
    for number in (1, 2):
        os.kill(keeping.pid, end)
        await keeping.until_replaced(number)
    assert keeping.readied == 3
    assert len([line for line in caplog.messages if told in line]) == 2


@pytest.mark.parametrize("hang", ["sick", "stopped"])
async def test_an_engine_that_hangs_is_killed_with_all_it_started_and_replaced(
    keeping: Keeping, caplog: pytest.LogCaptureFixture, hang: str
) -> None:
    await keeping.engine.start(keeping.on_ready)
    old, helper = keeping.pid, int((keeping.folder / "helper").read_text())
    if hang == "sick":
        keeping.order("sick")
        await keeping.until(lambda: not keeping.engine.is_healthy)
        await keeping.until(lambda: not psutil.pid_exists(old))
        keeping.recall("sick")
    else:
        os.kill(old, signal.SIGSTOP)
    await keeping.until_replaced()
    assert not psutil.pid_exists(old)
    assert not psutil.pid_exists(helper) or psutil.Process(helper).status() == psutil.STATUS_ZOMBIE
    assert any("hangs: it has missed 5 health checks" in line for line in caplog.messages)


async def test_a_few_missed_checks_are_no_hang(keeping: Keeping) -> None:
    await keeping.engine.start(keeping.on_ready)
    for _ in range(3):
        keeping.order("sick")
        await keeping.until(lambda: not keeping.engine.is_healthy)
        keeping.recall("sick")
        await keeping.until(lambda: keeping.engine.is_healthy)
    assert keeping.engine.restarts == 0


async def test_an_engine_that_cannot_start_again_is_tried_until_it_can(keeping: Keeping) -> None:
    await keeping.engine.start(keeping.on_ready)
    keeping.order("end", "1 The port is taken.")
    os.kill(keeping.pid, signal.SIGKILL)
    await keeping.until(lambda: keeping.engine.restarts >= 3)
    assert not keeping.engine.is_healthy
    keeping.recall("end")
    await keeping.until(lambda: keeping.engine.is_healthy)
    assert keeping.readied == 2


async def test_versions_that_cannot_be_loaded_after_a_restart_are_tried_again(keeping: Keeping) -> None:
    await keeping.engine.start(keeping.on_ready)
    keeping.failures = [EngineUnavailable("It broke off."), OSError("the disk is away")]
    os.kill(keeping.pid, signal.SIGKILL)
    await keeping.until_replaced()
    assert keeping.readied == 2
    assert keeping.engine.restarts == 1


@pytest.mark.parametrize(
    ("end", "told", "status"),
    [
        ("2 There is no model 'x'.", "did not start: There is no model 'x'.", 2),
        ("1 Something else.", "did not start: Something else.", 1),
        ("3 ", "ran out of memory", 1),
        ("1 MemoryError", "ran out of memory", 1),
        ("134 terminate called after throwing an instance of 'std::bad_alloc'", "ran out of memory", 1),
    ],
)
async def test_an_engine_that_ends_at_the_first_start_is_one_clear_sentence(
    keeping: Keeping, end: str, told: str, status: int
) -> None:
    keeping.order("end", end)
    with pytest.raises(StartError) as refusal:
        await keeping.engine.start(keeping.on_ready)
    assert told in str(refusal.value)
    assert refusal.value.exit_status == status


async def test_an_engine_that_breaks_off_at_the_first_start_is_a_sentence_too(keeping: Keeping) -> None:
    keeping.failures = [EngineUnavailable("The connection to the engine broke; ask again.")]
    with pytest.raises(StartError, match="while it loaded the versions"):
        await keeping.engine.start(keeping.on_ready)


async def test_stopping_in_the_middle_of_a_restart_leaves_no_engine_behind(keeping: Keeping) -> None:
    await keeping.engine.start(keeping.on_ready)
    os.kill(keeping.pid, signal.SIGKILL)
    await keeping.until(lambda: keeping.engine.restarts == 1)
    await keeping.engine.stop()
    assert not psutil.pid_exists(keeping.pid)
    assert not keeping.engine.is_healthy
