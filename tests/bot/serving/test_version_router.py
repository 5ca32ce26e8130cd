"""The router with an engine elsewhere: it is started otherwise, restarted, or calls the base something else."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from bot.serving.version_router import VersionRouter
from engine.api.client import EngineClient
from storage.db.database import Database
from storage.tables import versions
from tests.support.stored.two_versions import open_with_two_versions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Elsewhere:
    """vLLM at its HTTP border: it has lost everything when `loaded` is cleared."""

    def __init__(self) -> None:
        self.loads_adapters = True
        self.loaded: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            entries = [{"id": "Acme/Tea-1B"}, *({"id": name, "parent": "Acme/Tea-1B"} for name in self.loaded)]
            return httpx.Response(200, json={"data": entries})
        if not self.loads_adapters:
            return httpx.Response(404, json={"detail": "Not Found"})
        body = json.loads(request.content)
        if "lora_path" not in body:
            return httpx.Response(400, json={"error": {"message": "lora_path: a field is missing."}})
        self.loaded.append(Path(body["lora_path"]).name)
        return httpx.Response(200, text="Success")


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """v1 is the champion of tea-1b and v2 its canary."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    opened = await open_with_two_versions(tmp_path, adapter, base="tea-1b", at=NOW)
    await versions.make_canary(opened, "v2", at=NOW + timedelta(days=2))
    yield opened
    await opened.close()


@pytest.fixture
async def vllm() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
async def router(db: Database, vllm: Elsewhere, tmp_path: Path) -> AsyncIterator[VersionRouter]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(vllm)) as http:
        yield VersionRouter(
            db=db, engine=EngineClient("http://vllm", http=http), folder=tmp_path / "versions", canary_share=0.5,
            model="/models/tea-1b",
        )  # fmt: skip


async def test_versions_stay_with_their_base_when_another_server_calls_it_otherwise(
    router: VersionRouter, vllm: Elsewhere
) -> None:
    await router.load_versions()
    assert (router.base, router.champion, router.canary) == ("tea-1b", "v1", "v2")
    assert vllm.loaded == ["v1", "v2"]


async def test_a_server_that_loads_no_adapters_costs_no_version(router: VersionRouter, vllm: Elsewhere) -> None:
    vllm.loads_adapters = False
    await router.load_versions()
    assert (router.champion, router.canary, router.takes_adapters) == ("tea-1b", None, False)
    vllm.loads_adapters = True
    await router.load_versions()
    assert (router.champion, router.canary, router.takes_adapters) == ("v1", "v2", True)


@pytest.mark.parametrize("left", [[], ["v1"], ["v2"]])
async def test_whatever_a_server_has_lost_is_loaded_again(
    router: VersionRouter, vllm: Elsewhere, left: list[str]
) -> None:
    await router.load_versions()
    vllm.loaded = list(left)
    await router.ensure_loaded()
    assert {"v1", "v2"} <= set(vllm.loaded)


async def test_a_canary_has_its_share_of_the_texts_also_where_there_is_one_chat(router: VersionRouter) -> None:
    await router.load_versions()
    versions_of = [router.version_for("0a1b", seed) for seed in range(2000)]
    assert 900 < versions_of.count("v2") < 1100
    assert versions_of == [router.version_for("0a1b", seed) for seed in range(2000)]
