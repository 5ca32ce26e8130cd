"""A kind is a few lines in a file; a mistake in them is named."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.__main__ import app
from bot.common.kinds import SHIPPED, TAKEN, InvalidKinds, language_of_topic, load_kinds


def test_the_shipped_kinds_are_complete() -> None:
    kinds = load_kinds()
    assert list(kinds.by_name) == ["write", "slogan", "poem", "story", "post", "pitch", "title", "character"]
    assert kinds.default.name == "write"
    for kind in kinds.by_name.values():
        assert all(1 <= len(text) <= 256 for text in kind.description.values())


GOOD = """[limerick]
emoji = "🎩"
max_tokens = 90
description.en = "A limerick"
description.zh = "打油诗"
instruction.en = "Write a limerick."
instruction.zh = "写打油诗。"
"""


@pytest.mark.parametrize(
    ("before", "after", "line", "complaint"),
    [
        ("[limerick]", "[Limerick]", 1, "cannot be a command"),
        ("[limerick]", "[forget]", 1, "/forget is a command of the bot's own"),
        ("max_tokens = 90\n", "", 1, "needs a length"),
        ("max_tokens = 90", 'max_tokens = "many"', 3, "needs a length"),
        ("max_tokens = 90", "max_tokens = true", 3, "needs a length"),
        ("max_tokens = 90", "max_tokens = 99999", 3, "needs a length"),
        ('emoji = "🎩"', 'emoji = ""', 2, "needs an emoji"),
        ('emoji = "🎩"', 'emoji = "🎩"\nrenderer = "html"', 3, 'renderer is "plain" or "markdown"'),
        ('emoji = "🎩"', 'emoji = "🎩"\ncolour = "red"', 3, "there is no field 'colour'"),
        ('description.zh = "打油诗"\n', "", 4, "needs description.zh"),
        ('"A limerick"', f'"{"x" * 257}"', 4, "has 257 characters"),
        ('"打油诗"', '" "', 4, "needs description.zh"),
        (
            'instruction.zh = "写打油诗。"',
            'instruction.zh = "写打油诗。"\ninstruction.de = "Dichte."',
            8,
            "does not speak 'de'",
        ),
        ("[limerick]", "top = 1\n[limerick]", 1, "top stands outside of a kind"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, before: str, after: str, line: int, complaint: str) -> None:
    file = tmp_path / "kinds.toml"
    assert before in GOOD
    file.write_text(GOOD.replace(before, after))
    with pytest.raises(InvalidKinds) as caught:
        load_kinds(file)
    assert len(caught.value.faults) == 1, caught.value.faults
    assert caught.value.faults[0].startswith(f"{file}:{line}: ") and complaint in caught.value.faults[0]


@pytest.mark.parametrize("text", ["", "[limerick", "emoji = "])
def test_a_file_without_kinds_or_that_is_no_toml_is_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kinds.toml"
    file.write_text(text)
    with pytest.raises(InvalidKinds, match="There are 0 kinds|is not TOML: .*at end of document"):
        load_kinds(file)


def test_every_mistake_is_told_at_once_and_the_command_ends_with_1(tmp_path: Path) -> None:
    file = tmp_path / "kinds.toml"
    file.write_text(GOOD + GOOD.replace("[limerick]", "[ode]").replace("90", "0") + "[help]\n")
    result = CliRunner().invoke(app, ["kinds", "check", str(file)])
    assert result.exit_code == 1
    lines = result.output.strip().splitlines()
    assert lines[0].startswith(f"{file}:10: The kind ode needs a length") and len(lines) == 8
    file.write_text(GOOD)
    result = CliRunner().invoke(app, ["kinds", "check", str(file)])
    assert result.exit_code == 0 and "/limerick" in result.output
    assert CliRunner().invoke(app, ["kinds", "check"]).exit_code == 0
    missing = CliRunner().invoke(app, ["kinds", "check", str(tmp_path / "nowhere.toml")])
    assert missing.exit_code == 1 and "cannot be read" in missing.output


def test_no_kind_can_take_a_command_of_the_bots_own() -> None:
    code = "\n".join(file.read_text() for file in Path("bot/telegram/handlers").glob("*.py"))
    commands = set(re.findall(r'\bcommand\("([a-z]+)"', code))
    assert len(commands) > 20 and commands <= TAKEN


def test_the_worked_example_of_the_docs_is_right(tmp_path: Path) -> None:
    page = Path("docs/kinds.md").read_text()
    example = page.partition("```toml\n")[2].partition("```")[0]
    file = tmp_path / "kinds.toml"
    file.write_text(SHIPPED.read_text() + "\n" + example)
    assert load_kinds(file).by_name["limerick"].max_tokens == 90


@pytest.mark.parametrize(
    ("topic", "language"), [("绿茶", "zh"), ("green tea", "en"), ("a 茶 house", "zh"), ("12", "en")]
)
def test_the_topic_decides_the_language_of_the_text(topic: str, language: str) -> None:
    assert language_of_topic(topic) == language
