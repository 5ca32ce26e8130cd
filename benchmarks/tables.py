"""Tables of measurements as Markdown."""

import math
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "RESULTS.md"

_HEAD = "# Results\n\nMade by `make bench`, those of the soak by `make soak`.\n"

Row = tuple[str, str, str]
"""What was measured, how it came out, and the goal, which may be empty."""


@dataclass(frozen=True, slots=True)
class Table:
    """One section of the results."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The section's text."""
        lines = [f"## {self.title}", "", self.note, "", _line(self.columns), _line(["---"] * len(self.columns))]
        return "\n".join([*lines, *(_line(row) for row in self.rows)]) + "\n"


def middle(values: Sequence[float]) -> str:
    """Median with the range, as text."""
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"


def number(value: float) -> str:
    """Three digits that count."""
    short = f"{value:.3g}"
    return f"{float(short):,.0f}" if abs(value) >= 1000 else short


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def write_results(tables: Sequence[Table]) -> None:
    """Put these tables into RESULTS.md, each in the place of the last one of its title; the others stay.

    Where there is a GPU, they stand beside those of the CPU under a title of their own.
    """
    import torch  # noqa: PLC0415 - seconds that only the last step needs

    if torch.cuda.is_available():
        tables = [replace(table, title=f"{table.title}, on a GPU") for table in tables]
    before = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    sections = {part.partition("\n")[0]: f"## {part.strip()}\n" for part in before.split("\n## ")[1:]}
    sections |= {table.title: f"{table.markdown()}\n{_machine()}\n" for table in tables}
    RESULTS.write_text("\n".join([_HEAD, *sections.values()]), encoding="utf-8")


def _machine() -> str:
    import torch  # noqa: PLC0415 - as above

    memory = psutil.virtual_memory().total / 2**30
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {psutil.cpu_count()} cores ({platform.machine()}), "
        f"{memory:.0f} GiB, {device}; Python {platform.python_version()}, torch {torch.__version__}."
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
