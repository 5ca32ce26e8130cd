"""What is said to a model and what comes back: the words that the bot, the client and the server share.

Knows tokens only by number, never by id. Knows nothing of torch, HTTP, chats or people.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import RequestError

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "cancelled"]

MAX_NEW_TOKENS = 4096
"""No request may ask for more new tokens than this."""

_GREEDY_BELOW = 1e-4
"""Colder than this, dividing by the temperature may overflow, and the likeliest token wins anyway."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


def group_of(messages: Sequence[Message]) -> str:
    """A short name for a prompt: equal messages, equal name."""
    parts = "\x1e".join(f"{message.role}\x1f{message.content}" for message in messages)
    return hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to draw the next token; checked on construction.

    Raises:
        RequestError: a value is outside its range; the sentence names the field.
    """

    max_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """Keep the k most likely tokens; 0 keeps all."""
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token always wins."""
        return self.temperature < _GREEDY_BELOW or self.top_k == 1

    def __post_init__(self) -> None:
        checks = {
            "max_tokens": (1 <= self.max_tokens <= MAX_NEW_TOKENS, f"from 1 to {MAX_NEW_TOKENS}"),
            "temperature": (0.0 <= self.temperature <= 2.0, "from 0 to 2"),
            "top_p": (0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            "top_k": (self.top_k >= 0, "0 (off) or more"),
            "min_p": (0.0 <= self.min_p < 1.0, "from 0 to below 1"),
            "repetition_penalty": (0.5 <= self.repetition_penalty <= 2.0, "from 0.5 to 2"),
        }
        for field, (is_good, allowed) in checks.items():
            if not is_good:
                raise RequestError(f"{field} is {getattr(self, field)}, but it must be {allowed}.")


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished text and what it cost."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    """Those of all texts that were written for it, also of those that were not chosen."""
    finish_reason: FinishReason
    best_of: int = 1
    """How many texts this one was chosen from."""
