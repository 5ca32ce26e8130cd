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
from bot.generation.finishing import Finished
from bot.generation.offline import OfflineRequest, OfflineWriter, Withheld, open_offline_writer
from bot.moderation.text_checks import SafetyCheck
from engine.api.client import EngineClient
from engine.api.types import Reply
from engine.errors import ModelError
from engine.safety.filter import load_filter
from engine.safety.near_copy import CopyIndex
from storage.db.database import Database
from tests.support.fake_engine import FakeEngine
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


async def written(*pieces: str, request: OfflineRequest = REQUEST, others: tuple[CopyIndex, ...] = ()) -> str:
    """What is written, or why it is withheld."""
    transport = httpx.ASGITransport(Elsewhere(*pieces).app)
    async with httpx.AsyncClient(transport=transport) as http:
        writer = OfflineWriter(
            EngineClient("http://vllm", http=http), "tea-1b", SafetyCheck(words=load_filter()), others
        )
        try:
            return (await writer.write(request)).text
        except Withheld as error:
            return str(error)


async def test_a_text_comes_without_what_a_terminal_would_obey() -> None:
    assert await written("\n Tea,", " \x1b[31mand", " quiet.", "\n") == "Tea, [31mand quiet."


async def test_a_text_with_an_unfit_word_is_withheld() -> None:
    told = await written("Tea is for", " every", " fucking", " morning.")
    assert told.startswith("This text is withheld (") and "--seed" in told


async def test_the_best_of_a_few_texts_is_chosen_and_where_all_are_faulty_they_are_written_again(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the client's own way to a server that knows no `n`: its first answer was one text."""
    qualities = {"bad": 0.0, "fair": 1.0, "good": 2.0, "broken": 9.0}

    def judge(reply: Reply, **_: object) -> list[Finished]:
        words = [each.text.split()[0] for each in reply.texts]
        return [Finished(word, ("loop",) * (word == "broken"), qualities[word]) for word in words]

    monkeypatch.setattr("bot.generation.offline.finish_all", judge)
    fake_engine.severals = "written"
    async with httpx.AsyncClient() as http:
        client = EngineClient(fake_engine.url, http=http)
        writer = OfflineWriter(client, "starter", SafetyCheck(words=load_filter()), texts=4)
        fake_engine.writes = lambda body, _: ("bad", "fair", "broken", "good")[body["index"]]
        assert (await writer.write(REQUEST)).text == "good"
        assert fake_engine.asked[-1]["n"] == 4 and len(fake_engine.asked) == 1
        fake_engine.writes = lambda _, number: "broken" if number == 2 else "fair"
        assert (await writer.write(REQUEST)).text == "fair"
        seeds = [body["seed"] for body in fake_engine.asked]
        assert len(seeds) == 3 and seeds[1] != seeds[2]
        fake_engine.writes = lambda *_: "broken"
        assert (await writer.write(REQUEST)).text == "broken", "better than none"


async def test_personal_data_is_withheld_unless_the_topic_told_it() -> None:
    told = await written("Call ada@example.com now.")
    assert "personal_email" in told
    request = OfflineRequest(topic="write to ada@example.com", kind=REQUEST.kind, seed=3)
    assert await written("Call ada@example.com now.", request=request) == "Call ada@example.com now."


async def test_a_copy_of_what_others_wrote_is_withheld() -> None:
    others = CopyIndex()
    others.add(LONG, "ada")
    assert "copies" in await written(LONG, others=(CopyIndex(), others))
    assert await written(LONG) == LONG


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
