"""`python -m engine.evaluation.fluency`: how likely a model finds texts. JSON lines in, a number a line out.

In: `{"messages": [{"role": ..., "content": ...}, ...], "text": ...}` a line; out: the mean surprise at the text after
these messages, its end included, in nats a token. Wrong use ends with one sentence and status 2, before torch is
imported.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from engine.api.models import resolve_model
from engine.api.types import Message
from engine.errors import ModelError, RequestError, first_problem
from engine.process import NO_MEMORY, OUT_OF_MEMORY, is_out_of_memory

_MOST_TOKENS = 16_384  # padded tokens that pass through the model at once


@dataclass(frozen=True, slots=True)
class Answered:
    """A conversation and the text that answers it."""

    messages: tuple[Message, ...]
    text: str


_LINE = TypeAdapter(Answered)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read every line, then print every number; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m engine.evaluation.fluency", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="starter", help="starter, a folder with a Hugging Face model, or a hub id")
    source = parser.parse_args(arguments).model
    try:
        resolve_model(source)
        asked = _read(sys.stdin.buffer)
        _hush()
        numbers = surprises(source, asked)
    except (ModelError, RequestError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        sys.stderr.write(f"{NO_MEMORY}\n")
        return OUT_OF_MEMORY
    sys.stdout.write("".join(f"{number:.6f}\n" for number in numbers))
    return 0


def surprises(source: str, asked: Sequence[Answered]) -> list[float]:
    """The mean surprise at each text, nats a token, in order.

    Raises:
        ModelError: the model cannot be loaded.
        RequestError: it cannot read a conversation, or only in part.
    """
    from engine.models.loader import load_base  # noqa: PLC0415 - imports torch, which takes seconds
    from engine.models.logprobs import encode, sequence_log_probs  # noqa: PLC0415

    base = load_base(source)
    rows = [encode(base, each.messages, each.text) for each in asked]
    for number, row in enumerate(rows, start=1):
        if len(row) > base.context_tokens:
            raise RequestError(
                f"Line {number} has {len(row)} tokens, but {source} reads {base.context_tokens} at most."
            )
    totals = sequence_log_probs(base.model, base, rows, max_tokens=_MOST_TOKENS).tolist()
    return [-total / len(row.completion) for total, row in zip(totals, rows, strict=True)]


def _hush() -> None:
    """Let the one sentence be all that is said."""
    from transformers.utils import logging  # noqa: PLC0415 - the same

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _read(lines: Iterable[bytes]) -> list[Answered]:
    """The lines that are not blank.

    Raises:
        RequestError: one is not what it should be; the sentence gives its number.
    """
    asked = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            asked.append(_LINE.validate_json(line))
        except ValidationError as error:
            raise RequestError(f"Line {number}: {first_problem(error, 'the line')}.") from error
    return asked


if __name__ == "__main__":
    sys.exit(main())
