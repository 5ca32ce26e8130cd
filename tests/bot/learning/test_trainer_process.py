"""The trainer's keeper against stand-ins: progress is told, a stall is ended, and every end has its own exception."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bot.learning.trainer_process import STALL_SECONDS, Stalled, _watch, train
from engine.errors import RunError
from engine.runs.run_dir import METRICS_FILE, Progress, Reason, RunReport, append_progress, write_report
from tests.support.virtual_time import in_virtual_time

StandIn = Callable[[str], None]


def ignore(_: Progress) -> None:
    pass


def line(done: int) -> str:
    return f"""echo '{{"stage":"training","done":{done},"total":9}}' >> $3/metrics.jsonl"""


async def test_a_trainer_without_progress_is_ended_with_all_it_started(
    tmp_path: Path, trainer_does: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.learning.trainer_process.STALL_SECONDS", 0.5)
    trainer_does(f"trap '' TERM\nsleep 600 &\necho $! > $3/helper\n{line(1)}\nwait")
    with pytest.raises(Stalled, match="no progress"):
        await train(tmp_path, b"", on_progress=ignore)
    helper = int((tmp_path / "helper").read_text())
    assert not psutil.pid_exists(helper) or psutil.Process(helper).status() == psutil.STATUS_ZOMBIE


@in_virtual_time
async def test_a_slow_trainer_that_makes_progress_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.learning.trainer_process._POLL_SECONDS", STALL_SECONDS / 50)
    watching = asyncio.create_task(_watch(tmp_path / METRICS_FILE, ignore))
    for done in range(6):
        await asyncio.sleep(0.9 * STALL_SECONDS)
        assert not watching.done()
        append_progress(tmp_path / METRICS_FILE, Progress("training", done, 9))
    with pytest.raises(Stalled):
        await watching


async def test_progress_is_passed_on_and_the_report_comes_last(tmp_path: Path, trainer_does: StandIn) -> None:
    trainer_does(f"{line(1)}\nwhile [ ! -e $3/seen ]; do sleep 0.02; done")
    write_report(tmp_path, RunReport(passed=True, reason=Reason("better")))
    seen: list[int] = []

    def note(progress: Progress) -> None:
        seen.append(progress.done)
        (tmp_path / "seen").touch()

    report = await train(tmp_path, b"", on_progress=note)
    assert report.passed
    assert seen == [1]


@pytest.mark.parametrize(
    ("script", "kind", "told"),
    [
        ("exit 3", MemoryError, "memory"),
        ("kill -9 $$", MemoryError, "memory"),
        ("echo MemoryError >&2; exit 1", MemoryError, "memory"),
        ("echo OpenBLAS error: Memory allocation still failed after 10 retries >&2; exit 1", MemoryError, "memory"),
        ("echo what: std::bad_alloc >&2; kill -6 $$", MemoryError, "memory"),
        ("echo The base is broken. >&2; exit 1", RunError, "status 1. The base is broken."),
        ("kill -11 $$", RunError, "status -11"),
        ("exit 0", RunError, "report.json"),
    ],
)
async def test_every_end_is_told_from_the_others(
    tmp_path: Path, trainer_does: StandIn, script: str, kind: type[Exception], told: str
) -> None:
    trainer_does(script)
    with pytest.raises(kind, match=told):
        await train(tmp_path, b"", on_progress=ignore)


async def test_a_cancelled_run_leaves_no_trainer_behind(tmp_path: Path, trainer_does: StandIn) -> None:
    trainer_does("echo $$ > $3/pid\nexec sleep 600")
    running = asyncio.create_task(train(tmp_path, b"", on_progress=ignore))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


async def test_the_trainer_is_told_whose_child_it_is(tmp_path: Path, trainer_does: StandIn) -> None:
    trainer_does(f'echo "$@" > {tmp_path}/arguments; echo $PPID >> {tmp_path}/arguments; exit 1')
    with pytest.raises(RunError):
        await train(tmp_path, b"", on_progress=ignore)
    given, parent = (tmp_path / "arguments").read_text().splitlines()
    assert given == f"-m engine.train {tmp_path} --dataset /dev/stdin --parent-pid {parent}"
    assert os.getpid() == int(parent)
