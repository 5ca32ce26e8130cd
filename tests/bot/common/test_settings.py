"""All faults are reported together, by name; secrets never show."""

from pathlib import Path

import pytest

from bot.common.errors import SettingsError
from bot.common.settings import Settings, computing_environment

TOKEN = "123456789:AAE-this_is_a_token_of_35_characters"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def env_file(tmp_path: Path, *lines: str, mode: int = 0o600) -> Path:
    file = tmp_path / ".env"
    file.write_text("\n".join(lines))
    file.chmod(mode)
    return file


def problems(file: Path) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(file)
    return caught.value.problems


def test_a_token_is_enough(tmp_path: Path) -> None:
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}"))
    assert settings.telegram_bot_token.get_secret_value() == TOKEN
    assert settings.model == "auto" and settings.min_ratings == 50 and settings.canary_share == 0
    assert settings.key_path == Path("data.key")


def test_every_fault_is_reported_at_once_by_its_name(tmp_path: Path) -> None:
    found = problems(
        env_file(
            tmp_path,
            "TELEGRAM_BOT_TOKEN=nonsense",
            "ADMIN_IDS=@ada",
            "RETRAIN_AT=at night",
            "TIMEZONE=Mars/Olympus",
            "MIN_RATINGS=-1",
            "PROMOTION=maybe",
            "CANARY_SHARE=2",
            "ENGINE_URL=not a url",
        )
    )
    names = [problem.partition(":")[0] for problem in found]
    assert names == [
        "ENGINE_URL", "TELEGRAM_BOT_TOKEN", "ADMIN_IDS", "RETRAIN_AT", "TIMEZONE", "MIN_RATINGS", "PROMOTION",
        "CANARY_SHARE",
    ]  # fmt: skip


def test_a_missing_token_says_where_to_put_it(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / ".env")
    assert problem.startswith("TELEGRAM_BOT_TOKEN is missing") and ".env.example" in problem


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", mode=0o644))
    assert "chmod 600" in problem


def test_a_misspelt_name_and_a_broken_line_are_faults(tmp_path: Path) -> None:
    found = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", "RETRAIN_ATT=0 3 * * *", "this is no setting"))
    assert "did you mean RETRAIN_AT?" in found[0]
    assert "line 3" in found[1]


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIN_RATINGS", "7")
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", "MIN_RATINGS=9", "ADMIN_IDS=1, 2"))
    assert settings.min_ratings == 7 and settings.admin_ids == (1, 2)


def test_the_token_shows_nowhere(tmp_path: Path) -> None:
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}"))
    assert TOKEN not in repr(settings) and TOKEN not in str(settings.model_dump())
    found = problems(env_file(tmp_path, "TELEGRAM_BOT_TOKEN=secret words", "MIN_RATINGS=x"))
    assert "secret words" not in "".join(found)


def test_the_example_names_every_setting_and_no_other() -> None:
    example = (Path(__file__).parents[3] / ".env.example").read_text()
    named = {
        line.lstrip("#").partition("=")[0] for line in example.splitlines() if "=" in line and "# " not in line[:2]
    }
    assert named == {name.upper() for name in Settings.model_fields}


def test_a_webhook_needs_a_secret(tmp_path: Path) -> None:
    lines = (f"TELEGRAM_BOT_TOKEN={TOKEN}", "WEBHOOK_URL=https://bot.example.org/telegram")
    (problem,) = problems(env_file(tmp_path, *lines))
    assert problem == "WEBHOOK_URL needs a WEBHOOK_SECRET, so that only Telegram can send updates."
    (problem,) = problems(env_file(tmp_path, *lines, "WEBHOOK_SECRET=not allowed!"))
    assert problem.startswith("WEBHOOK_SECRET: ") and "not allowed" not in problem


def test_an_operators_own_opinion_on_reactions_is_read(tmp_path: Path) -> None:
    file = tmp_path / "reactions.toml"
    file.write_text('"🤡" = -0.8\n"🔥" = "none"\n', encoding="utf-8")
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"REACTIONS_FILE={file}"))
    assert (settings.reaction_values["🤡"], settings.reaction_values["🔥"]) == (-0.8, None)
    assert settings.reaction_values["👍"] == 1.0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        ('"👍" = 1\n"😀" = 1', "reactions.toml, line 2: '😀' is not a reaction of Telegram's"),
        ('"🤡" = 3', "reactions.toml, line 1: 🤡 must be a number from -1 to 1"),
    ],
)
def test_an_opinion_that_is_none_is_told_with_its_line(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "reactions.toml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"REACTIONS_FILE={file}"))
    assert problem.startswith("REACTIONS_FILE: ") and told in problem


def test_threads_that_wait_for_one_another_sleep_unless_the_operator_knows_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert computing_environment()["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert computing_environment()["OMP_WAIT_POLICY"] == "ACTIVE"
