"""How likely a model finds texts, asked of `python -m engine.evaluation.fluency` as a child. Knows lines and
numbers, no model."""

import asyncio
import json
import sys
from collections.abc import Sequence

from bot.common.children import describe_end, stop_child
from engine.api.chat import Message
from engine.errors import ModelError


async def surprises(prompts: Sequence[Sequence[Message]], texts: Sequence[str], *, model: str) -> list[float]:
    """The mean surprise at each text after its prompt, nats a token; cancelling this ends the child.

    Raises:
        ModelError: the model cannot be loaded, or cannot read a text.
    """
    lines = [
        json.dumps({"messages": [{"role": each.role, "content": each.content} for each in messages], "text": text})
        for messages, text in zip(prompts, texts, strict=True)
    ]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine.evaluation.fluency", "--model", model, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        stdout, stderr = await child.communicate("\n".join(lines).encode())
    finally:
        await stop_child(child)
    if child.returncode:
        said = stderr.decode(errors="replace").strip().splitlines()
        raise ModelError(
            f"The fluency of texts cannot be measured: it {describe_end(child.returncode, said)}."
            f" {said[-1] if said else ''}".rstrip()
        )
    return [float(number) for number in stdout.split()]
