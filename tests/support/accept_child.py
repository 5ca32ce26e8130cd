"""A child for the disk tests: accepts batches as the bot does, and prints the number of each once it is durable."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from storage.db.database import Database
from storage.db.errors import StorageError
from storage.tables import inbox
from tests.support.stored.keys import keyring_in

BATCH = 5


def say(word: object) -> None:
    """At once, for the next moment may be the last."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def main(path: Path, batches: int) -> None:
    """Accept `batches` batches; a refusal is printed and the batch is not tried again."""
    db = await Database.open(path, keyring_in(path.parent))
    (done,) = await db.read(lambda c: c.execute("SELECT coalesce(max(update_id) + 1, 0) FROM inbox").fetchone())
    say("open")
    for number in range(done // BATCH + 1, done // BATCH + 1 + batches):
        updates = [(number * BATCH + index, f'{{"update_id": {number * BATCH + index}}}') for index in range(BATCH)]
        try:
            await inbox.accept(db, updates, at=datetime.now(UTC))
            say(number)
        except StorageError as error:
            say(f"refused {number}: {error}")
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
