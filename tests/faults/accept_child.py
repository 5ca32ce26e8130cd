"""A child for the disk tests: accepts batches of updates as the bot does, and prints a batch's number once it is durable."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from storage import inbox
from storage.database import Database
from storage.errors import StorageError

BATCH = 5


async def main(path: Path, batches: int) -> None:
    """Accept `batches` batches; a refusal is printed and the batch is not tried again."""
    db = await Database.open(path)
    (done,) = await db.read(lambda c: c.execute("SELECT coalesce(max(update_id) + 1, 0) FROM inbox").fetchone())
    print("open", flush=True)
    for number in range(done // BATCH + 1, done // BATCH + 1 + batches):
        updates = [(number * BATCH + index, f'{{"update_id": {number * BATCH + index}}}') for index in range(BATCH)]
        try:
            await inbox.accept(db, updates, at=datetime.now(UTC))
            print(number, flush=True)
        except StorageError as error:
            print(f"refused {number}: {error}", flush=True)
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
