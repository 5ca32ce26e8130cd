"""The web chat's HTTP and WebSocket, without a browser: what people can do and what a stranger cannot."""

import json

import httpx
import pytest
import websockets

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Attachment
from tests.bot.sandbox.test_sandbox import bot_sends


@pytest.fixture
async def sandbox():
    async with Sandbox(admin_id=42, room="Tea house") as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox):
    async with httpx.AsyncClient(verify=False, base_url=sandbox.url) as client:
        yield client


async def enter(client, name="Ada", **wish):
    answer = await client.post("/api/people", json={"name": name, "language": "en", **wish})
    return answer.json()["person"], {"Authorization": f"Bearer {answer.json()['key']}"}


async def test_the_page_loads_nothing_from_elsewhere_and_runs_no_inline_script(client):
    page = await client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "style=" not in page.text
    assert "http" not in page.text.replace("http-equiv", "")
    for name in ("style.css", "panel.css", "app.js", "words.js", "icon.svg"):
        assert (await client.get(f"/{name}")).status_code == 200


async def test_who_enters_is_in_a_private_chat_and_in_the_room(sandbox, client):
    person, _ = await enter(client, "Ada")
    ada = sandbox.world.people[0]
    assert (person["name"], ada.name) == ("Ada", "Ada")
    assert [chat.title for chat in sandbox.world.chats_of(ada)] == ["Tea house", "Ada"]


async def test_a_reloaded_tab_is_the_same_person_and_another_tab_another(sandbox, client):
    first, headers = await enter(client, "Ada")
    again, _ = await enter(client, "Ada", language="zh", key=headers["Authorization"].removeprefix("Bearer "))
    other, _ = await enter(client, "Ada")
    assert (again["id"], again["language"]) == (first["id"], "zh")
    assert other["id"] != first["id"]


async def test_the_admin_acts_under_the_configured_id(sandbox, client):
    admin, _ = await enter(client, "Boss", admin=True)
    assert admin["id"] == 42
    assert (await client.get("/api/about")).json() == {"canBeAdmin": True}


async def test_without_an_admin_id_nobody_becomes_admin():
    async with Sandbox() as sandbox, httpx.AsyncClient(verify=False, base_url=sandbox.url) as client:
        answer = await client.post("/api/people", json={"name": "Boss", "admin": True})
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "This sandbox has no admin; start it with ADMIN_IDS set.",
    )


async def test_people_write_react_and_press(sandbox, client):
    world, room = sandbox.world, sandbox.room
    person, headers = await enter(client)
    said = await client.post("/api/say", json={"chat": room.id, "text": "/slogan tea"}, headers=headers)
    text = await bot_sends(world, room, "Tea!", ("👍", "up:1"))
    target = {"chat": room.id, "message": text.id}
    reacted = await client.post("/api/react", json={**target, "emojis": ["❤️"]}, headers=headers)
    missing = await client.post("/api/press", json={**target, "data": "down:1"}, headers=headers)
    assert world.message(room, said.json()["message"]).sender.id == person["id"]
    assert reacted.json()["reactions"] == [{"emoji": "❤", "count": 1, "mine": True}]
    assert missing.json()["error"] == f"Message {text.id} has no button 'down:1'; it may have been edited away."


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Authorization": "Bearer guessed"}, 401), ({}, 401), ({"Origin": "http://evil.example"}, 403)],
)
async def test_strangers_and_other_sites_can_do_nothing(sandbox, client, headers, status):
    _, own = await enter(client)
    answer = await client.post(
        "/api/say",
        json={"chat": sandbox.room.id, "text": "x"},
        headers={**own, **headers} if status == 403 else headers,
    )
    assert answer.status_code == status


async def test_a_name_that_resolves_to_this_machine_is_not_served(client):
    assert (await client.get("/", headers={"Host": "rebound.example"})).status_code == 400


async def test_a_form_of_another_site_is_refused(client):
    answer = await client.post("/api/people", data={"name": "Ada"})
    assert answer.json() == {"error": "Requests come as application/json."}


