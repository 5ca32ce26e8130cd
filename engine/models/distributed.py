"""Several processes at one training run, as torchrun starts them: my share of the work, and the sum over everybody's.

Each process (a rank) runs the same program on the same run folder, with a copy of the model on a device of its own. All
call `total`, `by_first` and `sum_gradients` in the same order, so what decides the way must be the same everywhere: a
sum over all, or the word of rank 0. Alone, a share is everything and a sum is what was given.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from engine.errors import RunError
from engine.process import end_with_parent, is_out_of_memory

PATIENCE = timedelta(hours=1)
"""Longest wait for the others. Longer than the longest work of one alone, writing hundreds of texts on a slow machine;
a process that dies is noticed at once, by the launcher and by its closed connections."""

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def joined() -> Iterator[None]:
    """Work together with the processes that torchrun has started beside this one; without torchrun, alone.

    Takes the CUDA device of this process's number, where there are any. Ends the process when torchrun has ended.

    Raises:
        RunError: this machine has fewer devices than processes, or the others do not come.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    end_with_parent(os.getppid())
    backend = "cpu:gloo,cuda:nccl" if _took_a_device() else "gloo"
    with _others_needed():
        dist.init_process_group(backend, timeout=PATIENCE)
    yield
    dist.destroy_process_group()


def leave(status: int) -> NoReturn:
    """End this process; at once if something went wrong among several, for tidying up would wait for the others."""
    if dist.is_initialized():
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(items: Sequence[T]) -> list[T]:
    """Every n-th of the items for n processes, so that neighbours of like length are dealt out evenly; may be empty."""
    if not dist.is_initialized():
        return list(items)
    return list(items[dist.get_rank() :: dist.get_world_size()])


def total(values: Tensor) -> Tensor:
    """The sum of everybody's tensors of one shape, the same bits everywhere; overwrites what was given.

    Raises:
        RunError: another process has ended, or did not answer for `PATIENCE`.
    """
    if dist.is_initialized():
        with _others_needed():
            dist.all_reduce(values)
    return values


def sum_gradients(parameters: Sequence[Tensor]) -> None:
    """Give each parameter the sum of its gradients over all processes, in one exchange; none counts as 0."""
    if not dist.is_initialized():
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    summed = total(torch.cat([gradient.flatten() for gradient in gradients]))
    pieces = summed.split([parameter.numel() for parameter in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)


def by_first(work: Callable[[], T]) -> T:
    """What the first process makes of it, for all: for work that cannot be divided, or must come out the same.

    Raises:
        RunError: as `total`.
    """
    made: list[Any] = [work() if _is_first() else None]
    if dist.is_initialized():
        with _others_needed():
            dist.broadcast_object_list(made, src=0)
    result: T = made[0]
    return result


def first_only(write: Callable[P, None]) -> Callable[P, None]:
    """Decorate what only the first process does, and nobody waits for."""

    @functools.wraps(write)
    def write_if_first(*args: P.args, **kwargs: P.kwargs) -> None:
        if _is_first():
            write(*args, **kwargs)

    return write_if_first


def _is_first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


def _took_a_device() -> bool:
    if not torch.cuda.is_available():
        return False
    number, devices = dist.get_node_local_rank(), torch.cuda.device_count()
    if number >= devices:
        raise RunError(f"This machine has {devices} CUDA device(s): start torchrun with --nproc-per-node {devices}.")
    torch.cuda.set_device(number)
    return True


@contextmanager
def _others_needed() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise RunError("Another process of this run has ended or does not answer; what it said tells why.") from error
