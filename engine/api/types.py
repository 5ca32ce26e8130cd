"""What is said to a model and what comes back: the types that the bot, the client, the server and the engine share."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import RequestError

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]

MAX_NEW_TOKENS = 4096
"""No request may ask for more new tokens than this."""
MAX_TEXTS = 16
"""No request may ask for more texts than this."""
MAX_TOP_LOGPROBS = 20
"""No request may ask for more of the likeliest tokens than this; so it is with OpenAI."""

_GREEDY_BELOW = 1e-4
"""Colder than this, dividing by the temperature may overflow, and the likeliest token wins anyway."""
_ONE_TOKEN = 1e-6
"""A share of the probability that the likeliest token has in any vocabulary; in float32 a smaller one may be none."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


def fold_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages for a model whose template takes no system message: it begins the user's first message.

    Messages of one side in a row become one, for such templates want the sides to take turns.
    """
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    turns = [message for message in messages if message.role != "system"]
    if system:
        turns = [Message("user", system), *turns]
    folded: list[Message] = []
    for turn in turns:
        if folded and folded[-1].role == turn.role:
            folded[-1] = Message(turn.role, f"{folded[-1].content}\n\n{turn.content}")
        else:
            folded.append(turn)
    return tuple(folded)


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
    """Above 1, tokens of the prompt and of the text become less likely."""
    presence_penalty: float = 0.0
    """Taken from the logits of tokens that the text has, as in OpenAI's API."""
    frequency_penalty: float = 0.0
    """The same for each time that it has them."""
    dry_multiplier: float = 0.0
    """Above 0, going on as after the same words before becomes less likely (DRY, by llama.cpp's names); about 0.8."""
    dry_base: float = 1.75
    """How much harder one more of the same words makes it."""
    dry_allowed_length: int = 2
    """So many of the same words begin to count."""
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    """Over these no words are compared."""
    top_logprobs: int | None = None
    """Of each token the log-probability is told, and so many of the likeliest in its place; None: nothing is."""
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token always wins."""
        return self.temperature < _GREEDY_BELOW or self.top_k == 1 or self.top_p < _ONE_TOKEN

    def __post_init__(self) -> None:
        checks = {
            "max_tokens": (1 <= self.max_tokens <= MAX_NEW_TOKENS, f"from 1 to {MAX_NEW_TOKENS}"),
            "temperature": (0.0 <= self.temperature <= 2.0, "from 0 to 2"),
            "top_p": (0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            "top_k": (self.top_k >= 0, "0 (off) or more"),
            "min_p": (0.0 <= self.min_p < 1.0, "from 0 to below 1"),
            "repetition_penalty": (0.5 <= self.repetition_penalty <= 2.0, "from 0.5 to 2"),
            "presence_penalty": (-2.0 <= self.presence_penalty <= 2.0, "from -2 to 2"),
            "frequency_penalty": (-2.0 <= self.frequency_penalty <= 2.0, "from -2 to 2"),
            "dry_multiplier": (0.0 <= self.dry_multiplier <= 10.0, "from 0 (off) to 10"),
            "dry_base": (1.0 <= self.dry_base <= 8.0, "from 1 to 8"),
            "top_logprobs": (0 <= (self.top_logprobs or 0) <= MAX_TOP_LOGPROBS, f"from 0 to {MAX_TOP_LOGPROBS}"),
            "dry_allowed_length": (1 <= self.dry_allowed_length <= 50, "from 1 to 50"),
        }
        for field, (is_good, allowed) in checks.items():
            if not is_good:
                raise RequestError(f"{field} is {getattr(self, field)}, but it must be {allowed}.")


def seed_of(seed: int | None, number: int) -> int | None:
    """The seed of the text with this number among those of one request, whose own is `seed`; the first has just that.

    Without a seed there is none for the others either.
    """
    if seed is None or number == 0:
        return seed
    return int.from_bytes(hashlib.blake2b(f"{seed} {number}".encode(), digest_size=7).digest(), "big")


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and how likely the model finds it, before penalties, temperature and filters."""

    token: str
    logprob: float
    top: tuple["TokenLogprob", ...] = ()
    """The likeliest in its place."""


@dataclass(frozen=True, slots=True)
class WrittenText:
    """One text as a model wrote it."""

    text: str
    finish_reason: FinishReason
    tokens: int = 0
    """Its length; 0 where a server that writes several does not say."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of its tokens, where they were asked for."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The texts that were written for one request, and what they cost."""

    texts: tuple[WrittenText, ...]
    """At least one; first the one whose pieces came as they were written."""
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Those of all texts, also of those that were begun and given up."""

    @property
    def text(self) -> str:
        """The first text."""
        return self.texts[0].text

    @property
    def finish_reason(self) -> FinishReason:
        """Why the first text ends."""
        return self.texts[0].finish_reason
