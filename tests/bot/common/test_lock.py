"""One bot a data folder and a token: the locks hold, end with whoever held them, and leave no file behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from bot.common.errors import StartError
from bot.common.lock import hold_data_dir, hold_token

API = "http://127.0.0.1:8081"

RIVAL = """
import fcntl, sys
from pathlib import Path

from bot.common.lock import hold_token
from bot.common.errors import StartError

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
holds = 0
while holds < rounds:
    try:
        with hold_token("7:abc", "http://127.0.0.1:8081", folder=folder):
            (folder / "inside").touch(exist_ok=False)  # fails if the other one is inside
            (folder / "inside").unlink()
            holds += 1
    except StartError:
        pass
"""

HOLDER = """
import sys, time
from pathlib import Path

from bot.common.lock import hold_token

with hold_token("7:abc", "http://127.0.0.1:8081", folder=Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_token_that_is_held_is_refused_until_it_is_free(tmp_path: Path) -> None:
    with hold_token("7:abc", API, folder=tmp_path):
        with pytest.raises(StartError, match="with this TELEGRAM_BOT_TOKEN"), hold_token("7:abc", API, folder=tmp_path):
            pass
        with hold_token("8:abc", API, folder=tmp_path), hold_token("7:abc", "https://other", folder=tmp_path):
            pass
    with hold_token("7:abc", API, folder=tmp_path):
        pass


def test_a_lock_of_a_token_leaves_no_file_behind_even_when_the_bot_breaks(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_token("7:abc", API, folder=tmp_path):
        assert len(list(tmp_path.iterdir())) == 1
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_bot_that_was_killed_is_free_and_goes_with_the_next_one(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(StartError), hold_token("7:abc", API, folder=tmp_path):
            pass
        holder.kill()
    with hold_token("7:abc", API, folder=tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_somebody_else_in_the_place_of_ours_is_not_removed(tmp_path: Path) -> None:
    with hold_token("7:abc", API, folder=tmp_path):
        (ours,) = tmp_path.iterdir()
        ours.unlink()  # somebody has cleaned the folder
        ours.touch()
    assert ours.exists()


def test_of_bots_that_race_for_one_token_never_two_hold_it(tmp_path: Path) -> None:
    rivals = [
        subprocess.Popen([sys.executable, "-c", RIVAL, tmp_path, "300"], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [rival.communicate(timeout=120)[1] for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0, 0], said
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_a_lock_is_refused_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    with hold_token("7:abc", API, folder=tmp_path):
        (name,) = [path.name for path in tmp_path.iterdir()]
    (tmp_path / "letter").write_text("Dear Ovation")
    (tmp_path / name).symlink_to(tmp_path / "letter")
    with pytest.raises(StartError), hold_token("7:abc", API, folder=tmp_path):
        pass
    assert (tmp_path / "letter").read_text() == "Dear Ovation"


def test_a_folder_of_data_has_one_bot(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            hold_data_dir(tmp_path),
            pytest.raises(StartError, match="is running on the data folder"),
            hold_data_dir(tmp_path),
        ):
            pass


def lock_of(folder: Path) -> Path:
    """Where the lock of the token lies."""
    with hold_token("7:abc", API, folder=folder):
        (path,) = folder.iterdir()
    return path


def other_user_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is one of a user of whom this process may open nothing."""
    path.touch()
    path.chmod(0o600)
    owner = path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.open", refuse)


def test_the_lock_of_another_user_is_told_as_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lock_of(tmp_path)
    other_user_at(path, monkeypatch)
    with pytest.raises(StartError, match=r"is the lock of the user \w+: if no Ovation of theirs") as caught:
        hold_token("7:abc", API, folder=tmp_path).__enter__()
    assert str(path) in str(caught.value) and "Another Ovation is running" not in str(caught.value)
    assert path.exists()


@pytest.mark.parametrize("held", ["data", "token"])
def test_what_is_no_file_in_the_place_of_a_lock_is_told(tmp_path: Path, held: str) -> None:
    path = tmp_path / "lock" if held == "data" else lock_of(tmp_path)
    path.mkdir()
    holding = hold_data_dir(tmp_path) if held == "data" else hold_token("7:abc", API, folder=tmp_path)
    with pytest.raises(StartError, match="is no file"):
        holding.__enter__()
    assert path.is_dir()


def test_a_stale_lock_of_our_own_is_taken_over(tmp_path: Path) -> None:
    path = lock_of(tmp_path)
    path.touch(mode=0o600)
    with hold_token("7:abc", API, folder=tmp_path):
        pass
    assert not path.exists()


def test_without_a_folder_for_temporary_files_the_log_says_what_is_not_looked_after(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", list)
    with hold_token("7:abc", API):
        pass
    assert "see that no other Ovation uses it" in caplog.text


def test_a_disk_without_locks_is_told_for_the_data_and_survived_for_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StartError, match="cannot be locked"):
        hold_data_dir(tmp_path).__enter__()
    with hold_token("7:abc", API, folder=tmp_path):
        assert "No locks available" in caplog.text


def test_a_data_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    with pytest.raises(StartError, match="cannot be written"):
        hold_data_dir(file).__enter__()


def test_a_folder_that_others_can_read_is_shut_with_what_is_ovations_in_it(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for folder in (data / "backups", data / "versions" / "v1", data / "theirs", elsewhere):
        folder.mkdir(parents=True)
    ours = [data / "ovation.db", data / "ovation.db-wal", data / "backups" / "1.db", data / "versions" / "v1" / "a"]
    others = [data / "theirs" / "a", elsewhere / "a"]
    for file in (*ours, *others):
        file.touch(0o644)
        file.chmod(0o644)
    (data / "models").symlink_to(elsewhere)
    data.chmod(0o755)
    with hold_data_dir(data):
        modes = {path.stat().st_mode & 0o777 for path in (data, data / "backups", data / "versions" / "v1")}
        assert modes == {0o700}
        assert {path.stat().st_mode & 0o777 for path in ours} == {0o600}
        assert {path.stat().st_mode & 0o777 for path in others} == {0o644}, "not Ovation's, or not in the folder"


def test_a_folder_whose_mode_cannot_be_changed_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)

    def refuse(path: Path, _: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(StartError, match="can be read by other users .* chmod -R go-rwx"):
        hold_data_dir(tmp_path).__enter__()


def test_a_folder_that_is_everybodys_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(StartError, match="set DATA_DIR to one of its own"):
        hold_data_dir(tmp_path).__enter__()
    assert tmp_path.stat().st_mode & 0o777 == 0o777
