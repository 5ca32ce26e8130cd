"""Which version answers which prompt, and how that changes.

Each text goes to the canary or the champion by a draw from its chat and its seed, so that a community of one group has
a canary as well, and the same prompt has the same version after a crash (decision 16). The database alone knows the
champion; the router keeps the engine in step with it.
"""

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bot.common.errors import Refusal
from engine.api.client import EngineClient
from engine.api.models import version_name
from engine.errors import EngineError, ModelError, NoAdapters
from engine.runs.versions import verify
from storage.db.database import Database
from storage.db.records import TrialResult
from storage.tables import versions

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class VersionRouter:
    """Call `load_versions` once the engine answers, and again whenever it has restarted."""

    db: Database
    engine: EngineClient
    folder: Path
    canary_share: float
    model: str = ""
    _repairing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    base: str = field(default="", init=False)
    """The engine's own model, without an adapter."""
    champion: str = field(default="", init=False)
    """The version that answers most chats."""
    canary: str | None = field(default=None, init=False)
    """The version on trial beside it."""
    takes_adapters: bool = field(default=True, init=False)
    """Whether the server could load what a night trains."""

    def version_for(self, chat: str, seed: int) -> str:
        """The version that answers the prompt with this seed in the chat with this pseudonym."""
        if self.canary is not None and _draw(chat, seed) < self.canary_share:
            return self.canary
        return self.champion

    def folder_of(self, name: str) -> Path | None:
        """The folder of a version's adapter; None for the base."""
        return None if name == self.base else self.folder / name

    async def load_versions(self) -> None:
        """Learn the base from the engine and load the champion and the canary into it.

        A champion that is damaged or refused gives way to the champion before it, and at last to the base. On a server
        that loads no adapters at all the base answers, and what the database says stays as it is.

        Raises:
            EngineUnavailable: the engine is away; nothing has changed.
        """
        self.base = await self.engine.find_base(self.model)
        if self.model and self.base != version_name(self.model):
            logger.warning("the engine serves %s, but nights train adapters of MODEL=%s", self.base, self.model)
        await self.engine.learn_template(self.base)
        self.takes_adapters = await self.engine.takes_adapters()
        if not self.takes_adapters:
            logger.warning(
                "The server loads no adapters, so that no night can bring a version to it: texts are chosen by what"
                " the ratings say, and the base writes them. See docs/scale-out.md."
            )
        await versions.register_base(self.db, self.base, at=datetime.now(UTC))
        try:
            await self._load_what_serves()
        except NoAdapters as error:
            logger.error("%s Until then the base answers.", error)
            self.champion, self.canary = self.base, None
        else:
            await self._read()
        logger.info("version %s serves", self.champion)

    async def _load_what_serves(self) -> None:
        champion = await versions.in_state(self.db, self.base, "champion")
        while champion is not None and not await self._load(champion.name):
            fallback = await versions.previous_champion(self.db, self.base)
            await versions.promote(self.db, fallback.name if fallback else self.base, at=datetime.now(UTC))
            await versions.discard(self.db, champion.name)
            champion = await versions.in_state(self.db, self.base, "champion")
        canary = await versions.in_state(self.db, self.base, "canary")
        if canary is not None and not await self._load(canary.name):
            await versions.retire(self.db, canary.name, at=datetime.now(UTC))

    async def ensure_loaded(self) -> bool:
        """Load the versions again if the engine has lost them, as an engine elsewhere does when it restarts; False
        where that cannot be done yet.
        """
        async with self._repairing:
            try:
                if not {self.champion, self.canary or self.champion} <= set(await self.engine.models()):
                    await self.load_versions()
            except EngineError as error:
                logger.warning("the versions cannot be loaded again yet: %s", error)
                return False
        return True

    async def promote(self, name: str) -> None:
        """Load a version and make it the champion.

        Raises:
            Refusal: there is no such version of this base.
            EngineError: it cannot be loaded; the old champion serves on.
        """
        await self._load_to_serve(name)
        await versions.promote(self.db, name, at=datetime.now(UTC))
        await self._read()

    async def start_canary(self, name: str) -> None:
        """Load a version and make it the canary."""
        await self._load_to_serve(name)
        await versions.make_canary(self.db, name, at=datetime.now(UTC))
        await self._read()

    async def planned_rollback(self) -> tuple[str, str]:
        """The version that a rollback would end, and the one that would follow; Refusal where there is none."""
        if self.canary is not None:
            return self.canary, self.champion
        previous = await versions.previous_champion(self.db, self.base)
        if previous is None:
            raise Refusal("rollback-nothing", version=self.champion)
        return self.champion, previous.name

    async def roll_back(self) -> str:
        """End the canary, or else go back to the previous champion; returns who serves then. Refusal as above."""
        ends, follows = await self.planned_rollback()
        if ends == self.canary:
            await versions.retire(self.db, ends, at=datetime.now(UTC))
        else:
            await self._load_or_raise(follows)
            await versions.promote(self.db, follows, at=datetime.now(UTC))
        await self._read()
        return self.champion

    async def end_trial(self, ending: TrialResult) -> bool:
        """End a trial as the ratings say; False if somebody else has ended it meanwhile.

        A version that cannot be loaded any more gives way to the base.

        Raises:
            EngineUnavailable, NoAdapters: nothing has changed; try again.
        """
        if ending.champion != self.champion and not await self._load(ending.champion):
            ending = replace(ending, champion=self.base)
        is_settled = await versions.finish_trial(self.db, self.base, ending, at=datetime.now(UTC))
        await self._read()
        return is_settled

    async def retire_tainted(self) -> None:
        """Take versions out of service that have learned from somebody who is now forgotten or banned.

        The last clean champion follows; where there is none, or it cannot be loaded, the base.

        Raises:
            EngineUnavailable, NoAdapters: nothing has changed; try again.
        """
        if not await versions.tainted_serving(self.db, self.base):
            return
        previous = await versions.previous_champion(self.db, self.base)
        follows = self.base if previous is None or not await self._load(previous.name) else previous.name
        await versions.retire_tainted(self.db, self.base, successor=follows, at=datetime.now(UTC))
        await self._read()
        logger.info("tainted versions are retired; version %s serves", self.champion)

    async def _load_to_serve(self, name: str) -> None:
        version = await versions.by_name(self.db, name)
        if version is None or version.base != self.base:
            raise Refusal("version-unknown", version=name)
        if version.tainted_at is not None or version.destroyed_at is not None:
            raise Refusal("version-tainted", version=name)
        await self._load_or_raise(name)

    async def _load(self, name: str) -> bool:
        """Load a version; False where it is damaged or refused for good. EngineUnavailable and NoAdapters may pass."""
        try:
            await self._load_or_raise(name)
        except NoAdapters:
            raise
        except ModelError:
            logger.exception("version %s cannot serve", name)
            return False
        return True

    async def _load_or_raise(self, name: str) -> None:
        folder = self.folder_of(name)
        if folder is not None:
            verify(folder)
            await self.engine.load_adapter(name, folder.absolute())

    async def _read(self) -> None:
        champion = await versions.in_state(self.db, self.base, "champion")
        canary = await versions.in_state(self.db, self.base, "canary")
        self.champion = champion.name if champion else self.base
        self.canary = canary.name if canary else None


def _draw(chat: str, seed: int) -> float:
    """A number in [0, 1) that looks random and is the same each time."""
    return int.from_bytes(hashlib.sha256(f"{chat} {seed}".encode()).digest()[:8]) / 2**64
