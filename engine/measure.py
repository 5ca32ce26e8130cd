"""How fast a model is on this machine: `python -m engine.measure --model SOURCE`, one JSON object on stdout.

The fields are those of `engine.runs.plan.Speeds`; a night is planned by them. Takes seconds for a small model. Ends
with one sentence on stderr (exit 1; 2 when called wrongly; 3 when memory ran out).
"""

import sys
import time
from collections.abc import Sequence

import torch
from pydantic_core import to_json

from engine.errors import EngineError
from engine.models.loader import load_to_train
from engine.process import NO_MEMORY, OUT_OF_MEMORY, is_out_of_memory, keep_memory, processors
from engine.runs.config import RunConfig
from engine.training.measuring import measure, usual_rows


def main(arguments: Sequence[str]) -> int:
    """Measure the model named; returns the exit status."""
    match arguments:
        case ["--model", source]:
            pass
        case _:
            sys.stderr.write("Usage: python -m engine.measure --model SOURCE\n")
            return 2
    keep_memory()
    torch.set_num_threads(min(torch.get_num_threads(), processors()))
    try:
        started = time.monotonic()
        base = load_to_train(source)
        speeds = measure(base, usual_rows(base), RunConfig(base=source), load_seconds=time.monotonic() - started)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sys.stderr.write(f"{NO_MEMORY}\n")
        return OUT_OF_MEMORY
    sys.stdout.buffer.write(to_json(speeds) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
