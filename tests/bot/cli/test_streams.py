"""The commands print into whatever they are given: any encoding, a full disk, a pipe that nobody reads, nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.cli.__main__ import _escape
from bot.cli.write import _request
from bot.common.settings import OfflineSettings, child_environment

KIND = """
[slogan]
emoji = "🌸"
max_tokens = 20
description = { en = "A slogan", zh = "口号" }
request = { en = "{topic}", zh = "{topic}" }
"""


def ovation(*arguments: str, streams: str = "", folder: Path, **environment: str) -> tuple[int, str, str]:
    """Run a command through a shell, which joins it to its `streams`; status and what it printed and said."""
    line = f'"$0" -m bot.cli "$@" {streams}'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}", sys.executable, *arguments], cwd=folder, check=False,
        capture_output=True, env=child_environment({"MODEL": "starter"}) | environment,
    )  # fmt: skip
    said = done.stderr.decode("latin-1")
    assert "Traceback" not in said and "Exception ignored" not in said, said
    return done.returncode, done.stdout.decode("latin-1"), said


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_what_an_encoding_lacks_is_escaped(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "绿茶😀.toml"
    file.write_text(KIND, encoding="utf-8")
    status, printed, _ = ovation("kinds", "check", file.name, folder=tmp_path, PYTHONIOENCODING=encoding)
    name = file.name if encoding == "utf-16" else r"\u7eff\u8336\ud83d\ude00.toml"
    words = printed.encode("latin-1").decode(encoding)
    assert (status, words) == (0, f"{name} is right: /slogan. Plain text is for /slogan.\n")
    status, _, said = ovation("kinds", "check", "无.toml", folder=tmp_path, PYTHONIOENCODING=encoding)
    assert status == 1 and "cannot be read" in said.encode("latin-1").decode(encoding)


@pytest.mark.parametrize("locale", [{"LANG": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}])
def test_any_locale_will_do(tmp_path: Path, locale: dict[str, str]) -> None:
    (tmp_path / "绿.toml").write_text(KIND, encoding="utf-8")
    assert ovation("kinds", "check", "绿.toml", folder=tmp_path, **locale)[0] == 0
    assert ovation("doctor", "--json", folder=tmp_path, **locale)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "streams", "status"),
    [
        (("--help",), ">&-", 0),
        (("doctor",), ">&-", 2),
        (("doctor", "--json"), "<&- >&- 2>&-", 2),
        (("--help",), "> /dev/full", 1),
        (("kinds", "check"), "> /dev/full", 1),
        (("stats", "--json"), "2> /dev/full", 1),
        (("--help",), "| true", 1),
        (("doctor", "--json"), "| true", 1),
        (("kinds", "check"), "| head -1", 0),
    ],
)
def test_streams_that_are_closed_full_or_unread_end_no_command_in_a_traceback(
    tmp_path: Path, arguments: tuple[str, ...], streams: str, status: int
) -> None:
    found, _, said = ovation(*arguments, streams=streams, folder=tmp_path)
    if streams == "| true":  # which may end before anything is written, or after
        assert found in (status, 0, 2) and said == ""
        return
    assert found == status, said
    if "> /dev/full" in streams and "2>" not in streams:
        assert said.startswith(("The output cannot be written: No space", "No space left on device"))


def test_a_help_is_framed_by_what_its_encoding_has(tmp_path: Path) -> None:
    status, printed, _ = ovation("generate", "--help", folder=tmp_path, PYTHONIOENCODING="ascii")
    assert status == 0 and printed.isascii() and "Usage" in printed


@pytest.mark.parametrize(
    ("given", "read"), [(b"\xe7\xbb\xbf\xe8\x8c\xb6", "绿茶"), (b"tea\xff", "tea"), (b"t\xc3\xa9", "té")]
)
@pytest.mark.usefixtures("no_settings")
def test_a_topic_is_read_as_utf_8_whatever_the_locale(given: bytes, read: str) -> None:
    asked = _request(OfflineSettings(model="starter"), given.decode("ascii", "surrogateescape"), "slogan")
    assert asked.topic == read


def test_an_object_of_json_stays_what_it_was() -> None:
    words = {"text": "绿茶 😀 é \udcff"}
    for encoding in ("ascii", "latin-1", "cp1252", "utf-8"):
        error = UnicodeEncodeError(encoding, json.dumps(words, ensure_ascii=False), 10, 15, "no")
        assert json.loads(f'"{_escape(error)[0]}"') == error.object[10:15]


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    status, _, said = ovation("kinds", "check", os.fsdecode(b"\xff\xfe.toml"), folder=tmp_path)
    assert status == 1 and said.startswith("\\udcff\\udcfe.toml cannot be read")
