"""Our engine and vLLM with the same model on the same processor, asked over HTTP in the same way."""

import asyncio
import statistics
from contextlib import AbstractAsyncContextManager

from benchmarks.served import Served, serve, serve_vllm
from benchmarks.tables import Table, middle, number
from engine.api.models import version_name

CROWDS = (1, 16, 64)
TOKENS = 48
REPETITIONS = 5
COLUMNS = ["", "people at once", "tokens a second", "first token, s (median)", "memory, MiB"]


def measure(model: str, few: bool, *, python: str) -> Table:
    """`model` is a folder, `python` that of an environment with vLLM (docs/scale-out.md)."""
    name = version_name(model)
    repetitions = 1 if few else REPETITIONS
    servers: dict[str, AbstractAsyncContextManager[Served]] = {
        "vLLM, float32": serve_vllm(python, model, name, dtype="float32"),
        "vLLM, bfloat16": serve_vllm(python, model, name),
        "Ovation, float32": serve(model),
        "Ovation, bfloat16": serve(model, "--quantize", "bfloat16"),
        "Ovation, int8": serve(model, "--quantize", "int8"),
    }
    rows = [row for label, server in servers.items() for row in asyncio.run(_rows(label, server, repetitions))]
    note = (
        f"{name}, {TOKENS} new tokens a text, temperature 1, streamed. Medians of {repetitions}, with the range; one"
        " server after the other. Memory after the largest crowd, of all processes of a server."
    )
    return Table("Beside vLLM", note, COLUMNS, rows)


async def _rows(label: str, server: AbstractAsyncContextManager[Served], repetitions: int) -> list[list[str]]:
    rows = []
    async with server as engine:
        await engine.burst(4, TOKENS)
        for people in CROWDS:
            speeds = [await engine.burst(people, TOKENS) for _ in range(repetitions)]
            answers = await asyncio.gather(*(engine.ask(person, TOKENS) for person in range(people)))
            first = statistics.median(answer.first_token for answer in answers)
            rows.append([label, str(people), middle(speeds), f"{first:.2f}", ""])
        rows[-1][-1] = number(engine.memory / 2**20)
    return rows
