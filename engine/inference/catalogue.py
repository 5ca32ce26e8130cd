"""What requests may name: the base, and the versions that are loaded beside it.

Knows names, folders, hashes and the thread that holds the adapters. Knows nothing of requests. One event loop uses it.
"""

import asyncio
import importlib
from dataclasses import dataclass
from pathlib import Path

from engine.api.chat import Message
from engine.errors import ModelError, RequestError
from engine.inference.worker import Worker
from engine.models.chat_template import ChatTemplate
from engine.runs.versions import check_name, verify

_CANARY = (Message("user", "Hello!"),)


@dataclass(frozen=True, slots=True)
class _Version:
    adapter: str
    content_hash: str


class Catalogue:
    """The names, and the adapter behind each."""

    def __init__(self, base_name: str, *, worker: Worker, template: ChatTemplate) -> None:
        self._base_name = base_name
        self._worker = worker
        self._template = template
        self._versions: dict[str, _Version] = {}
        self._loading = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The base first, then the versions in the order of loading."""
        return (self._base_name, *self._versions)

    def adapter(self, model: str) -> str | None:
        """The key of a version's adapter; None: the base. RequestError (status 404) if there is none of that name."""
        if model not in self.names:
            raise RequestError(f"There is no model {model!r}; there are {', '.join(self.names)}.", status=404)
        version = self._versions.get(model)
        return version.adapter if version else None

    async def load(self, name: str, folder: Path) -> None:
        """Load the version folder `folder` beside the others; it can be asked for when this returns.

        The same folder under the same name again changes nothing.

        Raises:
            ModelError: the manifest does not match, the adapter does not fit, or its canary fails. Nothing changed.
        """
        check_name(name)
        async with self._loading:
            content_hash = await asyncio.to_thread(_prepare, folder)
            if loaded := self._versions.get(name):
                if loaded.content_hash == content_hash:
                    return
                raise ModelError(f"{name} is loaded already, with other weights; unload it first or use a new name.")
            if name == self._base_name:
                raise ModelError(f"{name} is the base model's name; give the adapter another.")
            canary = self._template.encode(_CANARY)
            adapter = await asyncio.wrap_future(self._worker.call(lambda scheduler: scheduler.load(folder, canary)))
            self._versions[name] = _Version(adapter, content_hash)

    def unload(self, name: str) -> None:
        """Forget a version: no new requests for it, while those that run are finished.

        Raises:
            RequestError: there is no such version (status 404).
        """
        if name not in self._versions:
            raise RequestError(f"There is no adapter {name!r} here.", status=404)
        adapter = self._versions.pop(name).adapter
        self._worker.call(lambda scheduler: scheduler.retire(adapter))


def _prepare(folder: Path) -> str:
    """Verify a version off the loop; import PEFT there too, so that the first load does not hold up the others."""
    importlib.import_module("engine.inference.adapters")
    return verify(folder)
