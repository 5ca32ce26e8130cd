"""A version is published whole or not at all, and what was altered is never loaded."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.runs.versions import MANIFEST, locate, publish, remove, sweep, verify


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 10)
    (folder / "adapter_config.json").write_text('{"r": 4}')
    (folder / "README.md").write_text("# An adapter")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "versions"


def test_a_published_version_has_every_file_and_its_hash(adapter: Path, root: Path) -> None:
    folder = publish(adapter, root, "night-1")
    assert folder == root / "night-1"
    assert sorted(path.name for path in folder.iterdir()) == [
        MANIFEST,
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    for file in adapter.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
        listed = json.loads((folder / MANIFEST).read_text())["sha256"][file.name]
        assert listed == hashlib.sha256(file.read_bytes()).hexdigest()


def test_nothing_but_the_version_is_left_in_the_folder(adapter: Path, root: Path) -> None:
    publish(adapter, root, "night-1")
    assert [path.name for path in root.iterdir()] == ["night-1"]


def test_publishing_the_same_files_again_changes_nothing(adapter: Path, root: Path) -> None:
    first = publish(adapter, root, "night-1")
    before = (first / MANIFEST).stat().st_mtime_ns
    assert publish(adapter, root, "night-1") == first
    assert (first / MANIFEST).stat().st_mtime_ns == before
    assert [path.name for path in root.iterdir()] == ["night-1"]


def test_a_published_version_can_be_published_elsewhere(adapter: Path, root: Path, tmp_path: Path) -> None:
    first = publish(adapter, root, "night-1")
    assert verify(publish(first, tmp_path / "copy", "night-1")) == verify(first)


def test_other_files_under_a_taken_name_are_refused(adapter: Path, root: Path) -> None:
    content = verify(publish(adapter, root, "night-1"))
    (adapter / "README.md").write_text("# Another adapter")
    with pytest.raises(ModelError, match="choose a new name"):
        publish(adapter, root, "night-1")
    assert verify(root / "night-1") == content
    assert [path.name for path in root.iterdir()] == ["night-1"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "/a", ".hidden", "Upper", "a b", "a\n", "a\0", "é", "-a", "a" * 65]
)
def test_a_name_that_could_leave_the_folder_is_refused(adapter: Path, root: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot name a version"):
        publish(adapter, root, name)
    assert not root.exists()


@pytest.mark.parametrize("name", ["a", "0", "night-2026.11.23_1", "a" * 64])
def test_a_plain_name_is_allowed(adapter: Path, root: Path, name: str) -> None:
    verify(publish(adapter, root, name))


def _pickle(folder: Path) -> None:
    (folder / "adapter_model.bin").write_bytes(b"\x80\x04.")


def _link(folder: Path) -> None:
    (folder / "more.json").symlink_to("/etc/hostname")


def _subfolder(folder: Path) -> None:
    (folder / "checkpoint").mkdir()


def _flip(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def _truncate(folder: Path) -> None:
    os.truncate(folder / "adapter_model.safetensors", 10)


def _lose(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def _add(folder: Path) -> None:
    (folder / "extra.json").write_text("{}")


def _replace_by_link(folder: Path) -> None:
    moved = folder.parent / "moved.safetensors"
    (folder / "adapter_model.safetensors").rename(moved)
    (folder / "adapter_model.safetensors").symlink_to(moved)


def _lose_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def _spoil_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("[1")


def _empty_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"sha256": {}}')


@pytest.mark.parametrize("harm", [_pickle, _link, _subfolder])
def test_a_source_with_anything_but_plain_allowed_files_is_refused(
    adapter: Path, root: Path, harm: Callable[[Path], None]
) -> None:
    harm(adapter)
    with pytest.raises(ModelError, match="may hold only"):
        publish(adapter, root, "night-1")
    assert not root.exists() or list(root.iterdir()) == []


@pytest.mark.parametrize(
    "harm",
    [
        _pickle,
        _link,
        _subfolder,
        _flip,
        _truncate,
        _lose,
        _add,
        _replace_by_link,
        _lose_manifest,
        _spoil_manifest,
        _empty_manifest,
    ],
)
def test_a_harmed_version_does_not_verify(adapter: Path, root: Path, harm: Callable[[Path], None]) -> None:
    folder = publish(adapter, root, "night-1")
    verify(folder)
    harm(folder)
    with pytest.raises(ModelError):
        verify(folder)


def test_a_linked_version_folder_does_not_verify(adapter: Path, root: Path) -> None:
    folder = publish(adapter, root, "night-1")
    (root / "link").symlink_to(folder)
    with pytest.raises(ModelError):
        verify(root / "link")


def test_a_source_without_weights_or_without_folder_is_refused(adapter: Path, root: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="nothing to publish"):
        publish(adapter, root, "night-1")
    with pytest.raises(ModelError, match="is not a folder"):
        publish(adapter / "nowhere", root, "night-1")


def test_locate_accepts_a_version_in_the_folder_only(adapter: Path, root: Path, tmp_path: Path) -> None:
    folder = publish(adapter, root, "night-1")
    outside = publish(adapter, tmp_path / "elsewhere", "night-1")
    (root / "link").symlink_to(outside)
    assert locate(folder, root) == folder.resolve()
    for path in (outside, root / "link", root / ".." / "elsewhere" / "night-1", root, root / "nothing", Path("/etc")):
        with pytest.raises(ModelError, match="is not a version folder"):
            locate(path, root)


def test_a_removed_version_is_gone_and_removing_it_again_is_no_error(adapter: Path, root: Path) -> None:
    folder = publish(adapter, root, "night-1")
    remove(folder)
    assert list(root.iterdir()) == []
    remove(folder)


def test_a_link_is_not_removed(adapter: Path, root: Path, tmp_path: Path) -> None:
    outside = publish(adapter, tmp_path / "elsewhere", "night-1")
    root.mkdir()
    (root / "link").symlink_to(outside)
    with pytest.raises(ModelError, match="is a link"):
        remove(root / "link")
    verify(outside)


_KILLED_PUBLISH = """
import os, signal, sys
from pathlib import Path
from engine.runs.versions import publish

calls_left = int(sys.argv[3])

def dying(function):
    def call(*arguments, **options):
        global calls_left
        calls_left -= 1
        if calls_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

for name in ("mkdir", "open", "rename", "fsync", "close", "scandir"):
    setattr(os, name, dying(getattr(os, name)))
publish(Path(sys.argv[1]), Path(sys.argv[2]), "night-1")
"""


def test_a_kill_at_any_step_leaves_a_whole_version_or_none_and_publishing_again_works(
    adapter: Path, tmp_path: Path
) -> None:
    seen_states = set()
    for step in range(200):
        root = tmp_path / f"versions{step}"
        command = [sys.executable, "-c", _KILLED_PUBLISH, str(adapter), str(root), str(step)]
        status = subprocess.run(command, check=False).returncode
        is_there = (root / "night-1").exists()
        seen_states.add(is_there)
        if is_there:
            verify(root / "night-1")
        verify(publish(adapter, root, "night-1"))
        sweep(root)
        assert [path.name for path in root.iterdir()] == ["night-1"]
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert status == 0, "the publication completed when it was not killed"
    assert seen_states == {True, False}
