"""Tables of measurements as Markdown. Knows rows and columns, not what they mean."""

import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import torch

RESULTS = Path(__file__).parent / "RESULTS.md"


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
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def write_results(tables: Sequence[Table]) -> None:
    """Replace RESULTS.md by these tables and the machine that they were measured on."""
    memory = psutil.virtual_memory().total / 2**30
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    machine = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {psutil.cpu_count()} cores ({platform.machine()}), "
        f"{memory:.0f} GiB, {device}; Python {platform.python_version()}, torch {torch.__version__}."
    )
    head = f"# Results\n\nMade by `make bench`. {machine}\n\n"
    RESULTS.write_text(head + "\n".join(table.markdown() for table in tables), encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
