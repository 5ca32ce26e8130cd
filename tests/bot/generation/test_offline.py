"""The writer writes with the version that is asked for, shows only what may be shown, and leaves a server as it was."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.common.errors import Refusal, StartError
from bot.common.http_server import listen, serving
from bot.common.kinds import load_kinds
from bot.common.settings import OfflineSettings
from bot.generation.offline import OfflineRequest, OfflineWriter, Withheld, open_offline_writer
from bot.moderation.text_checks import SafetyCheck
from engine.api.client import EngineClient
from engine.errors import ModelError
from engine.safety.filter import load_filter
from engine.safety.near_copy import CopyIndex
from storage.db.database import Database
from tests.support.stored.two_versions import open_with_two_versions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = OfflineRequest(topic="green tea", kind=load_kinds().by_name["slogan"], seed=3)
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"


class Elsewhere:
    """vLLM at its HTTP border, with these pieces for every text."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces
        self.loaded: list[str] = []
        self.asked: list[dict[str, object]] = []
        self.app = Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST"])])

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        if path == "/v1/models":
            entries = [{"id": "tea-1b"}, *({"id": name, "parent": "tea-1b"} for name in self.loaded)]
            return JSONResponse({"data": entries})
        body = await request.json()
        if path == "/v1/load_lora_adapter":
            self.loaded.append(body["lora_name"])
        elif path == "/v1/unload_lora_adapter":
            self.loaded.remove(body["lora_name"])
        else:
            self.asked.append(body)
            return StreamingResponse(self.events(), media_type="text/event-stream")
        return Response("Success")

    async def events(self) -> AsyncIterator[str]:
        for piece in self.pieces:
            yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]})}\n\n"
        yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]})}\n\n"
        yield "data: [DONE]\n\n"


pytestmark = pytest.mark.usefixtures("no_settings")


async def written(
    *pieces: str, request: OfflineRequest = REQUEST, others: tuple[CopyIndex, ...] = ()
) -> tuple[str, list[str]]:
    """What is written, and what was shown of it piece by piece."""
    shown: list[str] = []
    transport = httpx.ASGITransport(Elsewhere(*pieces).app)
    async with httpx.AsyncClient(transport=transport) as http:
        writer = OfflineWriter(
            EngineClient("http://vllm", http=http), "tea-1b", SafetyCheck(words=load_filter()), others
        )
        try:
            return (await writer.write(request, shown.append)).text, shown
        except Withheld as error:
            return str(error), shown


async def test_a_text_is_shown_as_it_grows_and_without_what_a_terminal_would_obey() -> None:
    text, shown = await written("\n Tea,", " \x1b[31mand", " quiet.", "\n")
    assert text == "".join(shown) == "Tea, [31mand quiet."
    assert shown == ["Tea,", " [31mand", " quiet."]


async def test_an_unfit_word_is_never_shown_and_its_text_is_withheld(tmp_path: Path) -> None:
    told, shown = await written("Tea is for", " every", " fucking", " morning.")
    assert told.startswith("This text is withheld (") and "--seed" in told
    assert "".join(shown) == "Tea is for every"


async def test_personal_data_is_withheld_unless_the_topic_told_it() -> None:
    told, _ = await written("Call ada@example.com now.")
    assert "personal_email" in told
    request = OfflineRequest(topic="write to ada@example.com", kind=REQUEST.kind, seed=3)
    assert (await written("Call ada@example.com now.", request=request))[0] == "Call ada@example.com now."


async def test_a_copy_of_what_others_wrote_is_withheld() -> None:
    others = CopyIndex()
    others.add(LONG, "ada")
    assert "copies" in (await written(LONG, others=(CopyIndex(), others)))[0]
    assert (await written(LONG))[0] == LONG


async def test_an_unfit_topic_and_an_empty_text_are_refused() -> None:
    with pytest.raises(Refusal, match="prompt-unsafe"):
        await written("Tea.", request=OfflineRequest(topic="fucking tea", kind=REQUEST.kind, seed=3))
    with pytest.raises(ModelError, match="wrote nothing"):
        await written(" \n")


@pytest.fixture
async def two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """v1 is the champion of tea-1b, v2 waits; as a bot has left them in DATA_DIR."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_text(bytes(range(32)).hex())
    (tmp_path / "key").chmod(0o600)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    opened = await open_with_two_versions(tmp_path, adapter, base="tea-1b", at=NOW)
    yield opened
    await opened.close()


async def version_with(server: Elsewhere, wanted: str | None = None) -> tuple[str, list[str]]:
    """The version that writes, and what the server has loaded meanwhile."""
    with listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = OfflineSettings(engine_url=url, model="tea-1b")
        async with serving(server.app, listener), open_offline_writer(settings, wanted) as writer:
            await writer.write(REQUEST)
            return writer.version, list(server.loaded)


async def test_the_champion_writes_or_the_version_that_is_wanted_and_the_server_is_left_as_it_was(
    two_versions: Database,
) -> None:
    server = Elsewhere("Tea.")
    assert await version_with(server) == ("v1", ["v1"])
    assert await version_with(server, "v2") == ("v2", ["v2"])
    assert await version_with(server, "tea-1b") == ("tea-1b", [])
    assert server.loaded == [] and [asked["model"] for asked in server.asked] == ["v1", "v2", "tea-1b"]
    server.loaded = ["v1"]
    assert await version_with(server) == ("v1", ["v1"])
    assert server.loaded == ["v1"], "what serves others goes on serving"


async def test_a_version_that_cannot_write_is_told_what_to_do(two_versions: Database, tmp_path: Path) -> None:
    server = Elsewhere("Tea.")
    with pytest.raises(StartError, match="There is no version 'v9' of tea-1b: `ovation models`"):
        await version_with(server, "v9")
    (tmp_path / "versions" / "v2" / "adapter_model.safetensors").write_bytes(b"other weights")
    with pytest.raises(StartError, match="ovation doctor"):
        await version_with(server, "v2")
    await two_versions.write(
        lambda c: c.execute("UPDATE versions SET destroyed_at = ? WHERE name = 'v2'", (NOW.isoformat(),))
    )
    with pytest.raises(StartError, match="erased or banned"):
        await version_with(server, "v2")
    assert server.loaded == [] and server.asked == []
