"""The operator's commands keep their promises: a backup restores, a restore can be undone, who is forgotten is gone."""

import io
import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from bot.cli.__main__ import app
from bot.cli.terminal import confirm
from bot.common.keys import open_keys
from bot.common.lock import hold_data_dir
from bot.common.settings import DataSettings
from engine.runs.run_dir import Comparison, Reason, RunReport, read_report, write_report
from storage.backup import backup, restore
from storage.privacy import tombstones
from tests.storage.conftest import NOON
from tests.support.stored.histories import files_with, opened, rows_of, write_history
from tests.support.terminal import at_a_terminal

ADA_ID = 4711


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> Path:
    """A data folder whose bot is stopped, in which a person with an id has written, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    open_keys(DataSettings(), may_create=True)
    write_history(tmp_path / "data" / "ovation.db", texts=30, seed=2)
    with opened(tmp_path / "data" / "ovation.db") as connection:
        connection.execute("UPDATE generations SET author = ? WHERE author = 'ada'", (ada(),))
        connection.execute("UPDATE people SET person = ? WHERE person = 'ada'", (ada(),))
        connection.execute(
            "INSERT INTO inbox (update_id, received_at, body) VALUES (1, ?, ?), (2, ?, ?)",
            (NOON.isoformat(), update_of(ADA_ID), NOON.isoformat(), update_of(12)),
        )
    return tmp_path / "data"


def ada() -> str:
    return open_keys(DataSettings()).pseudonyms.person(ADA_ID)


def update_of(person_id: int) -> str:
    return json.dumps({"update_id": 1, "message": {"from": {"id": person_id}, "text": f"waiting words of {person_id}"}})


def ovation(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def told(result: Result) -> str:
    return re.sub(r"\s+", " ", result.output)


def test_the_restore_drill(data: Path) -> None:
    whole = {person: rows_of(data / "ovation.db", person) for person in (ada(), "bob", "cyd")}
    made = ovation("backup")
    assert made.exit_code == 0
    shutil.move(data / "backups", "elsewhere")
    shutil.rmtree(data)
    result = ovation("restore", str(Path("elsewhere") / Path(made.stdout.strip()).name), "--yes")
    assert result.exit_code == 0, result.output
    assert {person: rows_of(data / "ovation.db", person) for person in whole} == whole


def test_a_restore_makes_a_safety_copy_and_can_be_undone(data: Path) -> None:
    first = ovation("backup").stdout.strip()
    with opened(data / "ovation.db") as connection:
        connection.execute("DELETE FROM ratings")
    (data / "versions" / "v9").mkdir(parents=True)
    result = ovation("restore", first, "--yes")
    assert result.exit_code == 0, result.output
    (aside,) = restore.put_aside(data / "ovation.db")
    safety = backup.kept(data / "backups")[-1]
    assert safety.name in result.output and aside.name in result.output and safety.name != Path(first).name
    assert [path.name.partition(".")[0] for path in (data / "versions").iterdir()] == ["v9"]
    assert not (data / "versions" / "v9").exists(), "the next run may take the name"
    with opened(data / "ovation.db") as connection:
        assert connection.execute("SELECT count(*) FROM ratings").fetchone()[0] > 0
        assert connection.execute("SELECT actor, action FROM audit").fetchall()[0][:] == ("operator", "restore")
    assert ovation("restore", str(safety), "--yes").exit_code == 0
    with opened(data / "ovation.db") as connection:
        assert connection.execute("SELECT count(*) FROM ratings").fetchone()[0] == 0


def test_a_damaged_database_is_replaced_without_a_safety_copy(data: Path) -> None:
    made = ovation("backup").stdout.strip()
    (data / "ovation.db").write_bytes(b"no database" * 1000)
    result = ovation("restore", made, "--yes")
    assert result.exit_code == 0 and "A backup of what was there" not in result.output
    assert len(backup.kept(data / "backups")) == 1 and rows_of(data / "ovation.db", "bob") > 0


def test_a_file_that_cannot_be_restored_is_refused_before_anything_is_asked(data: Path) -> None:
    Path("letter.txt").write_text("Dear Ovation")
    before = (data / "ovation.db").read_bytes()
    for file, says in (("letter.txt", "no backup of Ovation"), ("nothing.db", "cannot be read")):
        result = ovation("restore", file)
        assert result.exit_code == 1 and says in told(result)
    assert (data / "ovation.db").read_bytes() == before


def test_nothing_is_replaced_or_erased_while_a_bot_holds_the_folder(data: Path) -> None:
    made = ovation("backup").stdout.strip()
    with hold_data_dir(data):
        for command in (("restore", made), ("forget", str(ADA_ID))):
            result = ovation(*command, "--yes")
            assert result.exit_code == 2 and "Another Ovation is running" in told(result)
        assert ovation("backup").exit_code == 0, "a backup needs no pause"
    assert rows_of(data / "ovation.db", ada()) > 0 and tombstones.read(data / "tombstones.jsonl") == []


def test_nothing_is_replaced_or_erased_without_a_yes(data: Path) -> None:
    made = ovation("backup").stdout.strip()
    for command in (("restore", made), ("forget", str(ADA_ID))):
        result = ovation(*command)
        assert result.exit_code == 2 and "--yes" in told(result)
    assert rows_of(data / "ovation.db", ada()) > 0 and restore.put_aside(data / "ovation.db") == []


@pytest.mark.parametrize(("answer", "status"), [("n\n", 1), ("y\n", None)])
def test_at_a_terminal_a_question_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, status: int | None
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    if status is None:
        confirm("Erase everything?", yes=False)
    else:
        with pytest.raises(typer.Exit) as ended:
            confirm("Erase everything?", yes=False)
        assert ended.value.exit_code == status
    assert "Erase everything?" in capsys.readouterr().out


@pytest.mark.parametrize("by_id", [True, False])
def test_who_is_forgotten_is_gone_from_every_file_and_stays_gone_after_a_restore(data: Path, by_id: bool) -> None:
    person = ada()
    kept_elsewhere = Path("elsewhere.db")
    assert ovation("backup", "--to", str(kept_elsewhere)).exit_code == 0
    made = ovation("backup").stdout.strip()
    result = ovation("forget", str(ADA_ID) if by_id else person, "--yes")
    assert result.exit_code == 0 and "Backups rewritten: 1." in result.output, result.output
    for file in (made, str(kept_elsewhere)):
        assert ovation("restore", file, "--yes").exit_code == 0
        for words in (b"ada-said-so", b"waiting words of 4711"):
            assert files_with(data, words) == []
        with opened(data / "ovation.db") as connection:
            bodies = connection.execute("SELECT update_id FROM inbox WHERE state = 'new'").fetchall()
        assert [row[0] for row in bodies] == [2], "what others are waiting for stays"
        assert rows_of(data / "ovation.db", "bob") > 0
    assert [(stone.person, stone.is_done) for stone in tombstones.read(data / "tombstones.jsonl")] == [(person, True)]


def test_what_runs_tell_of_erased_texts_goes_from_their_folders(data: Path) -> None:
    with opened(data / "ovation.db") as connection:
        text = connection.execute("SELECT id FROM generations WHERE author = ?", (ada(),)).fetchone()[0]
        other = connection.execute("SELECT id FROM generations WHERE author = 'bob' AND parent IS NULL").fetchone()[0]
        for run, generation in ((1, text), (2, other)):
            connection.execute(
                "INSERT INTO runs (id, state, verdict, started_at) VALUES (?, 'ended', 'promoted', ?)",
                (run, NOON.isoformat()),
            )
            connection.execute("INSERT INTO lineage VALUES (?, ?, 'cyd')", (run, generation))
    for run in ("00001", "00002"):
        folder = data / "runs" / run
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("Ada's tea")
        quoted = (Comparison("Ada's tea", "Before.", "After.", 0.4, 0.6),)
        write_report(folder, RunReport(passed=True, reason=Reason("better", {"gain": 0.1}), examples=quoted))
    assert ovation("forget", str(ADA_ID), "--yes").exit_code == 0
    assert read_report(data / "runs" / "00001").reason == Reason("better", {"gain": 0.1})
    quoting = [file for file in (data / "runs").rglob("*.*") if b"Ada's tea" in file.read_bytes()]
    assert {file.parent.name for file in quoting} == {"00002"}


def test_a_damaged_backup_is_named_when_somebody_is_forgotten(data: Path) -> None:
    made = Path(ovation("backup").stdout.strip())
    made.write_bytes(made.read_bytes()[:-1] + b"!")
    result = ovation("forget", str(ADA_ID), "--yes")
    assert result.exit_code == 1 and str(made) in told(result) and rows_of(data / "ovation.db", ada()) == 0


def test_somebody_who_is_nobody_is_refused(data: Path) -> None:
    for name in ("@ada", "ada", "-5", "0x12", ada().upper(), ""):
        result = ovation("forget", "--yes", "--", name)
        assert result.exit_code == 2 and "numeric Telegram id" in told(result)
    Path("data.key").unlink()
    assert ovation("forget", str(ADA_ID), "--yes").exit_code == 2


def test_there_is_nothing_to_do_where_there_is_no_database(data: Path) -> None:
    (data / "ovation.db").unlink()
    for command in (("backup",), ("backup", "--to", "x.db"), ("forget", str(ADA_ID), "--yes")):
        assert ovation(*command).exit_code == 1
    assert not Path("x.db").exists() and not (data / "ovation.db").exists()
    assert tombstones.read(data / "tombstones.jsonl") == []


def test_a_backup_never_replaces_a_file(data: Path) -> None:
    Path("mine.db").write_text("mine")
    result = ovation("backup", "--to", "mine.db")
    assert result.exit_code == 1 and "exists already" in told(result) and Path("mine.db").read_text() == "mine"


def test_a_sign_of_life_stands_at_the_terminal_and_nowhere_else(data: Path) -> None:
    status, printed, stood = at_a_terminal("backup")
    assert status == 0 and "Making a backup …" in stood
    assert Path(printed.strip()).is_file(), "what is printed is the file alone"
    status, printed, stood = at_a_terminal("export", "ratings")
    assert status == 0 and "Exporting ratings …" in stood
    assert all(json.loads(line) for line in printed.splitlines())
    assert ovation("backup").stderr == "", "nobody looks on"
    status, printed, stood = at_a_terminal("stats", "--json")
    assert status == 0 and stood == "" and json.loads(printed)["versions"]


def test_the_nightly_number_of_backups_is_kept(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUPS_KEEP", "2")
    began = datetime.now(UTC).replace(microsecond=0)
    for _ in range(4):
        assert ovation("backup").exit_code == 0
    kept = backup.kept(data / "backups")
    assert len(kept) == 2 and backup.made_at(kept[-1]) >= began
