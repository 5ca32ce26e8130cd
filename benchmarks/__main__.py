"""`make bench`: measure everything, print it, and write RESULTS.md. With names, measure only those tables.

Those that can measure another model than the starter take `--model`, for a quick look `--few`; `ordinary` compares
`--arms`. What is only a look (`--few`) is printed and not written down.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from benchmarks import (
    beside_vllm,
    brigade,
    canary,
    choosing,
    compression,
    filtering,
    first_words,
    language,
    language_tastes,
    learning,
    operation,
    ordinary,
    reliability,
    serving,
    siege,
    training,
    waiting,
    watermark,
)
from benchmarks.pool import loadable
from benchmarks.tables import Table, write_results

_MEASURES: dict[str, Callable[[], Table | list[Table]]] = {
    "operation": operation.measure,
    "first_words": first_words.measure,
    "siege": siege.measure,
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


_OF_A_MODEL: dict[str, Callable[[str, bool], Table | list[Table]]] = {
    "first_words_of": first_words.measure_model,
    "training_of": training.measure_model,
    "night_of": training.measure_night,
    "language_heads": language.measure_heads,
}
"""Those that measure any model, and only a little of it for a quick look."""
_KNOWN = (*_MEASURES, *_OF_A_MODEL, "language_nights", "ordinary", "beside_vllm")


def main() -> None:
    """One measurement after the other, so that none disturbs another; each is written down at once."""
    asked = _arguments()
    console = Console()
    for name in asked.names or [each for each in _KNOWN if asked.vllm or each != "beside_vllm"]:
        measured = _measured(name, asked)
        for table in measured if isinstance(measured, list) else [measured]:
            console.print(Markdown(table.markdown()))
            if not asked.few:
                write_results([table])


def _measured(name: str, asked: argparse.Namespace) -> Table | list[Table]:
    if name in _MEASURES:
        return _MEASURES[name]()
    if name == "ordinary":
        return ordinary.measure(asked.arms, count=ordinary.FEW if asked.few else None, folder=asked.folder)
    model = loadable(asked.model)
    if name == "beside_vllm":
        return beside_vllm.measure(model, asked.few, python=asked.vllm)
    if name == "language_nights":
        tastes = asked.tastes[:1] if asked.few else asked.tastes
        times = {"nights": asked.nights, "minutes": asked.minutes}
        return language.measure_nights(model, asked.few, tastes=tastes, **times)
    return _OF_A_MODEL[name](model, asked.few)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*_KNOWN, []], help=", ".join(_KNOWN))
    parser.add_argument("--model", default="smollm2", help="what MODEL may be (%(default)s)")
    parser.add_argument("--arms", nargs="+", default=ordinary.ARMS, metavar="MODEL:BEST_OF", help="what to compare")
    parser.add_argument("--folder", type=Path, default=Path("build/ordinary"), help="for transcripts (%(default)s)")
    tastes = list(language_tastes.LANGUAGE_TASTES)
    parser.add_argument("--tastes", nargs="+", default=tastes, choices=tastes, metavar="TASTE", help=", ".join(tastes))
    parser.add_argument("--nights", type=int, default=1, help="nights of a season in language_nights (%(default)s)")
    parser.add_argument("--minutes", type=float, default=language.NIGHT_MINUTES, help="of each (%(default)s)")
    parser.add_argument("--vllm", default="", help="the Python of an environment with vLLM, for beside_vllm")
    parser.add_argument("--few", action="store_true", help="measure only a little, and do not write it down")
    asked = parser.parse_args()
    if "beside_vllm" in asked.names and not asked.vllm:
        parser.error("beside_vllm needs --vllm, the Python of an environment with vLLM (docs/scale-out.md)")
    return asked


if __name__ == "__main__":
    main()
