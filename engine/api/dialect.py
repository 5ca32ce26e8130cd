"""What servers of other makes want otherwise: their name for the base, fields they do not know, refused adapters.

Knows what a server has said in answer to a request. Sends nothing itself; that is `engine.api.client`'s.
"""

import logging
import re
from http import HTTPStatus
from typing import Any, Final

from engine.api.sources import version_name
from engine.errors import ModelError, NoAdapters, NoTaste, RequestError

logger = logging.getLogger(__name__)

ALREADY_LOADED: Final = "already been"
"""vLLM's words, with and without a space after them; names of versions are never used twice, so all is well."""

_CHOOSING = frozenset({"best_of", "taste", "taste_user", "explore"})
"""Fields of ours that mean something together only."""
_DISPENSABLE = ("stream_options", "user", "seed", "top_k", "min_p", "repetition_penalty", "ignore_eos", *_CHOOSING)
"""Fields without which a request still means the same: a server that knows one of them not is asked without it."""
_UNKNOWN_FIELD = re.compile(
    r"unexpected|unknown|unrecogni[sz]ed|unsupported|extra|not (permitted|supported|allowed)", re.IGNORECASE
)
_NO_ROUTE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})


class Dialect:
    """One server's ways, learned as it refuses what is not among them."""

    def __init__(self, base: str = "") -> None:
        self._base = base
        self._refused: set[str] = set()

    @property
    def base(self) -> str:
        """Our name for the server's base, the same whichever server has it."""
        return version_name(self._base)

    def translated(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request's body as this server wants it."""
        model = self._base if self._base and body["model"] == self.base else body["model"]
        return {name: value for name, value in body.items() if name not in self._refused} | {"model": model}

    def learns_from(self, refusal: RequestError, body: dict[str, Any]) -> bool:
        """Whether the server refused `body` for fields that it can do without; it gets them no more."""
        words = str(refusal)
        if not _UNKNOWN_FIELD.search(words):
            return False
        unknown = {name for name in _DISPENSABLE if name in body and re.search(rf"\b{name}\b", words)}
        if unknown & _CHOOSING:
            unknown |= _CHOOSING
        if unknown:
            logger.warning("the engine does not know %s; requests go without", ", ".join(sorted(unknown)))
        self._refused |= unknown
        return bool(unknown)


def named_like(model: str, names: tuple[str, ...]) -> str | None:
    """The name among a server's that means MODEL, which may be a folder or hub id of the same last part."""
    return next((name for name in names if version_name(name) == version_name(model)), None)


def refused_adapter(words: str, status: int) -> ModelError:
    """A server's answer to an adapter as an exception: `NoAdapters` where the server has to be started otherwise.

    vLLM has no such path unless it was told to, and answers 404 too, with other words, where it sees no such folder.
    """
    if "No adapter found" in words:
        return NoAdapters(f"{words.rstrip('.')}; the server must see DATA_DIR under the same path as the bot.")
    if status in _NO_ROUTE or "LoRA is not enabled" in words:
        return NoAdapters(
            "The server does not load adapters while it runs; start vLLM with --enable-lora and"
            " VLLM_ALLOW_RUNTIME_LORA_UPDATING=True."
        )
    return ModelError(words)


def refused_taste(words: str, status: int) -> RequestError:
    """A server's answer to rated texts as an exception: `NoTaste` where it knows nothing of the kind."""
    if status in _NO_ROUTE:
        return NoTaste("The server learns no taste; only Ovation's own engine does.", status=status)
    return RequestError(words, status=status)
