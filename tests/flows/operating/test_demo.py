"""`ovation demo` plays its nights without a terminal, prints what happened, draws the chart, and ends.

Meanwhile whoever has its page open sees the loop go round.
"""

import asyncio
import contextlib
import json
import re
import sys
from pathlib import Path

import httpx
import psutil
import pytest
import websockets
from typer.testing import CliRunner

from bot.cli.__main__ import app
from bot.common.settings import child_environment


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_demo_plays_a_night_and_ends_with_a_chart(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", "demo", "--audience", "6", "--nights", "1", "--port", "0",
        "--taste", "brief", "--silence", "0.2", "--train-steps", "2",
        cwd=tmp_path, env=child_environment({}), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    opening = (await child.stdout.readline()).decode()
    address = re.search(r"http://127\.0\.0\.1:\d+", opening)
    assert address, opening
    watching = asyncio.create_task(panels_of(address[0]))
    printed, _ = await child.communicate()
    panels = await watching
    said = printed.decode()
    assert child.returncode == 0
    assert re.search(
        r"Evening 1: \d+ texts, \d+% liked \(version starter\)\nNight 1: the bot learns …\nNight 1: \S+ Run 1: ", said
    )
    assert re.search(r"Evening 1\W+starter\W+\d+\W+\d+%\W+\d+%\W+\d+%", said)
    assert "the hidden taste was “brief”" in said
    assert re.search(r"(promoted|rejected)\.", said)
    assert (tmp_path / "satisfaction.png").read_bytes().startswith(b"\x89PNG")

    assert len({panel["ratings"] for panel in panels}) > 3, "ratings are seen coming in"
    assert len({panel["run"]["share"] for panel in panels if panel["run"]}) > 3, "the run is seen going on"
    last = panels[-1]
    assert last["versions"][0]["name"] == "starter"
    assert 0 < last["versions"][0]["share"] < 1
    assert len(last["newest"]) == 5
    assert "Run 1:" in last["verdict"]["en"]


async def panels_of(address: str) -> list[dict]:
    """What the side panel shows, from now until the demo ends."""
    async with httpx.AsyncClient(base_url=address) as client:
        entered = (await client.post("/api/people", json={"name": "Ada", "language": "en"})).json()
    panels = []
    line = websockets.connect(f"{address.replace('http', 'ws')}/api/live?key={entered['key']}", proxy=None)
    with contextlib.suppress(websockets.ConnectionClosed):
        async with line as events:
            async for event in events:
                panels.append(json.loads(event).get("panel"))  # noqa: PERF401 - what came before the end counts
    return [panel for panel in panels if panel]


@pytest.mark.timeout(900)
async def test_a_demo_whose_bot_ends_shows_what_there_was_and_keeps_the_data(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", "demo", "--audience", "4", "--nights", "1", "--port", "0",
        cwd=tmp_path, env=child_environment({"TMPDIR": str(tmp_path)}),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said = ""
    while "Night 1" not in said:
        said += (await child.stdout.readline()).decode()
    (bot,) = psutil.Process(child.pid).children()
    bot.kill()
    printed, complaint = (part.decode() for part in await child.communicate())
    assert child.returncode == 1
    assert re.search(r"Evening 1\W+starter\W+\d+\W+\d+%", printed)
    assert complaint.startswith("The bot ended with status -9") and complaint.count("\n") == 1
    kept = re.search(r"DATA_DIR=(\S+) ovation stats", complaint)
    assert kept and (Path(kept[1]) / "ovation.db").exists()
    assert not (tmp_path / "satisfaction.png").exists()


async def test_without_an_audience_it_stays_until_it_is_told_to_end_and_says_where_its_data_is(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", "demo", "--port", "0", "--model", "starter",
        cwd=tmp_path, env=child_environment({}), stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    lines = [(await child.stdout.readline()).decode() for _ in range(3)]
    data = re.search(r"DATA_DIR=(\S+) ovation stats", lines[2])
    assert data, lines
    stats = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", "stats", "--json", env=child_environment({"DATA_DIR": data[1]}),
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await stats.communicate()
    assert stats.returncode == 0 and json.loads(printed)["versions"] == []
    assert child.returncode is None, "it is there for whoever opens its page"
    child.terminate()
    assert await child.wait() == 0


def test_an_unknown_taste_is_answered_with_the_list() -> None:
    result = CliRunner().invoke(app, ["demo", "--audience", "6", "--taste", "sour"])
    assert result.exit_code == 2
    assert "There is no taste “sour”: choose one of lively, calm" in result.output
