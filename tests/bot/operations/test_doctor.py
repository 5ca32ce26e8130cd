"""The doctor names what is wrong and what to do, changes nothing, and its exit status can be relied on."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from typer.testing import CliRunner

from bot.cli.__main__ import app
from bot.common.keys import open_keys
from bot.common.settings import DataSettings
from bot.operations import machine
from bot.operations.doctor import diagnose, exit_status
from bot.operations.machine import Finding
from bot.sandbox.server import Sandbox
from engine.runs.versions import publish
from storage.backup import backup
from storage.db.files import make_private
from tests.support.fake_engine import FakeEngine
from tests.support.proxy import FakeProxy
from tests.support.stored.histories import opened, write_history

TOKEN = "123456789:AAE-this_is_a_token_of_35_characters"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> Path:
    """An installation that is well: settings, key, a database with a past, a fresh backup."""
    monkeypatch.setattr(machine, "_LEAST_FREE_BYTES", 0)
    monkeypatch.setattr(machine, "MOUNTS", tmp_path / "mounts")
    monkeypatch.chdir(tmp_path)
    write_env(tmp_path)
    (tmp_path / "data").mkdir()
    open_keys(DataSettings(), may_create=True)
    write_history(tmp_path / "data" / "ovation.db", texts=8, seed=1)
    backup.create(tmp_path / "data" / "ovation.db", tmp_path / "data" / "backups", now=NOW, keep=7)
    make_private(tmp_path / "data")
    return tmp_path


def write_env(home: Path, *lines: str) -> None:
    file = home / ".env"
    nobody = "TELEGRAM_API_URL=http://127.0.0.1:1"
    file.write_text("\n".join((f"TELEGRAM_BOT_TOKEN={TOKEN}", nobody, *lines)))
    file.chmod(0o600)


def look(now: datetime = NOW) -> list[Finding]:
    return diagnose(now=now)


def found(check: str, findings: list[Finding] | None = None) -> Finding:
    (finding,) = [finding for finding in findings or look() if finding.check == check]
    return finding


async def test_an_installation_that_is_well_is_told_so(home: Path, sandbox: Sandbox) -> None:
    write_env(home, f"TELEGRAM_API_URL={sandbox.url}", f"TELEGRAM_BOT_TOKEN={sandbox.token}")
    findings = await asyncio.to_thread(look)
    assert exit_status(findings) == 0
    assert {f.check for f in findings if f.state != "ok"} <= {"SQLite"}
    assert "knows this bot as @" in found("Telegram", findings).says


def test_a_folder_that_others_can_read_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("private").state == "ok"
    (home / "data").chmod(0o755)
    (home / "data" / "ovation.db").chmod(0o644)
    finding = found("private")
    assert finding.state == "warning" and "can read" in finding.says and "1 more" in finding.says
    monkeypatch.setattr("bot.operations.doctor.os.geteuid", lambda: 4711)
    assert found("private").state == "failed"


async def test_which_proxy_is_used_for_what_is_shown_and_telegram_and_the_engine_are_tried_through_it(
    home: Path, sandbox: Sandbox, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    telegram, engine = (url.replace("127.0.0.1", "elsewhere.example") for url in (sandbox.url, fake_engine.url))
    write_env(home, f"TELEGRAM_API_URL={telegram}", f"TELEGRAM_BOT_TOKEN={sandbox.token}", f"ENGINE_URL={engine}")
    async with FakeProxy().running() as proxy:
        monkeypatch.setenv("http_proxy", f"http://ada:secret@{proxy.address}")
        findings = await asyncio.to_thread(look)
    way = f"the proxy http://{proxy.address} (HTTP_PROXY)"
    assert f"Telegram and the engine through {way}; the model hub directly" in found("proxies", findings).says
    assert {found(check, findings).state for check in ("Telegram", "engine")} == {"ok"}
    assert {f"{url.removeprefix('http://')}" for url in (telegram, engine)} == set(proxy.asked)
    gone = await asyncio.to_thread(look)
    for check in ("Telegram", "engine"):
        assert f"The proxy http://{proxy.address} (HTTP_PROXY) does not answer" in found(check, gone).says
    assert "secret" not in str(findings + gone)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("all_proxy", "socks://127.0.0.1:1080", "ALL_PROXY begins with socks://"),
        ("HF_ENDPOINT", "http://hub:abc", "HF_ENDPOINT is no address"),
    ],
)
def test_a_proxy_or_hub_that_is_none_is_a_wrong_setting(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    findings = look()
    assert exit_status(findings) == 2 and says in found("settings", findings).says
    assert found("proxies", findings).state == "failed"


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        ("401 Unauthorized\r\n\r\n{}", "failed", "does not know TELEGRAM_BOT_TOKEN"),
        ("502 Bad Gateway\r\n\r\n<html>", "warning", "status 502"),
        ("200 OK\r\n\r\n<html>Please log in</html>", "warning", "is not Telegram"),
        ("200 OK\r\n\r\n{}", "warning", "is not Telegram"),
    ],
)
async def test_what_telegram_answers_is_told(home: Path, answer: str, state: str, says: str) -> None:
    async with FakeProxy(f"HTTP/1.0 {answer}").running() as telegram:
        write_env(home, f"TELEGRAM_API_URL=http://{telegram.address}/x/y")
        finding = found("Telegram", await asyncio.to_thread(look))
    assert (finding.state, says in finding.says) == (state, True)


def test_looking_changes_nothing(home: Path) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and path.suffix != ".db-shm"}

    look()  # SQLite may leave an empty log beside the file
    before = contents()
    look()
    assert contents() == before


@pytest.mark.parametrize(
    ("severals", "state", "says"), [("written", "ok", "loads versions"), ("refused", "warning", "loads no adapters")]
)
async def test_it_says_beforehand_whether_a_night_can_bring_anything_to_the_server(
    home: Path, fake_engine: FakeEngine, severals: Literal["written", "refused"], state: str, says: str
) -> None:
    fake_engine.severals = severals
    write_env(home, f"ENGINE_URL={fake_engine.url}", "MODEL=starter")
    finding = found("engine", await asyncio.to_thread(look))
    assert finding.state == state and says in finding.says


def test_a_server_that_is_not_there_is_a_warning(home: Path) -> None:
    write_env(home, "ENGINE_URL=http://127.0.0.1:1", "MODEL=starter")
    assert found("engine").state == "warning" and "cannot be reached" in found("engine").says


def test_a_new_installation_is_well(home: Path) -> None:
    write_env(home, "DATA_DIR=elsewhere")
    assert exit_status(look()) == 0
    assert "at the first start" in found("key").says and "ovation run" in found("database").says
    assert not (home / "elsewhere").exists()


def test_wrong_settings_are_all_named_and_the_rest_is_looked_at_all_the_same(home: Path) -> None:
    write_env(home, "MIN_RATINGS=-1", "TIMEZONE=Mars/Olympus")
    findings = look()
    assert exit_status(findings) == 2
    assert "MIN_RATINGS" in found("settings").says and "TIMEZONE" in found("settings").says
    assert found("database").state == "ok"


def test_settings_that_others_can_read_fail(home: Path) -> None:
    (home / ".env").chmod(0o644)
    findings = look()
    assert exit_status(findings) == 2 and "chmod 600" in found(".env").says
    assert TOKEN not in str(findings)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda key: key.unlink(), "is missing, but there is data"),
        (lambda key: key.chmod(0o644), "chmod 600"),
        (lambda key: key.write_text("not a key"), "is not a key"),
    ],
)
def test_a_key_that_is_missing_public_or_wrong_fails(home: Path, harm: Callable[[Path], None], says: str) -> None:
    harm(home / "data.key")
    assert found("key").state == "failed" and says in found("key").says
    assert exit_status(look()) == 1


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ((3, 6, 23), "ok"), ((3, 7, 0), "warning"), ((3, 40, 1), "warning"), ((3, 44, 5), "warning"),
        ((3, 44, 6), "ok"), ((3, 45, 0), "warning"), ((3, 50, 6), "warning"), ((3, 50, 7), "ok"),
        ((3, 51, 2), "warning"), ((3, 51, 3), "ok"), ((3, 53, 0), "ok"),
    ],
)  # fmt: skip
def test_the_versions_of_sqlite_with_the_wal_reset_bug_are_known(version: tuple[int, int, int], state: str) -> None:
    finding = machine.sqlite(version)
    assert finding.state == state
    assert state == "ok" or "only one connection ever writes" in finding.says


@pytest.mark.parametrize(
    ("kind", "place", "state"),
    [
        ("nfs4", "", "failed"), ("fuse.sshfs", "/my\\040bots", "failed"), ("9p", "/my\\040bots/data", "failed"),
        ("ext4", "", "ok"), ("cifs", "/my", "ok"), ("nfs", "/my\\040bots/data/versions", "ok"),
    ],
)  # fmt: skip
def test_a_data_folder_on_a_network_fails(tmp_path: Path, kind: str, place: str, state: str) -> None:
    folder = tmp_path / "my bots" / "data"
    folder.mkdir(parents=True)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nhost:/x {tmp_path}{place} {kind} rw 0 0\nproc /proc proc rw 0 0\n")
    assert machine.file_system(folder / "not yet", mounts).state == state
    assert machine.file_system(folder, tmp_path / "no such file").state == "ok"


def test_a_full_disk_fails_and_a_small_one_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_LEAST_FREE_BYTES", 1 << 60)
    assert machine.room(tmp_path / "not yet", database_bytes=0).state == "failed"
    monkeypatch.setattr(machine, "_LEAST_FREE_BYTES", 0)
    assert machine.room(tmp_path, database_bytes=1 << 60).state == "warning"
    assert machine.room(tmp_path, database_bytes=0).state == "ok"


def test_a_data_folder_that_is_none_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert machine.folder(tmp_path / "file").state == "failed"


def test_a_damaged_database_fails_and_says_restore(home: Path) -> None:
    database = home / "data" / "ovation.db"
    content = bytearray(database.read_bytes())
    for offset in range(4096, len(content), 4096):
        content[offset : offset + 8] = b"\xff" * 8
    database.write_bytes(content)
    assert found("database").state == "failed" and "ovation restore" in found("database").says
    database.write_bytes(b"no database at all" * 500)
    assert found("database").state == "failed" and exit_status(look()) == 1


def test_what_the_database_says_of_the_bot_is_told(home: Path) -> None:
    with opened(home / "data" / "ovation.db") as connection:
        connection.execute("INSERT INTO inbox VALUES (1, 'now', NULL, 'dead', 3, 'KeyError')")
        connection.execute(
            "INSERT INTO runs (id, state, verdict, reason, started_at) VALUES (3, 'ended', 'failed', 'memory', ?)",
            (NOW.isoformat(),),
        )
        connection.execute("DELETE FROM migrations WHERE name LIKE '0002%'")
    assert found("inbox").state == "warning" and "1 updates could not be handled" in found("inbox").says
    assert found("last run").state == "warning" and "Run 3" in found("last run").says
    assert found("schema").state == "warning" and "0002" in found("schema").says
    assert exit_status(look()) == 0


def test_a_database_of_a_newer_ovation_fails(home: Path) -> None:
    with opened(home / "data" / "ovation.db") as connection:
        connection.execute("INSERT INTO migrations VALUES ('9999 future', 'then')")
    assert found("schema").state == "failed" and "newer Ovation" in found("schema").says


def test_a_version_that_was_altered_fails_where_it_serves_and_warns_where_it_only_may(home: Path) -> None:
    adapter = home / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    for name in ("v1", "v2"):
        publish(adapter, home / "data" / "versions", name)
    with opened(home / "data" / "ovation.db") as connection:
        connection.execute(
            "INSERT INTO runs (id, state, verdict, started_at) VALUES (1, 'ended', 'promoted', ?)", (NOW.isoformat(),)
        )
        for name, run, state in (("starter", None, "retired"), ("v1", 1, "candidate"), ("v2", 1, "champion")):
            connection.execute(
                "INSERT INTO versions VALUES (?, 'starter', ?, ?, ?, NULL, NULL)", (name, run, state, NOW.isoformat())
            )
    assert found("versions").state == "ok" and "2 with an adapter" in found("versions").says
    (home / "data" / "versions" / "v1" / "adapter_model.safetensors").write_bytes(b"weight5")
    assert found("versions").state == "warning" and "v1" in found("versions").says
    (home / "data" / "versions" / "v2" / "extra.json").write_text("{}")
    assert found("versions").state == "failed" and exit_status(look()) == 1


def test_a_backup_is_old_once_two_slots_have_made_no_newer_one(home: Path) -> None:
    write_env(home, "RETRAIN_AT=0 3 * * sun")
    assert found("backups", look(NOW + timedelta(days=7))).state == "ok", "one Sunday has passed"
    assert found("backups", look(NOW + timedelta(days=13))).state == "warning"
    write_env(home, "RETRAIN_AT=@hourly")
    assert found("backups", look(NOW + timedelta(days=2))).state == "ok"


def test_the_next_run_is_told_as_the_bot_will_do_it(home: Path) -> None:
    write_env(home, "RETRAIN_AT=30 2 * * *", "TIMEZONE=Europe/Berlin")
    before_the_clocks_go_forward = datetime(2027, 3, 28, 0, 30, tzinfo=UTC)
    says = "The next run is due at Sunday, 2027-03-28 03:00 (Europe/Berlin)."
    assert found("schedule", look(before_the_clocks_go_forward)).says == says
    write_env(home, "RETRAIN_AT=0 3 30 2 *")
    assert "RETRAIN_AT: '0 3 30 2 *' never comes" in found("settings").says and exit_status(look()) == 2


def test_backups_that_are_missing_old_or_damaged_are_told(home: Path) -> None:
    assert found("backups", look(NOW + timedelta(days=3))).state == "warning"
    (made,) = backup.kept(home / "data" / "backups")
    made.write_bytes(made.read_bytes()[:-1] + b"!")
    assert found("backups").state == "failed"
    made.unlink()
    assert found("backups").state == "warning" and "run ovation backup" in found("backups").says


def test_a_damaged_list_of_the_forgotten_fails(home: Path) -> None:
    (home / "data" / "tombstones.jsonl").write_text("nonsense\n")
    assert found("forgotten").state == "failed" and exit_status(look()) == 1


def test_the_command_prints_a_table_or_json_and_ends_with_the_status(home: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["doctor"])
    assert shown.exit_code == 0 and "database" in shown.stdout
    (home / "data.key").unlink()
    shown = runner.invoke(app, ["doctor", "--json"])
    findings = json.loads(shown.stdout)
    assert shown.exit_code == 1
    assert {"check", "state", "says"} == findings[0].keys()
    assert [f["check"] for f in findings if f["state"] == "failed"] == ["key"]


def test_it_works_while_a_writer_is_in_the_middle_of_something(home: Path) -> None:
    with opened(home / "data" / "ovation.db") as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM ratings")
        assert found("database").state == "ok"
        writer.execute("ROLLBACK")
