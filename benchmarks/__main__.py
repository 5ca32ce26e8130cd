"""`make bench`: measure everything, print it, and write RESULTS.md."""

from rich.console import Console
from rich.markdown import Markdown

from benchmarks import learning, operation, serving
from benchmarks.tables import write_results


def main() -> None:
    """One measurement after the other, so that none disturbs another."""
    console = Console()
    tables = []
    for measure in (operation.measure, serving.measure, learning.measure):
        table = measure()
        tables.append(table)
        console.print(Markdown(table.markdown()))
    write_results(tables)


if __name__ == "__main__":
    main()
