"""A tombstone is on disk before anything is erased, and a crash in the middle of one harms no other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from storage.db.errors import TombstonesUnusable
from storage.privacy import tombstones
from storage.privacy.tombstones import Tombstone
from tests.storage.conftest import NOON

ADA = Tombstone("ada", NOON)
BOB = Tombstone("bob", NOON + timedelta(microseconds=5))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tombstones.jsonl"


def test_tombstones_are_read_in_their_order_and_in_utc(file: Path) -> None:
    assert tombstones.read(file) == []
    tombstones.append(file, ADA)
    tombstones.append(file, Tombstone("bob", BOB.at.astimezone(timezone(timedelta(hours=8)))))
    assert tombstones.read(file) == [ADA, BOB]
    assert tombstones.read(file)[1].at.tzinfo is UTC
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_last_line_cut_off_anywhere_harms_no_tombstone_before_or_after_it(file: Path) -> None:
    tombstones.append(file, ADA)
    whole = file.read_bytes()
    tombstones.append(file, BOB)
    for cut in range(len(whole), 2 * len(whole)):
        torn = (whole + whole)[:cut]
        file.write_bytes(torn)
        read = tombstones.read(file)
        assert read[0] == ADA and set(read) == {ADA}
        tombstones.append(file, BOB)
        assert tombstones.read(file) == [*read, BOB]


@pytest.mark.parametrize(
    "line", ["", "[]", "{}", '{"person": 3, "at": "2026-11-23T12:00:00+00:00"}', '{"person": "a", "at": "yesterday"}',
             '{"person": "a", "at": "2026-11-23T12:00:00"}', "\x00\x00", '{"person": "a"']
)  # fmt: skip
def test_a_damaged_line_is_named_and_nothing_is_guessed(file: Path, line: str) -> None:
    tombstones.append(file, ADA)
    file.write_text(file.read_text() + line + "\n")
    tombstones.append(file, BOB)
    with pytest.raises(TombstonesUnusable, match="Line 2 of .* is damaged"):
        tombstones.read(file)


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(TombstonesUnusable, match="cannot be written"):
        tombstones.append(tmp_path, ADA)
    with pytest.raises(TombstonesUnusable, match="cannot be read"):
        tombstones.read(tmp_path)


def test_a_moment_is_the_one_that_was_written(file: Path) -> None:
    moment = datetime(2026, 3, 29, 0, 59, 59, 999999, tzinfo=UTC)
    tombstones.append(file, Tombstone("ada", moment))
    assert tombstones.read(file) == [Tombstone("ada", moment)]


def test_an_erasure_is_unfinished_until_a_second_line_says_that_it_is_done(file: Path) -> None:
    assert tombstones.unfinished(file) == []
    tombstones.append(file, ADA)
    tombstones.append(file, BOB)
    tombstones.append(file, replace(ADA, is_done=True))
    assert tombstones.unfinished(file) == [BOB]
    again = Tombstone("ada", NOON + timedelta(days=1))
    tombstones.append(file, again)
    assert tombstones.unfinished(file) == [again, BOB]


def test_a_line_of_before_is_finished_once_more(file: Path) -> None:
    file.write_text('{"person": "ada", "at": "2026-11-23T12:00:00+00:00"}\n')
    assert [tombstone.person for tombstone in tombstones.unfinished(file)] == ["ada"]
