"""How fast a model reads, learns and writes on this machine, and what memory a token takes: seconds of each."""

import time
from collections.abc import Callable, Sequence
from random import Random

import torch
from torch import Tensor

from engine.api.types import Sampling
from engine.errors import ModelError
from engine.evaluation.sampling import require_drawn
from engine.inference.batch import Batch, Row
from engine.models import distributed
from engine.models.layers import gains_by_bfloat16
from engine.models.loader import Base
from engine.models.logprobs import Encoded, collate, log_probs
from engine.process import peak_mb, resident_mb
from engine.runs.config import RunConfig
from engine.runs.plan import Plan, Speeds, StageName
from engine.runs.run_dir import Forecast
from engine.training.stage import add_adapter

_SECONDS = 0.5  # of each operation at least; one pass of a large model takes longer
_READ, _LEARNED = 8, 4  # rows that are read, or learned from, at once
_FEW, _MANY, _TYPICAL = 4, 32, 16  # texts that are written at once
_WRITTEN = 6  # steps of each
_PROMPT = 8  # tokens: what a prompt costs is reading
USUAL_PROMPT, USUAL_TEXT = 60, 90  # tokens, where no ratings are at hand


def usual_rows(base: Base, count: int = _READ) -> list[Encoded]:
    """Rows of the usual length, of random tokens."""
    random, ids = Random(0), range(len(base.tokenizer))
    return [
        Encoded(tuple(random.choices(ids, k=USUAL_PROMPT)), tuple(random.choices(ids, k=USUAL_TEXT)))
        for _ in range(count)
    ]


def measure(base: Base, rows: Sequence[Encoded], config: RunConfig, *, load_seconds: float) -> Speeds:
    """Measure a base without an adapter, on rows as they will be trained on; the same answer in all processes.

    Raises:
        ModelError: the base computes values that are not numbers.
    """
    return distributed.by_first(lambda: _measure(base, rows, config, load_seconds))


def _measure(base: Base, rows: Sequence[Encoded], config: RunConfig, load_seconds: float) -> Speeds:
    memory = resident_mb()
    model = add_adapter(base, config)
    try:
        one, learned, read = (
            collate(rows[:count], pad_id=base.pad_id, device=base.model.device) for count in (1, _LEARNED, _READ)
        )
        saved = _SavedBytes()
        with torch.autograd.graph.saved_tensors_hooks(saved.count, lambda tensor: tensor):
            first = log_probs(model, one).sum()
            first.backward()  # the first pass of a process takes longer than any other
        if not first.isfinite():
            raise ModelError("The base model computes values that are not numbers; choose another.")
        learning = _seconds(lambda: log_probs(model, learned).sum().backward())
        with torch.no_grad():
            reading = _seconds(lambda: log_probs(model, read))
        few, many = (_step_seconds(base, width) for width in (_FEW, _MANY))
    finally:
        model.unload()
    row = max(1e-9, (many - few) / (_MANY - _FEW))
    step = max(1e-9, few - _FEW * row)
    parameters = sum(parameter.numel() for parameter in base.model.parameters())
    return Speeds(
        model=base.name,
        parameters=parameters,
        vocabulary=len(base.tokenizer),
        load_seconds=round(load_seconds, 2),
        memory_mb=round(memory, 1),
        sample_tokens_per_second=_TYPICAL / (step + _TYPICAL * row),
        forward_tokens_per_second=sum(map(len, rows[:_READ])) / reading,
        backward_tokens_per_second=sum(map(len, rows[:_LEARNED])) / learning,
        step_seconds=step,
        row_seconds=row,
        gradient_bytes=saved.total / one.input_ids.numel(),
    )


def _seconds(work: Callable[[], object]) -> float:
    """How long it takes once, on average; of a single pass where that is long."""
    started, times = time.monotonic(), 0
    while times == 0 or time.monotonic() - started < _SECONDS:
        work()
        times += 1
    return (time.monotonic() - started) / times


def _step_seconds(base: Base, width: int) -> float:
    """How long a step of so many texts takes."""
    random, ids = Random(width), range(len(base.tokenizer))
    sampling = Sampling(max_tokens=_WRITTEN + 1, top_p=0.95, seed=0)
    batch: Batch[Row] = Batch(base.model, family=base.family, in_bfloat16=gains_by_bfloat16(base.model))
    require_drawn(batch.join([Row(tuple(random.choices(ids, k=_PROMPT)), sampling) for _ in range(width)]))
    require_drawn(batch.step())
    started = time.monotonic()
    for _ in range(_WRITTEN):
        require_drawn(batch.step())
    return (time.monotonic() - started) / _WRITTEN


class StageClock:
    """What the stages of a night take, from its making on."""

    def __init__(self) -> None:
        self._since = time.monotonic(), time.process_time()
        self._took: dict[str, float] = {}
        self._cpu: dict[str, float] = {}

    def ends(self, stage: StageName) -> None:
        """A stage is over, and the next begins."""
        now = time.monotonic(), time.process_time()
        took, cpu = (end - start for start, end in zip(self._since, now, strict=True))
        self._took[stage], self._cpu[stage] = round(took, 1), round(cpu, 1)
        self._since = now

    def beside(self, plan: Plan) -> Forecast:
        """What was planned and what it took so far."""
        return Forecast(
            minutes=round(plan.minutes, 2),
            memory_mb=round(plan.memory_mb),
            left_out=plan.left_out,
            stage_seconds={stage: round(seconds, 1) for stage, seconds in plan.seconds.items()},
            stage_took=dict(self._took),
            stage_cpu=dict(self._cpu),
            peak_mb=round(peak_mb()),
        )


class _SavedBytes:
    """Counts the memory of what a forward pass keeps for its gradient, each tensor once."""

    def __init__(self) -> None:
        self.total = 0
        self._kept: list[Tensor] = []  # so that no address is used twice
        self._seen: set[int] = set()

    def count(self, tensor: Tensor) -> Tensor:
        """A hook for `torch.autograd.graph.saved_tensors_hooks`; weights are not counted."""
        storage = tensor.untyped_storage()
        if not tensor.is_leaf and storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self._kept.append(tensor)
            self.total += storage.nbytes()
        return tensor
