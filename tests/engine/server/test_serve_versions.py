"""Versions are loaded, asked for and unloaded while the server works."""

import asyncio
import itertools
import shutil
from pathlib import Path

import httpx
import pytest

from engine.runs.versions import MANIFEST, publish
from tests.engine.conftest import Server
from tests.support.asking import GREEDY, MESSAGES, chat, load, text, unload


async def test_versions_are_loaded_asked_for_by_name_and_unloaded(http: httpx.AsyncClient, server: Server) -> None:
    base = await text(http)
    for name in ("first", "second"):
        assert (await load(http, name, server.versions_dir / name)).status_code == 200
    assert (await load(http, "first", server.versions_dir / "first")).status_code == 200, "again is fine"
    models = (await http.get("/v1/models")).json()["data"]
    assert [(model["id"], model["parent"]) for model in models] == [
        ("tiny", None),
        ("first", "tiny"),
        ("second", "tiny"),
    ]
    texts = await asyncio.gather(*(text(http, name) for name in ("tiny", "first", "second")))
    assert texts[0] == base
    assert len(set(texts)) == 3
    for name in ("first", "second"):
        assert (await unload(http, name)).status_code == 200
        gone = await chat(http, name)
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "model_not_found")
        assert (await unload(http, name)).status_code == 404


@pytest.mark.parametrize("swaps", [10, pytest.param(100, marks=pytest.mark.slow)])
async def test_swaps_under_load_fail_no_request(http: httpx.AsyncClient, server: Server, swaps: int) -> None:
    expected = await text(http, max_tokens=40)
    is_over = False

    async def keep_asking() -> set[str]:
        seen = set()
        while not is_over:
            seen.add(await text(http, max_tokens=40))
        return seen

    askers = [asyncio.create_task(keep_asking()) for _ in range(4)]
    for name in itertools.islice(itertools.cycle(("first", "second")), swaps):
        assert (await load(http, name, server.versions_dir / name)).status_code == 200
        body = {"model": name, "messages": MESSAGES, "stream": True} | GREEDY | {"max_tokens": 40}
        async with http.stream("POST", "/v1/chat/completions", json=body) as running:
            assert (await unload(http, name)).status_code == 200
            assert [line async for line in running.aiter_lines() if line][-1] == "data: [DONE]"
    is_over = True
    assert await asyncio.gather(*askers) == [{expected}] * 4


async def test_a_corrupted_version_is_refused_and_the_old_one_serves_on(
    http: httpx.AsyncClient, server: Server, adapter_folders: tuple[Path, Path]
) -> None:
    assert (await load(http, "first", server.versions_dir / "first")).status_code == 200
    before = await text(http, "first")
    corrupted = publish(adapter_folders[1], server.versions_dir, "corrupted")
    weights = bytearray((corrupted / "adapter_model.safetensors").read_bytes())
    weights[-3] ^= 1
    (corrupted / "adapter_model.safetensors").write_bytes(weights)
    refusal = await load(http, "corrupted", corrupted)
    assert refusal.status_code == 400
    assert "is not what was published" in refusal.json()["error"]["message"]
    assert (await chat(http, "corrupted")).status_code == 404
    assert await text(http, "first") == before
    assert (await unload(http, "first")).status_code == 200


async def test_an_adapter_outside_the_versions_folder_is_refused(
    http: httpx.AsyncClient, server: Server, adapter_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    outside = publish(adapter_folders[0], tmp_path, "outside")
    (server.versions_dir / "link").symlink_to(outside)
    climbing = f"{server.versions_dir}/../{'../' * 20}{outside}"
    for path in (outside, server.versions_dir / "link", climbing, "relative", "", "/etc", "a\0b", "a" * 5000, "\ud800"):
        refusal = await load(http, "outside", path)
        assert refusal.status_code == 400
        assert "outside" not in (await http.get("/v1/models")).text


@pytest.mark.parametrize("name", ["tiny", "../x", "Upper", "", "a" * 65])
async def test_a_name_that_no_version_may_have_is_refused(http: httpx.AsyncClient, server: Server, name: str) -> None:
    assert (await load(http, name, server.versions_dir / "first")).status_code == 400


async def test_a_version_without_manifest_is_refused(
    http: httpx.AsyncClient, server: Server, adapter_folders: tuple[Path, Path]
) -> None:
    raw = shutil.copytree(adapter_folders[0], server.versions_dir / "raw")
    refusal = await load(http, "raw", raw)
    assert refusal.status_code == 400
    assert MANIFEST in refusal.json()["error"]["message"]
