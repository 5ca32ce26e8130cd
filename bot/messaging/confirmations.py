"""Confirmations: what cannot be undone is done only once the same person has said yes to it, soon, in the same chat.

A nonce stands for what was asked. It is drawn at random, good once and for two minutes, and forgotten at a restart.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import TTLCache

from bot.common.errors import Refusal

EXPIRES_SECONDS = 120
_MOST = 1000
_MOST_OF_ONE = 5
"""Questions of one person that wait, so that nobody can push out what others were asked; their oldest goes first."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: the sentence to say with its values, and the action and its detail for the audit.

    `is_nameless` keeps the one who said yes out of the audit.
    """

    text: str
    values: dict[str, str | float]
    action: str
    detail: str = ""
    is_nameless: bool = False


class Confirmations:
    """Questions that wait for a yes."""

    def __init__(self) -> None:
        self._pending: TTLCache[str, tuple[int, int, Callable[[], Awaitable[Done]]]] = TTLCache(_MOST, EXPIRES_SECONDS)
        """By nonce: the person and the chat that were asked, and what to do."""

    def ask(self, do: Callable[[], Awaitable[Done]], *, person_id: int, chat_id: int) -> str:
        """Remember what is to be done; returns the nonce for the buttons."""
        nonce = secrets.token_urlsafe(12)
        own = [other for other, (asked, *_) in self._pending.items() if asked == person_id]
        for oldest in own[: len(own) + 1 - _MOST_OF_ONE]:
            del self._pending[oldest]
        self._pending[nonce] = (person_id, chat_id, do)
        return nonce

    async def answer(self, nonce: str, *, is_yes: bool, person_id: int, chat_id: int) -> Done | None:
        """Do it, or drop it (None).

        Raises:
            Refusal: it has expired, was answered before, or somebody else was asked; or the action's own.
        """
        pending = self._pending.get(nonce)
        if pending is None:
            raise Refusal("confirm-expired")
        *asked, do = pending
        if asked != [person_id, chat_id]:
            raise Refusal("confirm-not-yours")
        del self._pending[nonce]
        return await do() if is_yes else None
