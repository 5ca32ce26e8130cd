"""The guard: a model that judges texts, such as Qwen3Guard-Gen, loaded beside the one that writes.

It is asked by its own chat template and answers in lines, `Safety: Safe|Controversial|Unsafe` and `Categories: …`
(Qwen3Guard Technical Report, 2025). Controversial counts as unsafe; an answer that is none of these is an error, so
that whoever asks decides what an unclear judgement means.
"""

import re

import torch

from engine.api.types import Message
from engine.errors import ModelError
from engine.models.loader import ChatTemplate, load_base

_SAFETY = re.compile(r"Safety:\s*(Safe|Unsafe|Controversial)\b", re.IGNORECASE)
_CATEGORIES = re.compile(r"Categories:\s*(.+)", re.IGNORECASE)
_ANSWER_TOKENS = 64
_MOST_TOKENS = 4096
"""Of a text; what is longer is judged by its end."""


class Guard:
    """A guard model in memory. Not safe for several threads at once."""

    def __init__(self, source: str) -> None:
        """Load it.

        Raises:
            ModelError: there is no such model, or it cannot be used.
        """
        self._base = load_base(source)
        self.name = self._base.name

    @torch.inference_mode()
    def judge(self, text: str) -> frozenset[str]:
        """The categories of what is wrong with a text, each beginning with `guard_`; none for a safe one.

        Raises:
            ModelError: the guard's answer cannot be read.
        """
        tokenizer = self._base.tokenizer
        asked = ChatTemplate(tokenizer).encode((Message("user", text),))
        room = min(self._base.context_tokens, _MOST_TOKENS) - _ANSWER_TOKENS
        ids = torch.tensor([asked[-room:]], device=self._base.model.device)
        answered = self._base.model.generate(  # type: ignore[operator]
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=_ANSWER_TOKENS, do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        return judgement(str(tokenizer.decode(answered[0, ids.shape[1] :], skip_special_tokens=True)))


def judgement(answer: str) -> frozenset[str]:
    """What a guard's answer says.

    Raises:
        ModelError: it says nothing of safety.

    >>> sorted(judgement("Safety: Unsafe\\nCategories: Violent, PII"))
    ['guard_pii', 'guard_violent']
    """
    said = _SAFETY.search(answer)
    if said is None:
        raise ModelError("The guard model's answer cannot be read: choose one that answers like Qwen3Guard-Gen.")
    if said[1].lower() == "safe":
        return frozenset()
    named = _CATEGORIES.search(answer)
    names = [] if named is None else [re.sub(r"\W+", "_", part.strip().lower()) for part in named[1].split(",")]
    return frozenset(f"guard_{name}" for name in names if name and name != "none") or frozenset({"guard_unsafe"})
