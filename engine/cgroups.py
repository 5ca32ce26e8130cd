"""What Linux's control groups leave this process, v1 and v2: a container's limits, systemd's MemoryMax and CPUQuota.

A limit holds for the process's own group and for everything below it, so each group from its own up to the root counts.
Inside of a container the names of the groups above may lead nowhere, and the root is the container's own. Whatever the
files say, nothing here raises: what is no number is no limit.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")

_MEMORY: Final = (  # the limit, what of it is taken, and what of that was read from files and can be given back
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.high", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes", "total_inactive_file"),  # with swap
)


def memory_left() -> float:
    """Bytes that this process may still take without its groups swapping or being ended; infinite without a limit."""
    lefts = (_left(folder, *names) for folder in _folders("memory") for names in _MEMORY)
    return min(lefts, default=math.inf)


def processors() -> float:
    """How many processors' time this process's groups may use together; infinite without a limit."""
    shares = (share for folder in _folders("cpu") for share in _shares(folder))
    return min(shares, default=math.inf)


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it, whether or not they are there."""
    mounts = [GROUPS, GROUPS / "unified", GROUPS / controller]
    yield from mounts
    for line in _text(OWN_GROUPS).split("\n"):
        controllers, _, path = line.partition(":")[2].partition(":")
        own = [part for part in path.split("/") if part]
        if ".." not in own and {"", controller} & set(controllers.split(",")):
            for mount in (*mounts, GROUPS / controllers):
                yield from (mount.joinpath(*own[:depth]) for depth in range(len(own) + 1))


def _left(folder: Path, limit: str, taken: str, returnable: str) -> float:
    most = _number(folder / limit)
    if math.isinf(most):
        return most
    used = _number(folder / taken)
    stat = dict(line.split(maxsplit=1) for line in _text(folder / "memory.stat").splitlines() if " " in line.strip())
    back = _read(stat.get(returnable, "0"))
    return max(0.0, min(most, most - (0.0 if math.isinf(used) else used) + (0.0 if math.isinf(back) else back)))


def _shares(folder: Path) -> Iterator[float]:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    for much, of in (
        (_read(quota), _read(period)),
        (_number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")),
    ):
        if 0 < of < math.inf:
            yield much / of


def _number(file: Path) -> float:
    return _read(_text(file))


def _read(word: str) -> float:
    """A limit; infinite for `max`, for the -1 of v1, and for what is no number."""
    try:
        value = float(word)
    except ValueError:
        return math.inf
    return value if value >= 0 else math.inf


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""
