"""Nothing that Ovation writes can be read by other users of the machine, whatever the umask and the folder were."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scene import ADMIN_ID, BotProcess, Scene


@pytest.fixture
def open_umask() -> Iterator[None]:
    """As of a service manager or a container that sets none."""
    old = os.umask(0)
    yield
    os.umask(old)


def readable_by_others(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if path.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]


async def test_what_the_bot_and_the_commands_write_is_private_under_any_umask(
    bot: BotProcess, scene: Scene, open_umask: None
) -> None:
    data = bot.folder / "data"
    for folder in (data, data / "backups", data / "versions", data / "runs" / "00001"):
        folder.mkdir(parents=True)
    (data / "lock").touch()
    (data / "runs" / "00001" / "report.json").write_text("{}")
    (data / "notes-of-somebody").touch()
    bot._program = ("-m", "bot")
    await bot.start()
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan green tea")
    root, private = scene.person("Root", person_id=ADMIN_ID)
    await scene.say(root, private, "/backup")
    assert readable_by_others(data) == [str(data / "notes-of-somebody")], "beside the running bot, its log among them"
    assert "could read" in bot.log
    assert await bot.stop() == 0
    await asyncio.gather(bot.ovation("backup"), bot.ovation("report", "--output", str(bot.folder / "page.html")))
    await bot.ovation("keys", "rotate")
    assert readable_by_others(data) == [str(data / "notes-of-somebody")]
    assert not (bot.folder / "page.html").stat().st_mode & 0o077
    assert not (bot.folder / "data.key").stat().st_mode & 0o077


@pytest.mark.parametrize(
    "module", ["engine.serve", "engine.convert", pytest.param("engine.train", marks=pytest.mark.slow)]
)
def test_every_program_sets_its_umask_first(module: str, open_umask: None) -> None:
    """Before it reads what it was told, so also where that is wrong."""
    program = (
        f"import os, sys\nfrom {module} import main\nsys.argv = ['it']\n"
        "try:\n    main(['--no-such-option'])\nexcept SystemExit:\n    pass\nprint(oct(os.umask(0)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout.split()[-1] == "0o77"
