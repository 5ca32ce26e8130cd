"""Texts that are longer than one answer of the model: what is cut off is gone on with, from its last whole sentence."""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import islice

from bot.common.i18n import say
from bot.common.text import SENTENCE_END, sentence_ends
from engine.api.types import Message, Reply, Sampling, WrittenText, seed_of
from engine.errors import AnswerBroken

Answer = AsyncGenerator[str | Reply, None]
"""A text piece by piece, and last the whole reply."""

_FEWEST_KEPT = 0.5
"""Of a text that was cut off; one whose sentences end sooner is gone on with where it stands."""
_MOST_REPEATED = 50
"""Sentences that are looked for in the text before; a model that repeats more is in a loop, which is found later."""


async def stream_to_its_end(
    ask: Callable[[Sequence[Message], Sampling], Answer],
    messages: Sequence[Message],
    sampling: Sampling,
    *,
    calls: int,
    language: str,
) -> Answer:
    """The answer to `messages`, gone on with in up to `calls` calls of `ask` as long as the model runs out of tokens.

    The reply has the whole text, and the tokens of all calls; its `finish_reason` is the last one's. A part that adds
    nothing new ends it.
    """
    whole: Reply | None = None
    for call in range(calls):
        turns, drawn = messages, replace(sampling, seed=seed_of(sampling.seed, call))
        if whole is not None:
            turns = (*messages, Message("assistant", whole.text), Message("user", say(language, "go-on-words")))
            yield "\n"
        try:
            async with aclosing(ask(turns, drawn)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, str):
                        yield piece
                    else:
                        part = piece
        except AnswerBroken as error:
            raise _broken_after(whole, error) from error
        if whole is None:
            whole = part
        else:
            text = joined(whole.text, part.text)
            has_more = text != whole.text
            tokens = whole.texts[0].tokens + part.texts[0].tokens
            whole = replace(
                part,
                texts=(WrittenText(text, part.finish_reason, tokens),),
                prompt_tokens=whole.prompt_tokens + part.prompt_tokens,
                completion_tokens=whole.completion_tokens + part.completion_tokens,
            )
            if not has_more:
                break
        if part.finish_reason != "length":
            break
        if call + 1 < calls:
            whole = replace(whole, texts=(replace(whole.texts[0], text=to_last_sentence(whole.text)),))
    assert whole is not None, "there is at least one call"
    yield whole


def _broken_after(whole: Reply | None, error: AnswerBroken) -> AnswerBroken:
    """The error with all that has come, the parts before the broken one too."""
    return error if whole is None else AnswerBroken(str(error), text=joined(whole.text, error.text))


def to_last_sentence(text: str) -> str:
    """A text without the sentence that was cut off at its end; as it stands where little would be left.

    >>> to_last_sentence("It rained. The cat s")
    'It rained.'
    """
    ends = sentence_ends(text)
    return text[: ends[-1]] if ends and ends[-1] >= _FEWEST_KEPT * len(text) else text


def joined(text: str, more: str) -> str:
    """A text and what was written to go on with it, without the sentences at its beginning that stand there already.

    >>> joined("It rained. The cat slept.", "The cat slept. Then it woke.")
    'It rained. The cat slept. Then it woke.'
    """
    begin = 0
    for end in islice(SENTENCE_END.finditer(more), _MOST_REPEATED):
        if more[begin : end.end()].strip() not in text:
            break
        begin = end.end()
    rest = more[begin:].lstrip()
    if not rest or rest in text:
        return text
    begins_paragraph = more.startswith("\n") or bool(re.match(r"#|[-*•] |\d+[.)] ", rest))
    is_chinese = bool(re.search(r"[\u3400-\u9fff。！？」』”]\s*$", text)) and not begins_paragraph
    return text.rstrip() + ("\n\n" if begins_paragraph else "" if is_chinese else " ") + rest
