"""The disk fails, fills, is held by others or loses its newest writes: what was acknowledged is there afterwards."""

import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from bot.sandbox.server import Sandbox
from storage.db.database import Database
from tests.support.accept_child import BATCH
from tests.support.scene import BotProcess, Scene

CHILD = (sys.executable, "-m", "tests.support.accept_child")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def run_child(database: Path, batches: int, *, inject: str | None = None) -> list[str]:
    """What the child printed before it ended, however it ended."""
    strace = () if inject is None else ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={inject}")
    child = subprocess.run(
        [*strace, *CHILD, str(database), str(batches)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    return child.stdout.decode().split("\n")[:-1]


def stored_batches(database: Path) -> list[int]:
    """The batches in the file; each must be whole."""
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ids = [row[0] for row in connection.execute("SELECT update_id FROM inbox ORDER BY update_id")]
    finally:
        connection.close()
    batches = sorted({update_id // BATCH for update_id in ids})
    assert ids == [batch * BATCH + index for batch in batches for index in range(BATCH)]
    return batches


@needs_strace
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_a_kill_at_any_system_call_of_accepting_keeps_what_was_acknowledged(tmp_path: Path, call: str) -> None:
    database = tmp_path / "ovation.db"
    run_child(database, 1)
    acknowledged: list[int] = []
    for when in (1, 2, 3, 5, 8, 12, 18, 26, 40):
        printed = run_child(database, 3, inject=f"{call}:signal=SIGKILL:when={when}")
        acknowledged += [int(line) for line in printed if line.isdigit()]
        assert set(acknowledged) <= set(stored_batches(database))
    assert len(acknowledged) > 5


@needs_strace
def test_a_failing_fsync_is_never_acknowledged_and_is_recovered_from(tmp_path: Path) -> None:
    database = tmp_path / "ovation.db"
    run_child(database, 1)
    printed = run_child(database, 12, inject="fdatasync:error=EIO:when=3..6")
    refused = [line for line in printed if line.startswith("refused")]
    acknowledged = [int(line) for line in printed if line.isdigit()]
    assert refused and "cannot be written" in refused[0]
    assert len(acknowledged) >= 6
    assert set(acknowledged) <= set(stored_batches(database))


async def test_a_log_cut_off_at_any_length_gives_a_whole_prefix_of_history(tmp_path: Path) -> None:
    database = tmp_path / "ovation.db"
    printed = subprocess.run(
        [*CHILD, str(database), "1"], capture_output=True, check=True
    )  # makes the schema and closes the file
    assert printed.returncode == 0
    db = await Database.open(database)
    try:
        for number in range(100, 112):
            rows = [(number * BATCH + index,) for index in range(BATCH)]
            await db.write(
                lambda c, rows=rows: c.executemany(  # type: ignore[misc]
                    "INSERT INTO inbox (update_id, received_at, body) VALUES (?, 'now', 'x')", rows
                )
            )
        log = tmp_path.joinpath("ovation.db-wal").read_bytes()
        # read by another process: closing the file in this one would drop SQLite's locks
        main = subprocess.run(["cat", str(database)], capture_output=True, check=True).stdout
    finally:
        await db.close()
    copy, found = tmp_path / "copy.db", 0
    for length in (*range(0, len(log), 512), len(log)):
        copy.write_bytes(main)
        copy.with_name("copy.db-wal").write_bytes(log[:length])
        batches = [batch for batch in stored_batches(copy) if batch >= 100]
        assert batches == list(range(100, 100 + len(batches)))
        assert len(batches) >= found
        found = len(batches)
        copy.with_name("copy.db-wal").unlink(missing_ok=True)
    assert found == 12


async def test_a_full_disk_confirms_nothing_and_everything_is_answered_once_there_is_room(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    (ada, chat), (bob, bobs) = scene.person("Ada"), scene.person("Bob")
    message = await scene.ask(ada, chat, "/slogan green tea")
    assert bot.process is not None
    process = psutil.Process(bot.process.pid)
    process.rlimit(psutil.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))  # every write beyond the first page fails
    asked = [sandbox.world.say(ada, chat, "/slogan black tea"), sandbox.world.say(bob, bobs, "/slogan white tea")]
    sandbox.world.react(ada, message, ["👍"])
    await sandbox.world.until(lambda: "no updates: " in bot.log, 60)
    assert len(sandbox.world.updates.pending) == 3  # Telegram keeps them
    assert (await scene_health(bot))["disk"]["ok"] is False
    process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for one in asked:
        await scene.answer(one, lambda answer: answer.button("up:") is not None)
    await sandbox.world.until(lambda: not sandbox.world.updates.pending or None, 20)
    assert [row["value"] for row in await bot.export("ratings")] == [1.0]
    assert all(len([a for a in sandbox.world.answers(one) if a.button("up:")]) == 1 for one in asked)


async def scene_health(bot: BotProcess) -> dict[str, dict[str, object]]:
    """The checks of /ready."""
    address = bot.log.rsplit("health at ", 1)[1].split()[0]
    async with httpx.AsyncClient() as http:
        checks: dict[str, dict[str, object]] = (await http.get(f"{address}/ready", timeout=20)).json()["checks"]
    return checks


async def test_a_database_that_another_program_holds_is_waited_for(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan green tea")
    await bot.settled()
    with closing(sqlite3.connect(bot.folder / "data" / "ovation.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        asked = sandbox.world.say(ada, chat, "/slogan black tea")
        await sandbox.world.until(lambda: "put off" in bot.log or "no updates" in bot.log, 60)
        assert sandbox.world.answers(asked) == ()
        holder.execute("ROLLBACK")
    await scene.answer(asked, lambda answer: answer.button("up:") is not None)
    assert "given up" not in bot.log


async def test_a_bot_that_runs_out_of_files_recovers(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan green tea")
    assert bot.process is not None
    process = psutil.Process(bot.process.pid)
    before = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(), before[1]))
    people = [scene.person(f"Person {number}") for number in range(12)]
    so_far = bot.log
    asked = [sandbox.world.say(person, where, "/slogan black tea") for person, where in people]
    await sandbox.world.until(lambda: bot.log != so_far, 60)  # it has met the limit
    process.rlimit(psutil.RLIMIT_NOFILE, before)
    for one in asked:
        await scene.answer(one, lambda answer: answer.button("up:") is not None)


async def test_a_reader_that_never_ends_does_not_stop_writers_and_is_seen(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    message = await scene.ask(ada, chat, "/slogan green tea")
    reader = sqlite3.connect(f"file:{bot.folder / 'data' / 'ovation.db'}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM inbox").fetchone()
    for number in range(300):
        sandbox.world.react(ada, message, ["👍"] if number % 2 else ["👎"])
    await sandbox.world.until(lambda: not sandbox.world.updates.pending or None, 30)
    log = bot.folder / "data" / "ovation.db-wal"
    assert log.stat().st_size > 0
    reader.execute("ROLLBACK")
    reader.close()
    for number in range(300):
        sandbox.world.react(ada, message, ["👍"] if number % 2 else ["👎"])
    await sandbox.world.until(lambda: not sandbox.world.updates.pending or None, 30)
    assert log.stat().st_size < 64 * 2**20
    assert (await scene_health(bot))["disk"]["ok"] is True
