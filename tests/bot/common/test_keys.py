"""Pseudonyms are stable; the master key is guarded, and changed without touching a text, whatever kills the change."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.__main__ import app
from bot.common import keys
from bot.common.errors import StartError
from bot.common.keys import Pseudonyms, create_master_key, open_keys, read_master_key, replace_master_key
from bot.common.settings import DataSettings, Settings
from storage.db.database import Database, open_for_reading
from storage.tables import generations
from tests.storage.conftest import delivered
from tests.support.stored.histories import write_history


@pytest.fixture
async def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSettings:
    """A data folder with a text in it, whose bot is stopped."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "backups").mkdir(parents=True)
    settings = DataSettings()
    db = await Database.open(settings.database_path, open_keys(settings, may_create=True).keyring)
    await delivered(db, 1)
    await db.close()
    return settings


def text_in(settings: DataSettings) -> str | None:
    connection = open_for_reading(settings.database_path, open_keys(settings).keyring)
    (text,) = generations.delivered(connection)
    connection.close()
    return text.text


def test_a_rotation_changes_the_master_key_and_neither_texts_nor_pseudonyms(settings: DataSettings) -> None:
    master, person = settings.key_path.read_text(), open_keys(settings).pseudonyms.person(42)
    result = CliRunner().invoke(app, ["keys", "rotate"])
    assert result.exit_code == 0 and "replace your copies" in result.output
    assert settings.key_path.read_text() != master and settings.key_path.stat().st_mode & 0o777 == 0o600
    assert text_in(settings) == "Tea, greener by 1." and open_keys(settings).pseudonyms.person(42) == person
    beside_the_backups = settings.backups_path / "keyring.jsonl"
    assert beside_the_backups.read_text().count("\n") == settings.keyring_path.read_text().count("\n")
    settings.key_path.write_text(master)
    with pytest.raises(StartError, match="made with another key"):
        open_keys(settings)


@pytest.mark.parametrize("step", ["rewrap", "move_into_place"])
def test_a_rotation_that_is_killed_leaves_keys_that_fit(
    settings: DataSettings, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((keys.Keyring, "rewrap") if step == "rewrap" else (keys, "move_into_place")), die)
        with pytest.raises(KeyboardInterrupt):
            replace_master_key(settings)
    assert text_in(settings) == "Tea, greener by 1."
    replace_master_key(settings)
    assert text_in(settings) == "Tea, greener by 1." and not settings.key_path.with_name("data.key.new").exists()


def test_a_lost_keyring_is_never_replaced_by_a_new_one_but_by_its_copy(settings: DataSettings) -> None:
    open_keys(settings).keyring.copy_to(settings.backups_path)
    settings.keyring_path.unlink()
    with pytest.raises(StartError, match="put back the copy in data/backups"):
        open_keys(settings, may_create=True)
    keys.restore_keyring(settings, settings.backups_path / "ovation-20261124T033000Z.db")
    assert text_in(settings) == "Tea, greener by 1."


def test_data_of_before_the_keyring_keeps_its_pseudonyms(settings: DataSettings) -> None:
    old = settings.data_dir.with_name("old") / "ovation.db"
    old.parent.mkdir()
    write_history(old, texts=1, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "is_encrypted", lambda _: False)
        before = DataSettings(data_dir=old.parent, key_file=settings.key_path)
        master = bytes.fromhex(settings.key_path.read_text())
        assert open_keys(before).pseudonyms.person(42) == Pseudonyms(master).person(42)


def test_a_pseudonym_is_stable_under_its_key_and_tells_nothing_without_it() -> None:
    one, other = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
    assert one.person(42) == Pseudonyms(b"1" * 32).person(42)
    assert len({one.person(42), one.person(43), one.chat(42), other.person(42)}) == 4


def test_everybody_whom_an_update_names_is_found_however_deep() -> None:
    names = Pseudonyms(b"1" * 32)
    update = {
        "update_id": 7,
        "message": {
            "from": {"id": 1, "is_bot": False},
            "chat": {"id": -100},
            "reply_to_message": {"from": {"id": 2}, "text": "9", "entities": [{"user": {"id": 3}}]},
            "is_topic_message": True,
        },
        "callback_query": {"id": "123", "from": {"id": True}},
    }
    assert names.named_in(json.dumps(update)) == {names.person(id_) for id_ in (1, 2, 3, -100)}


def test_a_new_installation_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "data.key"
    create_master_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_master_key(file) == bytes.fromhex(file.read_text())
    with pytest.raises(FileExistsError):
        create_master_key(file)


def test_a_lost_readable_or_broken_key_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "data.key"
    with pytest.raises(StartError, match="restore it"):
        read_master_key(file)
    file.write_text("not a key")
    file.chmod(0o600)
    with pytest.raises(StartError, match="is not a key"):
        read_master_key(file)
    file.chmod(0o644)
    with pytest.raises(StartError, match="chmod 600"):
        read_master_key(file)
