"""`ovation demo` plays its nights without a terminal, prints what happened, draws the chart, and ends."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.settings import child_environment


@pytest.mark.timeout(900)
async def test_the_demo_plays_a_night_and_ends_with_a_chart(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", "demo", "--audience", "6", "--nights", "1", "--port", "0",
        "--taste", "brief", "--silence", "0.2", "--train-minutes", "0.5",
        cwd=tmp_path, env=child_environment({}), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(child.communicate(), 880)
    said = printed.decode()
    assert child.returncode == 0
    assert re.search(r"http://127\.0\.0\.1:\d+", said)
    assert re.search(r"Evening 1\W+starter\W+\d+\W+\d+%\W+\d+%\W+\d+%", said)
    assert "the hidden taste was “brief”" in said
    assert re.search(r"(promoted|rejected)\.", said)
    assert (tmp_path / "satisfaction.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_taste_is_answered_with_the_list() -> None:
    result = CliRunner().invoke(app, ["demo", "--audience", "6", "--taste", "sour"])
    assert result.exit_code == 2
    assert "There is no taste “sour”: choose one of lively, calm" in result.output
