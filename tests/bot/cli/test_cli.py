"""The `ovation` command lists its commands without importing what they need."""

import subprocess
import sys

import pytest
from typer.main import get_group
from typer.testing import CliRunner

from bot.cli.__main__ import COMMANDS, app, module_of


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with(name: str) -> None:
    _, says = COMMANDS[name]
    command = get_group(module_of(name).app).commands[name]
    assert command.help and command.help.split("\n\n")[0] == says


def test_a_command_that_is_mistyped_is_answered_with_the_one_that_was_meant() -> None:
    done = CliRunner().invoke(app, ["stat"])
    assert done.exit_code == 2 and "'stats'" in done.output


def test_help_imports_no_command_and_nothing_that_one_needs() -> None:
    code = "import sys; from bot.cli.__main__ import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "stats" in done.stdout
    ours = {name for name in done.stdout.splitlines()[-1].split() if name.split(".")[0] in ("bot", "engine", "storage")}
    assert ours == {"bot", "bot.cli", "bot.cli.__main__"}
