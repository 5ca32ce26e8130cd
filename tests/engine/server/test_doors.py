"""Who may call a server on this machine: no page of another site, nobody without the key, no bystander."""

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from engine.server.app import guarded

KEY = "key-of-the-test"
JSON = {"Content-Type": "application/json"}
WITH_KEY = {"Authorization": f"Bearer {KEY}"}
OURS = "http://127.0.0.1:8001"


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body."""
    body = await Request(scope, receive).body()
    await JSONResponse(len(body))(scope, receive, send)


def client(key: str | None = KEY, base_url: str = OURS) -> httpx.AsyncClient:
    app = guarded(behind, hosts={"box"}, key=key)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)


def says_so(answer: httpx.Response, status: int) -> bool:
    """Whether an answer is the refusal with that status, as OpenAI's error object."""
    error = answer.json()["error"]
    return answer.status_code == status and error["type"] == "invalid_request_error" and bool(error["message"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8001", "localhost:8001", "LOCALHOST", "[::1]:8001", "10.0.0.5:80",
             "box:8001", "BOX", "localhost.:8001"],
)  # fmt: skip
async def test_names_of_this_machine_are_answered(host: str) -> None:
    async with client() as http:
        assert (await http.get("/v1/models", headers={"Host": host, **WITH_KEY})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8001", "127.0.0.1.evil.example", "localhost.evil.example", "boxes",
             "notlocalhost", "[", "a@evil.example", "evil.example@x", "0x7f000001.evil"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_name_that_a_page_lets_point_here_is_not(host: str, method: str) -> None:
    async with client() as http:
        for path in ("/health", "/v1/models"):
            answer = await http.request(method, path, headers={"Host": host, **JSON, **WITH_KEY})
            assert says_so(answer, 400)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:9000"}, {"Origin": ""},
        {"Origin": "http://localhost:8001"}, {"Origin": "file://"}, {"Origin": "chrome-extension://abc"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "x"},
        {"Sec-Fetch-Site": "cross-site", "Origin": OURS},
    ],
)  # fmt: skip
async def test_a_page_of_another_site_is_refused_even_with_the_key(headers: dict[str, str]) -> None:
    async with client() as http:
        for path in ("/health", "/v1/models"):
            assert says_so(await http.get(path, headers=headers | WITH_KEY), 403)
            assert says_so(await http.post(path, headers=headers | WITH_KEY | JSON), 403)


async def test_a_page_of_our_own_and_an_address_that_somebody_typed_are_let_in() -> None:
    async with client() as http:
        for headers in ({"Origin": OURS, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
            assert (await http.post("/v1/x", headers=headers | WITH_KEY | JSON)).status_code == 200


async def test_a_preflight_is_granted_nothing() -> None:
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with client() as http:
        answer = await http.options("/v1/x", headers=asking)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "given", [None, "", KEY, f"Bearer {KEY}x", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY[:-1]}", "Bearer é"],
)  # fmt: skip
async def test_without_the_key_nobody_gets_further_than_health(given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    async with client() as http:
        refused = await http.post("/v1/x", headers=headers | JSON)
        assert says_so(refused, 401) and refused.headers["WWW-Authenticate"] == "Bearer"
        assert (await http.get("/health", headers=headers)).status_code == 200
        assert (await http.get("/health/", headers=headers)).status_code == 401


async def test_where_there_is_no_key_any_is_taken() -> None:
    async with client(None) as http:
        for headers in ({}, WITH_KEY):
            assert (await http.post("/v1/x", headers=headers | JSON)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "is_json"),
    [
        (None, False), ("text/plain", False), ("application/x-www-form-urlencoded", False), ("text/json", False),
        ("multipart/form-data; boundary=x", False), ("text/plain; x=application/json", False), ("", False),
        ("application/json", True), ("application/json; charset=utf-8", True), ("Application/JSON ;x", True),
    ],
)  # fmt: skip
async def test_what_a_form_can_send_is_not_read(kind: str | None, is_json: bool) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    async with client(None) as http:
        answer = await http.post("/v1/x", content=b"{}", headers=headers)
    assert answer.status_code == (200 if is_json else 415)
