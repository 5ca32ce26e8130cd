"""A data folder of the previous release starts and keeps everything.

`release-20cd2d6.tar.xz` was made by that code, with the script in it (`make.py`): the data folder, the master key
beside it, a backup from before somebody was forgotten, and in `expected.json` what that code read back from it.
"""

import json
import re
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bot.cli.__main__ import app
from bot.common.keys import open_keys
from bot.common.settings import DataSettings
from storage.db.database import Database, open_for_reading
from storage.db.schema import MIGRATIONS
from storage.privacy import tombstones
from storage.tables import generations, inbox
from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene

RELEASE = Path(__file__).parents[2] / "support" / "stored" / "release-20cd2d6.tar.xz"
ENCRYPTED = {"generations": ("messages", "text"), "inbox": ("body",)}
OF_DEE = (
    "SELECT count(*) FROM generations WHERE author = ?",
    "SELECT count(*) FROM ratings WHERE rater = ?",
    "SELECT count(*) FROM consents WHERE person = ?",
)

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> dict[str, Any]:
    """What the previous release read back from the folder, which now lies in the working directory."""
    with tarfile.open(RELEASE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = json.loads(Path("expected.json").read_text())
    return found


def ovation(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result


def rows() -> Rows:
    """Every row of every table, decrypted."""
    with closing(open_for_reading(DataSettings().database_path, open_keys(DataSettings()).keyring)) as connection:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
        return {table: _rows_of(connection, table) for (table,) in connection.execute(tables).fetchall()}


def _rows_of(connection: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    encrypted = ENCRYPTED.get(table, ())
    names = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
    columns = ", ".join(f"decrypted({name}) AS {name}" if name in encrypted else name for name in names)
    return [dict(row) for row in connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2")]


async def test_a_new_database_has_the_schema_of_an_old_one_that_was_brought_up_to_date(
    expected: dict[str, Any],
) -> None:
    await (await Database.open(Path("new.db"))).close()
    await (await Database.open(DataSettings().database_path, open_keys(DataSettings()).keyring)).close()
    schemas = []
    for path in (Path("new.db"), DataSettings().database_path):
        with closing(open_for_reading(path)) as connection:
            query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY 1, 2"
            schemas.append([tuple(row) for row in connection.execute(query)])
    new, old = schemas
    assert new == old


async def test_every_row_is_kept_and_every_text_read(expected: dict[str, Any]) -> None:
    db = await Database.open(DataSettings().database_path, open_keys(DataSettings()).keyring)
    waiting = await inbox.unfinished(db)
    refined = await generations.by_message(db, chat_id=-1001, message_id=1003)
    await db.close()
    assert refined is not None and refined.text == "Cup. Green."
    assert [turn.content for turn in refined.messages] == ["green tea", "Greener by the cup.", "shorter"]
    assert [(number, "waiting words" in body) for number, body, _ in waiting] == [(900, True)]
    kept, before = rows(), expected["rows"]
    assert [row["name"] for row in kept.pop("migrations")] == [name for name, _ in MIGRATIONS]
    assert kept.keys() >= before.keys() - {"migrations"}
    for table in before.keys() - {"migrations"}:
        assert _known(kept[table], before[table]) == before[table], table
    assert sum(map(len, before.values())) > 90


def _known(now: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the columns that later migrations have added."""
    return [{name: row[name] for name in before[0]} for row in now] if before else now


@pytest.mark.parametrize("what", ["ratings", "generations", "runs", "duels"])
def test_the_exports_are_the_same(expected: dict[str, Any], what: str) -> None:
    printed = ovation("export", what, "--format", "jsonl").stdout.splitlines()
    before = expected["exports"][what]
    assert len(printed) == len(before) > 0
    for line, same in zip(map(json.loads, printed), map(json.loads, before), strict=True):
        line.pop("AIGC", None)
        same.pop("AIGC", None)
        assert {name: line[name] for name in same} == same


def test_the_doctor_finds_nothing_wrong(expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123456:of-a-test")
    findings = {each["check"]: each for each in json.loads(ovation("doctor", "--json").stdout)}
    assert "run ovation backup before it" in findings["schema"]["says"]
    for check in ("key", "database", "versions", "forgotten", "last run"):
        assert findings[check]["state"] == "ok", findings[check]
    assert findings["versions"]["says"].startswith("1 with an adapter")
    assert "is whole" in findings["backups"]["says"]


def test_its_backups_are_restored_and_who_was_forgotten_stays_forgotten(expected: dict[str, Any]) -> None:
    dee = open_keys(DataSettings()).pseudonyms.person(expected["ids"]["dee"])
    (tombstone,) = tombstones.read(DataSettings().tombstones_path)
    assert (tombstone.person, tombstone.is_done) == (dee, True)
    (own,) = Path("data", "backups").glob("*.db")
    (older,) = Path("elsewhere").glob("*.db")
    with closing(open_for_reading(older)) as connection:
        assert all(connection.execute(query, (dee,)).fetchone()[0] for query in OF_DEE)
    for backup, forgotten in ((own, "0 texts, 0 ratings, 0 opt-ins"), (older, "1 texts, 2 ratings, 1 opt-ins")):
        assert forgotten in re.sub(r"\s+", " ", ovation("restore", str(backup), "--yes").output)
        kept = {table: found for table, found in rows().items() if table not in ("audit", "migrations")}
        for table, found in kept.items():
            before = expected["rows"].get(table, [])
            assert _known(found, before) == before, (backup, table)


def test_a_new_machine_needs_the_master_key_and_a_backup_only(expected: dict[str, Any]) -> None:
    for path in Path("data").iterdir():
        if path.name != "tombstones.jsonl":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (older,) = Path("elsewhere").glob("*.db")
    ovation("restore", str(older), "--yes")
    before = expected["rows"]["generations"]
    assert _known(rows()["generations"], before) == before


async def test_the_bot_starts_on_it_and_knows_everybody(
    bot: BotProcess, scene: Scene, fake_engine: FakeEngine, expected: dict[str, Any]
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url, RETENTION_DAYS="3650", MIN_RATINGS="1000")
    await bot.settled()
    assert [row[0] for row in bot.rows("SELECT name FROM versions WHERE state <> 'retired'")] == ["starter", "v1"]
    assert await bot.export("duels") == [json.loads(line) for line in expected["exports"]["duels"]]
    consented = [json.loads(line) for line in expected["exports"]["ratings"]]
    assert [row for row in await bot.export("ratings") if row["consented"]] == [
        row for row in consented if row["consented"]
    ]
    ada, chat = scene.person("Ada", person_id=expected["ids"]["ada"])
    shown = await scene.answer(scene.sandbox.world.say(ada, chat, "/mydata"))
    assert shown.attachment is not None
    document = json.loads(scene.sandbox.world.state.files[shown.attachment.file_id][1])
    assert "Greener by the cup." in [text["written"] for text in document["texts"]]
    assert len(document["consents"]) == 2
