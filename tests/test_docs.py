"""What the documents name exists: files and headings, settings, commands, tests, metrics, and the reasons of runs."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from bot.cli.__main__ import app
from bot.common.kinds import TAKEN, load_kinds
from bot.common.metrics import BotMetrics
from bot.common.settings import Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("engine/starter/*.md")])
COMPARE = ROOT / "docs" / "compare.md"

OTHERS_VARIABLES = frozenset(
    "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY HF_HOME HF_HUB_OFFLINE HF_TOKEN"
    " OMP_NUM_THREADS OMP_WAIT_POLICY CUDA_VISIBLE_DEVICES RUN_DIR"
    " VLLM_ALLOW_RUNTIME_LORA_UPDATING VLLM_CPU_KVCACHE_SPACE TORCH_INDEX_URL".split()
)
OTHERS_COMMANDS = frozenset(
    "live ready metrics newbot setjoingroups setprivacy setinline setinlinefeedback revoke limerick".split()
)
"""Paths of the bot's own HTTP server, BotFather's commands, and the worked example of docs/kinds.md."""
PEERS_COMMANDS = frozenset("chat resend retry reset stop info new restart status pairing".split())

HISTORY = frozenset({"CHANGELOG.md", "lab-notes.md"})

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def code_in(text: str) -> list[str]:
    """Everything that stands as code: blocks line by line, and spans."""
    blocks = [line for block in FENCE.findall(text) for line in block.splitlines()[1:-1]]
    return blocks + spans_in(text)


def spans_in(text: str) -> list[str]:
    return SPAN.findall(FENCE.sub("", text))


def anchors_in(text: str) -> set[str]:
    """The anchors that GitHub gives headings."""
    plain = (re.sub(r"[`*]|\]\([^)]*\)|\[", "", title) for title in HEADING.findall(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in plain}


def broken_links(text: str, folder: Path) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", text)):
        path, _, anchor = target.partition("#")
        file = folder / path
        is_elsewhere = re.match(r"[a-z]+:", target) is not None
        if not is_elsewhere and not (
            file.exists() and (not anchor or anchor in anchors_in(read(file) if path else text))
        ):
            yield target


def unknown_settings(text: str) -> Iterator[str]:
    known = {name.upper() for name in Settings.model_fields} | OTHERS_VARIABLES
    for code in code_in(text):
        names = re.findall(r"(?<![\w/$.<-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", code)
        names += re.findall(r"^#?([A-Z][A-Z_]+)=", code)
        yield from (name for name in names if name not in known)


def unknown_commands(text: str) -> Iterator[str]:
    """Subcommands and options of `ovation` that there are not."""
    for code in code_in(text):
        for words in re.findall(r"(?<![\w-])ovation((?: [a-z{-][\w,{}-]*)+)", code):
            present = typer.main.get_command(app)
            for word in words.split():
                context = typer.Context(present, resilient_parsing=True)
                if word.startswith("-"):
                    if word not in {name for part in present.get_params(context) for name in part.opts}:
                        yield f"{present.name} {word}"
                elif isinstance(present, TyperGroup):
                    _, command, _ = present.resolve_command(context, [word])
                    if command is None:
                        yield f"ovation {word}"
                        break
                    present = command


def unknown_chat_commands(text: str, others: frozenset[str]) -> Iterator[str]:
    known = TAKEN | load_kinds().by_name.keys() | others
    for code in spans_in(text):
        if "://" not in code:
            yield from (name for name in re.findall(r"(?<![\w/.~])/([a-z_]+)(?![\w/.-])", code) if name not in known)


def unknown_tests(text: str) -> Iterator[str]:
    for path, name in NAMED_TEST.findall(text):
        file = ROOT / path
        if not file.exists() or (name and f"def {name}(" not in file.read_text(encoding="utf-8")):
            yield f"{path}::{name}"


def unknown_paths(text: str) -> Iterator[str]:
    """Files and folders of ours that there are not; a decision of the past may name what has gone since."""
    for code in spans_in(text):
        for path in re.findall(r"(?<![\w/.<-])(?:bot|engine|recipes|storage|benchmarks)/[\w/.-]*\w", code):
            if not (ROOT / path).exists():
                yield path


def unheld_claims(text: str) -> Iterator[str]:
    """Rows of the comparison in which we say yes without a test."""
    for row in text.splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) == 7 and "**yes**" in cells[5] and not NAMED_TEST.search(cells[6]):
            yield cells[0]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(path: Path) -> None:
    text = read(path)
    others = OTHERS_COMMANDS | (PEERS_COMMANDS if path == COMPARE else frozenset())
    faults: Mapping[str, list[str]] = {
        "links": list(broken_links(text, path.parent)),
        "settings": list(unknown_settings(text)),
        "commands": list(unknown_commands(text)),
        "chat commands": list(unknown_chat_commands(text, others)),
        "tests": list(unknown_tests(text)),
        "paths": [] if "decisions" in path.parts or path.name in HISTORY else list(unknown_paths(text)),
        "metrics": sorted(set(re.findall(r"`(ovation_\w+)`", text)) - metrics()),
    }
    assert {what: found for what, found in faults.items() if found} == {}


def metrics() -> set[str]:
    return set(re.findall(r"^(?:# TYPE )?(ovation_\w+)", BotMetrics().text().decode(), re.MULTILINE))


def test_every_yes_of_the_comparison_is_held_by_a_test() -> None:
    text = read(COMPARE)
    assert list(unheld_claims(text)) == []
    assert text.count("**yes**") > 30


def test_every_reason_for_which_a_run_may_end_is_explained_and_no_other() -> None:
    codes = set(re.findall(r"^reason-(\w+) =", read(ROOT / "bot" / "locales" / "en.ftl"), re.MULTILINE))
    section = read(ROOT / "docs" / "troubleshoot.md").partition("## How a run ended")[2].partition("\n## ")[0]
    explained = {name for line in section.splitlines() for name in named_first(line)}
    assert explained == codes


def named_first(line: str) -> list[str]:
    """The codes in the first cell of a row; in the line that explains what is no fault, all of them."""
    if line.startswith("| `"):
        return SPAN.findall(line.split("|")[1])
    return [name for name in SPAN.findall(line) if name.isidentifier()] if line.startswith("`") else []


def test_what_does_not_exist_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading, `code`\n")
    assert list(
        broken_links(
            "# Here\n[a](there.md#a-heading-code) [b](gone.md) [c](there.md#gone) [d](#here) [e](#gone)", tmp_path
        )
    ) == [
        "gone.md",
        "there.md#gone",
        "#gone",
    ]
    assert list(unknown_settings("`MIN_RATINGS=5`, `MIN_RATING`\n```\nPROMOTON=auto\n```\n")) == [
        "PROMOTON",
        "MIN_RATING",
    ]
    assert list(unknown_commands("`ovation stats --json` `ovation restor FILE` `ovation stats --jason`")) == [
        "ovation restor",
        "stats --jason",
    ]
    assert list(unknown_chat_commands("`/slogan tea`, `/rollbak`, `/etc/passwd`", frozenset())) == ["rollbak"]
    assert list(unknown_tests("`tests/test_docs.py::test_nothing` `tests/test_docs.py::read`")) == [
        "tests/test_docs.py::test_nothing"
    ]
    assert list(unheld_claims("| a | | | | | **yes** | |\n| b | | | | | no | |")) == ["a"]
    assert list(unknown_paths("`bot/cli/gone.py`, `bot/cli`, `/home/bot/x`, bot/gone.py")) == ["bot/cli/gone.py"]
