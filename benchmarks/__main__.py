"""`make bench`: measure everything, print it, and write RESULTS.md. With names, measure only those tables."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.markdown import Markdown

from benchmarks import (
    brigade,
    canary,
    choosing,
    compression,
    filtering,
    first_words,
    learning,
    operation,
    reliability,
    serving,
    training,
    waiting,
    watermark,
)
from benchmarks.tables import Table, write_results

_MEASURES: dict[str, Callable[[], Table | list[Table]]] = {
    "operation": operation.measure,
    "first_words": first_words.measure,
    "serving": serving.measure,
    "waiting": waiting.measure,
    "choosing": choosing.measure,
    "compression": compression.measure,
    "reliability": reliability.measure,
    "learning": learning.measure,
    "few": learning.measure_few,
    "variants": learning.measure_variants,
    "noise": learning.measure_noise,
    "canary": canary.measure,
    "brigade": brigade.measure,
    "training": training.measure,
    "filtering": filtering.measure,
    "watermark": watermark.measure,
}


def main() -> None:
    """One measurement after the other, so that none disturbs another; each is written down at once."""
    names = sys.argv[1:] or list(_MEASURES)
    if unknown := [name for name in names if name not in _MEASURES]:
        sys.exit(f"There is no {' or '.join(unknown)} here; choose among {', '.join(_MEASURES)}.")
    console = Console()
    for name in names:
        measured = _MEASURES[name]()
        for table in measured if isinstance(measured, list) else [measured]:
            console.print(Markdown(table.markdown()))
            write_results([table])


if __name__ == "__main__":
    main()
