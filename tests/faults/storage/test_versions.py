"""Versions under faults: damage is refused, pickles stay shut, and a kill at any moment leaves one whole truth."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from bot.serving.version_router import VersionRouter
from engine.api.client import EngineClient
from engine.errors import EngineUnavailable, ModelError
from engine.runs.versions import MANIFEST, publish, sweep, verify
from storage.db.database import Database
from storage.tables import versions
from tests.support.stored.two_versions import open_with_two_versions

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MOST_STEPS = 60


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    (folder / "adapter_config.json").write_text('{"r": 4}')
    return folder


def killed_at(step: int, syscalls: str, program: str, *arguments: object) -> int:
    """Run a Python program that is killed at its n-th syscall of these; returns its exit status.

    Python itself makes none of them before the program does: it writes no bytecode.
    """
    inject = f"inject={syscalls}:signal=SIGKILL:when={step}"
    command = ["strace", "-f", "-qqq", "-o", "/dev/null", "-e", f"trace={syscalls}", "-e", inject]
    command += [sys.executable, "-B", "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True).returncode


@pytest.fixture
def strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if subprocess.run(["strace", "-f", "-e", "trace=none", "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace may not trace here")


PUBLISH = """
import sys
from pathlib import Path
from engine.runs.versions import publish

publish(Path(sys.argv[1]), Path(sys.argv[2]), "v1")
"""


def test_a_publish_killed_at_any_point_leaves_nothing_or_a_whole_version_and_a_rerun_succeeds(
    strace: None, adapter: Path, tmp_path: Path
) -> None:
    seen = set()
    for step in range(1, MOST_STEPS):
        root = tmp_path / f"versions{step}"
        status = killed_at(step, "mkdir,write,fsync,rename,renameat,renameat2,unlinkat,rmdir", PUBLISH, adapter, root)
        is_there = (root / "v1").exists()
        seen.add(is_there)
        if is_there:
            verify(root / "v1")
        verify(publish(adapter, root, "v1"))
        sweep(root)
        assert [path.name for path in root.iterdir()] == ["v1"]
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert status == 0, "it completed when it was not killed"
    assert seen == {True, False}


def test_a_flipped_bit_in_a_version_is_always_found(adapter: Path, tmp_path: Path) -> None:
    version = publish(adapter, tmp_path / "versions", "v1")
    flips = 0
    for file in sorted(version.iterdir()):
        whole = file.read_bytes()
        for bit in range(8 * len(whole)):
            harmed = bytearray(whole)
            harmed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(harmed)
            with pytest.raises(ModelError):
                verify(version)
            flips += 1
        file.write_bytes(whole)
    verify(version)
    assert flips > 3000


def test_a_truncated_or_zeroed_file_in_a_version_is_always_found(adapter: Path, tmp_path: Path) -> None:
    version = publish(adapter, tmp_path / "versions", "v1")
    for file in sorted(version.iterdir()):
        whole = file.read_bytes()
        for harmed in (b"", whole[:1], whole[: len(whole) // 2], whole[:-1], whole + b"\0", bytes(len(whole))):
            file.write_bytes(harmed)
            with pytest.raises(ModelError):
                verify(version)
        file.write_bytes(whole)
    verify(version)


class Hostile:
    """What a pickle can do to whoever opens it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.marker), 0o700)


_opened: list[str] = []


