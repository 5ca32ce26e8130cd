"""What is said to a model and what comes back: the types that the bot, the client, the server and the engine share."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import RequestError

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]

MAX_NEW_TOKENS = 4096
"""No request may ask for more new tokens than this."""
MAX_BEST_OF = 16
"""No request may have more texts compared than this."""
MIN_PERSONAL_RATINGS = 6
"""With fewer ratings nobody has a taste of their own, only everybody's."""

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
            "presence_penalty": (-2.0 <= self.presence_penalty <= 2.0, "from -2 to 2"),
            "frequency_penalty": (-2.0 <= self.frequency_penalty <= 2.0, "from -2 to 2"),
            "dry_multiplier": (0.0 <= self.dry_multiplier <= 10.0, "from 0 (off) to 10"),
            "dry_base": (1.0 <= self.dry_base <= 8.0, "from 1 to 8"),
            "dry_allowed_length": (1 <= self.dry_allowed_length <= 50, "from 1 to 50"),
        }
        for field, (is_good, allowed) in checks.items():
            if not is_good:
                raise RequestError(f"{field} is {getattr(self, field)}, but it must be {allowed}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How many texts may be written for one answer, and by whose taste one of them is selected.

    Raises:
        RequestError: a value is outside its range; the sentence names the field.
    """

    best_of: int = 1
    """At most so many; fewer where others would have to wait for it."""
    taste: str | None = None
    person: str | None = None
    """Whose taste within it; None, or somebody it does not know: everybody's."""
    explore: float = 0.0
    """How often a draw from what the taste may be decides, instead of its mean: Thompson sampling (Thompson,
    Biometrika 25, 1933; Russo et al., "A Tutorial on Thompson Sampling", 2018). So texts are also shown whose worth is
    not known yet, and the ratings do not only confirm what they already say."""

    def __post_init__(self) -> None:
        if not 1 <= self.best_of <= MAX_BEST_OF:
            raise RequestError(f"best_of is {self.best_of}, but it must be from 1 to {MAX_BEST_OF}.")
        if not 0.0 <= self.explore <= 1.0:
            raise RequestError(f"explore is {self.explore}, but it must be from 0 to 1.")

    def draw(self, seed: int | None) -> int | None:
        """The number of the draw that decides, or None: the mean does. The same for the same seed."""
        luck = random.Random(None if seed is None else f"{seed} explores")
        return luck.getrandbits(63) if luck.random() < self.explore else None


ONE_TEXT = Selection()


def seed_of(seed: int | None, number: int) -> int | None:
    """The seed of the text with this number among those of one request, whose own is `seed`; the first has just that.

    Without a seed there is none for the others either.
    """
    if seed is None or number == 0:
        return seed
    return int.from_bytes(hashlib.blake2b(f"{seed} {number}".encode(), digest_size=7).digest(), "big")


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished text and what it cost."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    """Those of all texts that were written for it, also of those that were not selected."""
    finish_reason: FinishReason
    best_of: int = 1
    """How many texts this one was selected from."""


@dataclass(frozen=True, slots=True)
class RatedText:
    """A text, what it answered, and what everybody together thinks of it."""

    messages: tuple[Message, ...]
    text: str
    value: float
    """In [-1, 1]; above 0 it is liked."""
    weight: float
    """In [0, 1]: how much the votes outweigh the prior. A text of weight 0 teaches nothing about everybody's taste."""


@dataclass(frozen=True, slots=True)
class PersonalRating:
    """What one person thinks of one of the texts."""

    text_index: int
    value: float
    """In [-1, 1]."""


@dataclass(frozen=True, slots=True)
class TasteFit:
    """What came of fitting a taste."""

    texts: int
    people: int
    """Those with a taste of their own."""
    auroc: float | None
    """Chance that a liked text scores above a disliked one, cross-validated by prompt; None where there is too little
    to tell."""
    seconds: float
