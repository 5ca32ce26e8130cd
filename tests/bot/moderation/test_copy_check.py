"""Other people's words are not handed out as the model's own, for as long as they are held."""

from pathlib import Path

import pytest

from bot.moderation.text_checks import CopyCheck
from engine.errors import RunError
from engine.safety.near_copy import CopyIndex, read_protected
from storage.db.database import Database
from storage.db.records import RatingEvent
from storage.tables import people, ratings
from tests.engine.safety.test_near_copy import POEM
from tests.storage.conftest import NOON, delivered


@pytest.fixture
async def check(db: Database) -> CopyCheck:
    """Ada has asked in long words of her own, and agreed, and Bob as well."""
    text = await delivered(db, 1, author="ada")
    await db.write(
        lambda c: c.execute(
            "UPDATE generations SET messages = encrypted(author, ?) WHERE id = ?",
            (f'[{{"role": "user", "content": "{POEM}"}}]', text.id),
        )
    )
    for person in ("ada", "bob"):
        await people.grant(db, person, "tea", text_version=1, at=NOON)
    event = RatingEvent(update_id=9, generation=text.id, rater="bob", source="button", value=1.0, emoji="👍", at=NOON)
    await ratings.record(db, event)
    return CopyCheck(db=db, protected=CopyIndex())


async def test_others_words_are_withheld_and_ones_own_are_not(db: Database, check: CopyCheck) -> None:
    hers, his = await delivered(db, 2, author="ada"), await delivered(db, 3, author="bob")
    assert await check.fault(his, POEM) == "failed-copy"
    assert await check.fault(hers, POEM) is None
    assert await check.fault(his, "Something else that is long enough to be looked at: " * 2) is None


async def test_who_withdraws_is_let_go_of_at_once(db: Database, check: CopyCheck) -> None:
    his = await delivered(db, 3, author="bob")
    assert await check.fault(his, POEM) == "failed-copy"
    await people.revoke(db, "ada", "tea", at=NOON)
    check.clear()
    assert await check.fault(his, POEM) is None


async def test_protected_texts_are_withheld_from_everybody(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "protected"
    folder.mkdir()
    (folder / "poem.txt").write_text(POEM)
    check = CopyCheck(db=db, protected=read_protected(folder))
    assert await check.fault(await delivered(db, 2, author="ada"), POEM) == "failed-copy"
    (folder / "broken.md").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(RunError, match=r"broken.md cannot be read"):
        read_protected(folder)
    with pytest.raises(RunError, match="is no folder"):
        read_protected(tmp_path / "none")