def _note_opening(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        _opened.append(str(arguments[0]))


@pytest.fixture(scope="module")
def opened() -> Iterator[list[str]]:
    """Every path that this process opens."""
    sys.addaudithook(_note_opening)  # there is no way to take it off again
    return _opened


@pytest.mark.parametrize(
    "name", ["adapter_model.bin", "weights.pt", "weights.pkl", "weights.joblib", "run.py", "x.pt2"]
)
@pytest.mark.parametrize("has_weights", [True, False])
def test_a_hostile_pickle_is_never_opened(
    adapter: Path, tmp_path: Path, opened: list[str], name: str, has_weights: bool
) -> None:
    import pickle

    from engine.runs.versions import _sha256

    hostile = pickle.dumps(Hostile(tmp_path / "it was opened"))
    version = publish(adapter, tmp_path / "versions", "v1")
    (version / name).write_bytes(hostile)
    if not has_weights:
        (version / "adapter_model.safetensors").unlink()
    hashes = {path.name: _sha256(path) for path in version.iterdir() if path.name != MANIFEST}
    (version / MANIFEST).write_text(json.dumps({"format": 1, "sha256": hashes}))
    (adapter / name).write_bytes(hostile)
    opened.clear()
    with pytest.raises(ModelError, match="may hold only"):
        verify(version)
    with pytest.raises(ModelError, match="may hold only"):
        publish(adapter, tmp_path / "versions", "v2")
    assert not [path for path in opened if path.endswith(name)]
    assert not (tmp_path / "it was opened").exists()


PROMOTE = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bot.serving.version_router import VersionRouter
from engine.api.client import EngineClient
from storage.db.database import Database

def engine(request):
    return httpx.Response(200, json={"data": [{"id": "starter"}]})

async def main():
    db = await Database.open(Path(sys.argv[1]))
    async with httpx.AsyncClient(transport=httpx.MockTransport(engine)) as http:
        client = EngineClient("http://engine", http=http)
        router = VersionRouter(db=db, engine=client, folder=Path(sys.argv[2]), canary_share=0)
        await router.load_versions()
        await router.promote("v2")
    await db.close()

asyncio.run(main())
"""


def engine(request: httpx.Request) -> httpx.Response:
    """Stands in at the engine's HTTP border: one base, and every version is taken."""
    return httpx.Response(200, json={"data": [{"id": "starter"}]})


async def champions(db: Database) -> list[str]:
    return [version.name for version in await versions.of_base(db, "starter") if version.state == "champion"]


@pytest.fixture
async def two_versions(adapter: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """A database in which v1 is the champion and v2 waits, both published."""
    db = await open_with_two_versions(tmp_path, adapter, base="starter", at=NOW)
    yield db
    await db.close()


async def test_a_kill_during_a_swap_leaves_one_champion(strace: None, two_versions: Database, tmp_path: Path) -> None:
    seen = set()
    for step in range(1, MOST_STEPS):
        await versions.promote(two_versions, "v1", at=NOW)
        status = killed_at(step, "pwrite64,fdatasync", PROMOTE, tmp_path / "ovation.db", tmp_path / "versions")
        (champion,) = await champions(two_versions)
        seen.add(champion)
        verify(tmp_path / "versions" / champion)
        await versions.promote(two_versions, "v2", at=NOW)
        assert await champions(two_versions) == ["v2"]
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert status == 0, "it completed when it was not killed"
    assert seen == {"v1", "v2"}


async def test_an_engine_that_dies_while_the_champion_is_loaded_costs_no_champion(
    two_versions: Database, tmp_path: Path
) -> None:
    is_away = True

    def dying(request: httpx.Request) -> httpx.Response:
        if is_away and request.url.path == "/v1/load_lora_adapter":
            raise httpx.ReadError("the engine died")
        return engine(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(dying)) as http:
        client = EngineClient("http://engine", http=http)
        router = VersionRouter(db=two_versions, engine=client, folder=tmp_path / "versions", canary_share=0)
        with pytest.raises(EngineUnavailable):
            await router.load_versions()
        assert await champions(two_versions) == ["v1"]
        is_away = False
        await router.load_versions()
        assert router.champion == "v1"


async def test_a_damaged_champion_gives_way_to_the_one_before_it(two_versions: Database, tmp_path: Path) -> None:
    await versions.promote(two_versions, "v2", at=NOW + timedelta(days=2))
    os.truncate(tmp_path / "versions" / "v2" / "adapter_model.safetensors", 10)
    async with httpx.AsyncClient(transport=httpx.MockTransport(engine)) as http:
        client = EngineClient("http://engine", http=http)
        router = VersionRouter(db=two_versions, engine=client, folder=tmp_path / "versions", canary_share=0)
        await router.load_versions()
        assert router.champion == "v1"
        with pytest.raises(ModelError):
            await router.promote("v2")
        assert (router.champion, await champions(two_versions)) == ("v1", ["v1"])
