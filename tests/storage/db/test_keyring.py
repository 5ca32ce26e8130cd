"""Texts lie encrypted under their author's key, and whoever's key is erased is read by nobody any more."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from storage.backup import backup
from storage.backup.backup import Replay
from storage.db import schema
from storage.db.database import Database, open_for_reading
from storage.db.errors import KeyringUnusable
from storage.db.keyring import PSEUDONYMS, Keyring
from storage.privacy import erasure
from storage.privacy.erasure import forget
from storage.tables import generations, inbox
from tests.storage.conftest import NOON, delivered, new_generation
from tests.support.stored.histories import files_with, write_history
from tests.support.stored.keys import MASTER, keyring_in


def test_a_text_comes_back_under_its_owners_name_only(tmp_path: Path) -> None:
    keyring = keyring_in(tmp_path)
    value = keyring.encrypt("ada", "green tea, 绿茶")
    assert value is not None and "tea" not in value
    assert keyring.encrypt("ada", "green tea, 绿茶") != value, "a nonce is never used twice"
    again = Keyring.open(tmp_path / "keyring.jsonl", MASTER)
    assert again.decrypt(value) == "green tea, 绿茶"
    assert again.decrypt(value.replace("ada", "bob")) is None
    assert again.decrypt(again.encrypt("bob", value)) == "green tea, 绿茶"
    assert (again.encrypt("ada", None), again.decrypt(None), again.decrypt("plain")) == (
        None,
        None,
        "plain",
    )


def test_an_erased_key_is_on_no_disk_and_a_new_one_reads_nothing_of_before(tmp_path: Path) -> None:
    keyring = keyring_in(tmp_path)
    value = keyring.encrypt("ada", "green tea")
    wrapped = next(line for line in (tmp_path / "keyring.jsonl").read_text().splitlines() if '"ada"' in line)
    keyring.erase("ada")
    keyring.erase("nobody")
    assert files_with(tmp_path, json.loads(wrapped)["wrapped"].encode()) == []
    assert keyring.decrypt(value) is None
    keyring.encrypt("ada", "she came back")
    assert keyring.decrypt(value) is None


def test_another_master_key_opens_nothing_until_the_keys_are_wrapped_by_it(tmp_path: Path) -> None:
    keyring = keyring_in(tmp_path)
    value, pseudonyms = keyring.encrypt("ada", "green tea"), keyring.key(PSEUDONYMS)
    file, other = tmp_path / "keyring.jsonl", bytes(32)
    with pytest.raises(KeyringUnusable, match="put back the KEY_FILE"):
        Keyring.open(file, other)
    keyring.rewrap(other)
    again = Keyring.open(file, other)
    assert again.decrypt(value) == "green tea" and again.key(PSEUDONYMS) == pseudonyms
    with pytest.raises(KeyringUnusable):
        Keyring.open(file, MASTER)


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_a_torn_last_line_is_no_key_and_a_damaged_one_is_named(tmp_path: Path, cut: int) -> None:
    keyring = keyring_in(tmp_path)
    keyring.key("ada")
    file = tmp_path / "keyring.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"name": "bob", "wrapped": "AAAAAAAAAAAAAAAAAAAAAA'[:cut])
    keyring_in(tmp_path).key("cyd")
    assert keyring_in(tmp_path).key("ada") == keyring.key("ada")
    first, rest = file.read_bytes().split(b"\n", 1)
    file.write_bytes(first[:-cut] + b"\n" + rest)
    with pytest.raises(KeyringUnusable, match="Line 1 of"):
        keyring_in(tmp_path)


def test_a_keyring_that_is_not_there_is_missed(tmp_path: Path) -> None:
    with pytest.raises(KeyringUnusable, match="put back the copy"):
        Keyring.open(tmp_path / "keyring.jsonl", MASTER)


async def test_no_word_of_anybody_lies_in_any_file_while_the_bot_has_it_open(db: Database, tmp_path: Path) -> None:
    await inbox.accept(db, [(7, '{"text": "waiting words"}')], at=NOON)
    hers = await delivered(db, 1)
    backup.create(tmp_path / "ovation.db", tmp_path / "backups", now=NOON, keep=7)
    for words in (b"waiting words", b"green tea", b"Tea, greener"):
        assert files_with(tmp_path, words) == []
    assert (await generations.by_id(db, hers.id)) == hers and hers.text == "Tea, greener by 1."
    assert await inbox.unfinished(db) == [(7, '{"text": "waiting words"}', False)]
    with pytest.raises(Exception, match="user-defined function"):  # a connection without keys reads no text
        generations.delivered(open_for_reading(tmp_path / "ovation.db"))


async def test_a_backup_that_nobody_could_reach_is_unreadable_once_the_person_is_forgotten(
    db: Database, tmp_path: Path
) -> None:
    hers = await delivered(db, 1, author="ada")
    await delivered(db, 2, author="bob")
    quoting = replace(new_generation(3, author="bob"), parent=1, messages=hers.messages)
    assert await generations.accept(db, quoting) is not None
    await db.write(lambda c: c.execute("UPDATE generations SET state = 'delivered' WHERE id = 3"))
    far_away = tmp_path / "far" / "copy.db"
    far_away.parent.mkdir()
    backup.create_at(tmp_path / "ovation.db", far_away)
    await forget(db, "ada", NOON.replace(year=2027), named_in=lambda _: ())
    texts = generations.delivered(open_for_reading(far_away, keyring_in(tmp_path)))
    assert [(text.author, text.text, text.messages == ()) for text in texts] == [
        ("ada", None, True), ("bob", "Tea, greener by 2.", False), ("bob", None, True),
    ]  # fmt: skip


async def test_a_database_of_before_and_its_backups_are_encrypted_without_a_word_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = tmp_path / "ovation.db"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:5])
        write_history(live, texts=40, seed=3)
        backup.create(live, tmp_path / "backups", now=NOON, keep=7)
    assert files_with(tmp_path, b"ada-said-so") == ["ovation-20261123T120000Z.db", "ovation.db"]
    db = await Database.open(live, keyring_in(tmp_path))
    texts = await db.read(generations.delivered)
    assert texts and all(f"{text.author}-said-so" in (text.text or "") for text in texts)
    assert await erasure.vacuum(db)
    await db.close()
    (made,) = backup.kept(tmp_path / "backups")
    assert backup.scrub([made], Replay([], None, keyring_in(tmp_path))).rewritten == (made,)
    assert files_with(tmp_path, b"ada-said-so") == []
    assert generations.delivered(open_for_reading(made, keyring_in(tmp_path))) == texts
