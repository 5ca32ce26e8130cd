"""Memory and processors are counted as the control groups leave them: v1 and v2, of the own group and all above it."""

import math
import os
import random
from pathlib import Path

import pytest

from bot.learning.trainer_process import run_config
from engine import cgroups, process

UNLIMITED_V1 = "9223372036854771712"
MIB = 2**20


@pytest.fixture(autouse=True)
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a machine without limits."""
    folder = tmp_path / "cgroup"
    folder.mkdir()
    monkeypatch.setattr(cgroups, "GROUPS", folder)
    monkeypatch.setattr(cgroups, "OWN_GROUPS", tmp_path / "self")
    return folder


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def belongs_to(groups: Path, *lines: str) -> None:
    (groups.parent / "self").write_text("".join(f"{line}\n" for line in lines))


def test_without_a_limit_all_of_the_machine_is_free(groups: Path) -> None:
    whole, cores = process.free_memory(), process.processors()
    write(groups, memory__max="max\n", memory__current="5\n", cpu__max="max 100000\n")
    write(groups / "memory", memory__limit_in_bytes=UNLIMITED_V1, memory__usage_in_bytes="5")
    write(groups / "cpu", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert cgroups.memory_left() > 2**60 and process.free_memory() > whole // 2
    assert math.isinf(cgroups.processors())
    assert process.processors() == cores == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("where", ["", "system.slice", "system.slice/ovation.service"])
def test_the_limits_of_every_group_up_to_the_root_count(groups: Path, where: str) -> None:
    belongs_to(groups, "0::/system.slice/ovation.service")
    service = groups / "system.slice" / "ovation.service"
    write(service, memory__max="max\n", memory__current="4000\n", cpu__max="max 100000\n")
    write(groups / "system.slice", memory__max="90000\n", memory__current="6000\n", cpu__max="900000 100000\n")
    write(groups / where, memory__max="10000\n", memory__current="7000\n", cpu__max="150000 100000\n")
    assert process.free_memory() == 3000
    assert cgroups.processors() == 1.5
    assert process.processors() == min(2, len(os.sched_getaffinity(0)))


def test_memory_high_slows_a_service_down_and_counts(groups: Path) -> None:
    write(groups, memory__max="10000", memory__high="8000", memory__current="5000")
    assert process.free_memory() == 3000


def test_what_was_read_from_files_can_be_given_back(groups: Path) -> None:
    write(groups, memory__max="10000", memory__current="9000", memory__stat="anon 5000\ninactive_file 4000\nnonsense\n")
    assert process.free_memory() == 5000
    write(groups, memory__max="10000", memory__current="900", memory__stat="inactive_file 4000\n")
    assert process.free_memory() == 10000, "and no more than the limit"


def test_what_is_over_its_limit_has_nothing_left(groups: Path) -> None:
    write(groups, memory__max="10000", memory__current="12000")
    assert process.free_memory() == 0 and process.free_mb() == 0


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_the_first_version_of_groups_counts(groups: Path, mount: str) -> None:
    belongs_to(groups, "12:cpuset:/", "4:memory:/docker/abc", "3:cpu,cpuacct:/docker/abc", "1:name=systemd:/x", "0::/")
    write(groups / "memory" / "docker" / "abc", memory__limit_in_bytes="9000", memory__usage_in_bytes="5000")
    write(groups / "memory" / "docker" / "abc", memory__stat="inactive_file 1\ntotal_inactive_file 500\n")
    quota = {"cpu__cfs_quota_us": "100000\n", "cpu__cfs_period_us": "100000\n"}
    write(groups / mount / "docker" / "abc", **quota)
    assert process.free_memory() == 4500
    assert process.processors() == 1
    write(
        groups / "memory" / "docker", memory__memsw__limit_in_bytes="9000", memory__memsw__usage_in_bytes="7000"
    )  # what is swapped out already
    assert process.free_memory() == 2000


@pytest.mark.parametrize("own", ["0::/", "0::/../../kubepods/pod1", "0::/docker/abc", "", "4:memory:/docker/abc"])
def test_inside_of_a_container_the_root_is_its_own_group(groups: Path, own: str) -> None:
    belongs_to(groups, own)
    write(groups, memory__max="10000", memory__current="7000", cpu__max="100000 100000")
    assert process.free_memory() == 3000 and process.processors() == 1
    (groups / "memory.max").unlink()
    write(groups / "memory", memory__limit_in_bytes="10000", memory__usage_in_bytes="9000")
    assert process.free_memory() == 1000


def test_the_bots_trainer_takes_as_many_threads_as_its_quota_pays(groups: Path) -> None:
    write(groups, cpu__max="50000 100000\n")
    assert run_config("starter").threads == 1


def test_nonsense_in_any_file_is_no_limit_and_raises_nothing(groups: Path) -> None:
    chance = random.Random(3)
    nonsense = [
        b"", b"\n", b"max", b"-1", b"abc", b"\xff\xfe\x00", b"1 2 3", b"0", b"0 0", b"100 0", b"nan", b"9" * 5000,
        b"1e999", b"max max", b"- -", b"12 monkeys", "١٢".encode(), b"inactive_file", b"inactive_file x\n\n \n"
    ]  # fmt: skip
    lines = [
        b"",
        b"0::/a/b",
        b"0::",
        b":::::",
        b"0::/\x00",
        b"0::" + b"/x" * 50,
        b"\xff",
        b"7:memory,cpu:/a",
        b"0::/..",
    ]
    names = [limit for limits in cgroups._MEMORY for limit in limits[:2]]
    names += ["memory.stat", "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"]
    for folder in (groups, groups / "a", groups / "a" / "b", groups / "memory"):
        folder.mkdir(exist_ok=True)
    for _ in range(40):
        (groups.parent / "self").write_bytes(chance.choice(lines) + b"\n" + chance.choice(lines))
        for name in names:
            for folder in (groups, groups / "a"):
                (folder / name).write_bytes(chance.choice(nonsense))
        assert 0 <= process.free_memory() < 2**60
        assert 1 <= process.processors() <= len(os.sched_getaffinity(0))
        assert process.free_mb() >= 0
    (groups / "cpu.max").unlink()
    (groups / "cpu.max").mkdir()
    assert process.processors() >= 1
