"""Pseudonyms are stable under one key, and the key is guarded."""

import json
from pathlib import Path

import pytest

from bot.common.errors import StartError
from bot.common.keys import Pseudonyms, load_key


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
    key = load_key(file, is_new_installation=True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_key(file, is_new_installation=False) == key


def test_a_lost_readable_or_broken_key_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "data.key"
    with pytest.raises(StartError, match="restore it"):
        load_key(file, is_new_installation=False)
    file.write_text("not a key")
    file.chmod(0o600)
    with pytest.raises(StartError, match="is not a key"):
        load_key(file, is_new_installation=False)
    file.chmod(0o644)
    with pytest.raises(StartError, match="chmod 600"):
        load_key(file, is_new_installation=False)