async def test_the_line_opens_with_a_snapshot_and_tells_only_what_concerns_the_person(sandbox, client):
    world = sandbox.world
    person, headers = await enter(client)
    key = headers["Authorization"].removeprefix("Bearer ")
    async with websockets.connect(f"{sandbox.url.replace('http', 'ws')}/api/live?key={key}", proxy=None) as line:
        snapshot = json.loads(await line.recv())
        secret = world.add_group("Somewhere else")
        ben = world.add_person("Ben")
        world.join(ben, secret)
        world.say(ben, secret, "not for Ada")
        sandbox.publish_panel({"version": "v2"})
        world.join(ben, sandbox.room)
        world.say(ben, sandbox.room, "good morning")
        events = [json.loads(await line.recv()) for _ in range(3)]
    assert (snapshot["type"], snapshot["me"]["id"], len(snapshot["reactions"])) == ("snapshot", person["id"], 73)
    assert [chat["title"] for chat in snapshot["chats"]] == ["Tea house", "Ovation"]
    kinds = [event["type"] for event in events]
    assert kinds == ["panel", "chat", "message"], kinds
    assert events[0]["panel"] == {"version": "v2"}
    assert events[2]["message"]["service"] == {"kind": "new_chat_members", "name": "Ben"}


async def test_the_line_is_closed_to_unknown_keys_and_other_origins(sandbox, client):
    _, headers = await enter(client)
    key = headers["Authorization"].removeprefix("Bearer ")
    address = f"{sandbox.url.replace('http', 'ws')}/api/live?key="
    for attempt in ({"uri": address + "guessed"}, {"uri": address + key, "origin": "http://evil.example"}):
        with pytest.raises(websockets.InvalidStatus):
            async with websockets.connect(**attempt, proxy=None):
                pass


async def test_a_document_is_never_shown_as_a_page(sandbox, client):
    attachment = Attachment("document", "file1", "x.html", "text/html", 8)
    sandbox.world.state.files["file1"] = (attachment, b"<script>")
    answer = await client.get("/api/files/file1")
    assert (answer.headers["Content-Type"], answer.headers["Content-Disposition"]) == (
        "application/octet-stream",
        "attachment",
    )


async def test_no_other_page_enters_reads_or_listens(sandbox, client):
    foreign = [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Host": "rebound.example"},
    ]
    for headers in foreign:
        assert (await client.post("/api/people", json={"name": "Ada"}, headers=headers)).status_code in (400, 403)
        assert (await client.get("/api/about", headers=headers)).status_code in (400, 403)
    assert sandbox.world.people == ()


async def test_a_tunnel_or_a_forwarded_port_leads_to_the_page(client):
    """`ssh -L 9000:127.0.0.1:8080`, and the like: the browser asks by another port, and perhaps another name."""
    for host in ("localhost:9000", "127.0.0.1:9000", "[::1]:9000"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert (await client.get("/", headers={"Host": host, "Sec-Fetch-Site": "none"})).status_code == 200
        assert (await client.post("/api/people", json={"name": "Ada"}, headers=headers)).status_code == 200


ODD_BODIES = {
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 500 + b"1" + b"}" * 500,
    "deep and whole": b'{"name": ' + b"[" * 900 + b"]" * 900 + b"}",
    "half a character": rb'{"name": "\ud83d", "text": "\ud83d"}',
    "not UTF-8": b'{"name": "\xff"}',
    "not a number": b'{"name": "Ada", "chat": NaN}',
    "too long": b'{"name": "' + b"x" * 200_000 + b'"}',
    "digits": b'{"chat": ' + b"1" * 5000 + b"}",
    "no object": b"[1]",
    "nothing": b"",
}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=list(ODD_BODIES))
async def test_odd_bodies_are_refused_with_a_sentence(client, body):
    _, own = await enter(client)
    for verb in ("people", "say", "react", "press"):
        answer = await client.post(f"/api/{verb}", content=body, headers={**own, "Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"].split()[0]) == (400, "Requests")


async def test_the_line_ignores_what_a_page_says_and_closes_what_is_too_much(sandbox, client):
    _, headers = await enter(client)
    key = headers["Authorization"].removeprefix("Bearer ")
    address = f"{sandbox.url.replace('http', 'ws')}/api/live?key={key}"
    async with websockets.connect(address, proxy=None) as line:
        assert json.loads(await line.recv())["type"] == "snapshot"
        for words in ("[" * 50_000, b"\xff\x00", "", "hello"):
            await line.send(words)
        sandbox.publish_panel({"version": "v2"})
        assert json.loads(await line.recv())["type"] == "panel"
        await line.send("x" * 100_000)
        with pytest.raises(websockets.ConnectionClosed):
            await line.recv()
