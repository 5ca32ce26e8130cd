"""Our engine through HTTP beside transformers' ways to write many texts: same weights, same run."""

import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import Peer, continuous, one_at_a_time, save_qwen3, static_batch
from benchmarks.served import serve
from benchmarks.tables import Table, middle
from engine.models.loader import load_base

REPETITIONS = 5
CROWDS = (16, 64)
COLUMNS = (
    "",
    "at once",
    "tokens a second",
    "times one at a time",
    "times static batch",
    "times transformers' continuous",
)
_GOALS = {16: ("≥ 12", "≥ 1.2", "≥ 4"), 64: ("≥ 25", "≥ 1.2", "≥ 4")}


def measure() -> list[Table]:
    """Tokens a second, for the starter and for a model of 99 M parameters."""
    with tempfile.TemporaryDirectory() as name:
        large = save_qwen3(Path(name) / "qwen3-99m")
        return [
            _table("Serving", "The starter (2.6 M parameters)", "starter", tokens=64),
            _table("Serving a larger model", "A Qwen3 of 99 M parameters, random weights", str(large), tokens=32),
        ]


def _table(title: str, what: str, model: str, *, tokens: int) -> Table:
    peers = _peers(model, tokens)
    ours = asyncio.run(_through_http(model, tokens))
    alone = statistics.median(peers["model.generate, one at a time"][1])
    rows = [
        [name, str(size), middle(speeds), f"{statistics.median(speeds) / alone:.1f}", "", ""]
        for name, by_size in peers.items()
        for size, speeds in by_size.items()
    ]
    for size, speeds in ours.items():
        speed = statistics.median(speeds)
        ratios = [speed / alone]
        if size in CROWDS:
            ratios += [speed / statistics.median(peers[name][size]) for name in _BATCHED]
        goals = _GOALS.get(size, ("",))
        cells = [f"{ratio:.1f} ({goal})" if goal else f"{ratio:.1f}" for ratio, goal in zip(ratios, goals, strict=True)]
        rows.append(
            ["Ovation's engine, streaming over HTTP", str(size), middle(speeds), *cells, *[""] * (3 - len(cells))]
        )
    note = (
        f"{what}, {tokens} new tokens a text, temperature 1; the peers are transformers', in the process that measures,"
        f" with torch's own number of threads. Medians of {REPETITIONS}, with the range; goals in brackets."
    )
    return Table(title, note, COLUMNS, rows)


_BATCHED: dict[str, Peer] = {
    "model.generate, static batch": static_batch,
    "transformers' continuous batching": continuous,
}


def _peers(model: str, tokens: int) -> dict[str, dict[int, Sequence[float]]]:
    base = load_base(model)
    one_at_a_time(base, 2, tokens)  # the first calls warm caches up on either side
    speeds: dict[str, dict[int, Sequence[float]]] = {}
    speeds["model.generate, one at a time"] = {1: [one_at_a_time(base, 4, tokens) for _ in range(REPETITIONS)]}
    for name, peer in _BATCHED.items():
        speeds[name] = {size: [peer(base, size, tokens) for _ in range(REPETITIONS)] for size in CROWDS}
    return speeds


async def _through_http(model: str, tokens: int) -> dict[int, list[float]]:
    async with serve(model) as engine:
        await engine.burst(4, tokens)
        return {size: [await engine.burst(size, tokens) for _ in range(REPETITIONS)] for size in (1, *CROWDS)}
