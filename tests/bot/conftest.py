"""What tests of the bot's services share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.database import Database
from tests.keys import keyring_in


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    yield opened
    await opened.close()
