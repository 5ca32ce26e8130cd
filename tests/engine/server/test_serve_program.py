"""The server as a program: its options, its start and its end."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from engine.inference.engine import Engine
from engine.models.loader import Base
from engine.process import Secrets
from engine.serve import main
from tests.engine.conftest import start_server
from tests.support.asking import chat, metric
from tests.support.learning.rated import served


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine.serve", *options]
    return subprocess.run(command, input="[]", capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--model", "nowhere"], "no model 'nowhere'"),
        (["--port", "70000"], "65535"),
        (["--port", "x"], "--port"),
        (["--threads", "0"], "--threads"),
        (["--max-batch", "-1"], "--max-batch"),
        (["--kv-tokens", "0"], "--kv-tokens"),
        (["--parent-pid", "0"], "--parent-pid"),
        (["--unknown"], "--unknown"),
        (["--port", "0", "--host", "0.0.0.0"], "--key-file FILE"),
        (["--key-file", "/nowhere"], "/nowhere cannot be read"),
        (["--key-file", "/dev/null"], "without blanks"),
        (["--watermark-key", "/dev/null"], "is empty"),
        (["--secrets-on-stdin"], "cannot be read: it holds something else"),
    ],
)
def test_wrong_use_is_told_and_ends_with_status_2(options: list[str], word: str) -> None:
    ended = serve(*options)
    assert ended.returncode == 2
    assert word in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_told_in_one_sentence(tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--model", str(tiny_model_folder), "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert str(port) in told


def test_a_damaged_model_is_told_in_one_sentence(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.setswitchinterval", lambda _: None)  # the tests go on after it
    damaged = shutil.copytree(tiny_model_folder, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"x" * 100)
    assert main(["--model", str(damaged), "--port", "0", "--threads", "1"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "is damaged" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "127.0.0.1"], "anybody on this machine can use the engine"),
        (["--host", "0.0.0.0", "--without-key"], "whoever reaches this machine"),
        (["--host", "0.0.0.0", "--key-file", "KEY"], None),
    ],
)
def test_an_engine_without_a_key_says_who_can_use_it(
    options: list[str], told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    served: list[Secrets] = []
    monkeypatch.setattr("engine.serve._serve", lambda _, secrets, __: served.append(secrets) or 0)
    (tmp_path / "key").write_text("sk-of-the-test\n")
    options = [str(tmp_path / "key") if each == "KEY" else each for each in options]
    assert main(["--model", "starter", "--port", "0", *options]) == 0
    assert served == [Secrets(None if told else "sk-of-the-test")]
    assert [told in line for line in caplog.messages if told] == ([True] if told else [])
    assert told or not caplog.messages


def test_a_socket_of_the_parents_is_listened_on_and_another_file_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ports: list[int] = []
    monkeypatch.setattr("engine.serve._serve", lambda _, __, listener: ports.append(listener.getsockname()[1]) or 0)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert main(["--model", "starter", "--socket", str(os.dup(bound.fileno()))]) == 0
        assert ports == [bound.getsockname()[1]]
    with (tmp_path / "file").open("w") as file:
        assert main(["--model", "starter", "--socket", str(file.fileno())]) == 2
    assert "is no socket" in capsys.readouterr().err


@pytest.mark.parametrize("secrets", [Secrets(), Secrets("k"), Secrets("k", ("ab", "cd")), Secrets(None, ("ab",))])
def test_what_is_told_by_the_pipe_arrives(secrets: Secrets) -> None:
    assert Secrets.read(secrets.as_text().encode()) == secrets


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b"ab12", b'{"format": 2}', b'{"format": 1, "key": ""}', b'{"format": 1, "key": 5}', b"[" * 9999,
     b'{"format": 1, "watermark_keys": "ab"}', b'{"format": 1, "watermark_keys": [1]}'],
)  # fmt: skip
def test_anything_else_by_the_pipe_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        Secrets.read(text)


def test_the_server_is_told_whose_child_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    parents: list[int] = []
    monkeypatch.setattr("engine.serve.end_with_parent", lambda pid, **_: parents.append(pid))
    assert main(["--model", "nowhere", "--parent-pid", "4711"]) == 2
    assert parents == [4711]


async def test_sigterm_ends_the_server_in_time_and_running_answers_are_told(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    running = start_server(tiny_model_folder, tmp_path, "--max-batch", "1", "--max-queue", "400")
    async with httpx.AsyncClient(base_url=running.url, timeout=60, limits=httpx.Limits(max_connections=500)) as http:
        asking = [asyncio.create_task(chat(http, max_tokens=200)) for _ in range(300)]
        while not await metric(http, "ovation_engine_requests_waiting"):
            await asyncio.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.process.wait, 30) == 0
        answers = await asyncio.gather(*asking, return_exceptions=True)
    told = [answer.status_code for answer in answers if isinstance(answer, httpx.Response)]
    assert 503 in told
    assert set(told) <= {200, 503}
    assert all(isinstance(answer, httpx.Response | httpx.TransportError) for answer in answers)
    assert "Traceback" not in running.log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.url}/health")


async def test_a_full_queue_is_a_429_that_says_when_to_come_back(tiny_base: Base) -> None:
    async with served(Engine(tiny_base, max_batch=1, max_queue=2)) as http:
        answers = await asyncio.gather(*(chat(http, max_tokens=100) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["error"]["type"] == "rate_limit_error"


@pytest.mark.slow
def test_the_server_ends_when_its_parent_has_died(tiny_model_folder: Path, tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, os, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'engine.serve', '--model', sys.argv[1], '--port', '0',"
        " '--parent-pid', str(os.getpid())], stderr=open(sys.argv[2], 'wb'))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    log = tmp_path / "log"
    command = [sys.executable, "-c", script, str(tiny_model_folder), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        while not log.exists() or "Ready at " not in log.read_text():
            time.sleep(0.1)
        os.kill(child, 0)
        parent.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "State:\tZ" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.1)
