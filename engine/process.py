"""What the engine's and the trainer's process have in common: how much of the machine they may use, running out of
memory, glibc's allocator, what the parent tells by a pipe, and ending with the parent."""

import contextlib
import ctypes
import json
import math
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from engine import cgroups
from engine.foreign_json import read_json

PRIVATE: Final = 0o077
"""The umask of every process of ours: whatever it writes is its user's alone."""
OUT_OF_MEMORY: Final = 3
"""The exit status of the engine or the trainer when memory ran out."""
NO_MEMORY: Final = "The machine ran out of memory: free some, or choose a smaller model."

_SIGNS_OF_NO_MEMORY = (
    NO_MEMORY,
    "MemoryError",
    "out of memory",  # CUDA
    "can't allocate memory",  # torch on the CPU
    "Cannot allocate memory",  # the kernel: ENOMEM
    "Memory allocation still failed",  # OpenBLAS
    "bad_alloc",  # C++
    "can't start new thread",  # no room for its stack
)
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
_PARENT_POLL_SECONDS = 0.5
_SECRETS_FORMAT = 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch has a class for CUDA only, and raises a RuntimeError on the CPU."""
    return isinstance(error, MemoryError) or tells_of_no_memory(str(error))


def tells_of_no_memory(line: str) -> bool:
    """Whether a last line on stderr says that memory ran out."""
    return any(words in line for words in _SIGNS_OF_NO_MEMORY)


def free_memory() -> int:
    """Bytes of memory that can be had now, and no more than the container or the service has left."""
    return int(min(_available(), cgroups.memory_left()))


def processors() -> int:
    """How many threads can compute at the same time: what the machine has, the process may use and its quota pays."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(mine, cgroups.processors())))


def _available() -> float:
    """Bytes that the machine can give without swapping; infinite where nobody tells."""
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line)
        return int(told["MemAvailable"].split()[0]) << 10
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return math.inf


def limit_memory(mib: int) -> None:
    """Let this process hold no more than so much memory of its own, so that it fails instead of making others swap.

    Counted is what it may write to: its heap, stacks and anonymous mappings (RLIMIT_DATA, Linux), neither the
    libraries' code nor a model file that is mapped. A limit that was set from outside stays if it is lower.
    """
    if mib:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = [mib * 2**20, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(wanted), hard))


def resident_mb() -> float:
    """The memory that this process has at present, MiB; where that cannot be told, the most that it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_mb()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mb() -> float:
    """The most memory that this process ever had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def free_mb() -> float:
    """The memory that this process may still take without making others swap, MiB; infinite where nobody tells."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    limit = math.inf if soft == resource.RLIM_INFINITY else max(0.0, soft / 2**20 - resident_mb())
    return min(limit, free_memory() / 2**20)


def return_memory() -> None:
    """Give free memory back to the kernel: after much was loaded and replaced, glibc would hold on to it."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def keep_memory() -> None:
    """Tell glibc to keep freed blocks: giving each step's memory back to the kernel costs up to half the time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_MMAP_MAX, 0)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the engine is told by a pipe: other users can read command lines, and every child an environment.

    As text it is one JSON object: `{"format": 1, "key": ..., "watermark_keys": [...]}`.
    """

    key: str | None = None
    """Whoever asks the engine for anything must have it."""
    watermark_keys: tuple[str, ...] = ()
    """In hex; the first marks texts, all are looked for."""

    def as_text(self) -> str:
        """What `read` reads."""
        return json.dumps({"format": _SECRETS_FORMAT} | asdict(self)) + "\n"

    @classmethod
    def read(cls, text: bytes) -> "Secrets":
        """What came by the pipe; ValueError if it is something else."""
        said = read_json(text)
        if not isinstance(said, dict) or said.get("format") != _SECRETS_FORMAT:
            raise ValueError(f"it holds no secrets of format {_SECRETS_FORMAT}")
        key, marks = said.get("key"), said.get("watermark_keys", [])
        is_list = isinstance(marks, list) and all(isinstance(each, str) for each in marks)
        if not is_list or not (key is None or (isinstance(key, str) and key)):
            raise ValueError("a secret in it is no text")
        return cls(key, tuple(marks))


def end_with_parent(pid: int, *, grace_seconds: float = 0.0) -> None:
    """From now on, end this process when its parent, process `pid`, has ended, even by SIGKILL, or is another one.

    It gets SIGTERM, and is ended `grace_seconds` later whatever it does. The parent is polled because Linux's own
    signal for this comes when the parent's thread ends, not the parent, and never to a child that asked too late.
    """
    threading.Thread(target=_watch, args=(pid, grace_seconds), name="parent-watch", daemon=True).start()


def _watch(pid: int, grace_seconds: float) -> None:
    while os.getppid() == pid:
        time.sleep(_PARENT_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os._exit(1)
