"""The suite runs on the CPU, also on a machine with a GPU, unless CUDA_VISIBLE_DEVICES names one.

There the base is in bfloat16, and what must be the same to the last bit on the CPU (texts of a batch and alone, sums of
log-probabilities) is the same to three digits only.

Several workers share the cores, so every process computes on one thread. They take whole files: those with slow tests
go first, so that no worker begins a night when the others have nothing left to do.
"""

import os

import pytest

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of hundreds of processes compiles the whole bot anew
os.environ["MODEL"] = "starter"  # the default is a larger one, where it is installed
for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
    del os.environ[name]  # a test that means one sets it

pytest_plugins = ["tests.support.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
