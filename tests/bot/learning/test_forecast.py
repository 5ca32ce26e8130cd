"""What a night will take, by speeds that were measured and kept."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bot.common.settings import Settings
from bot.learning import forecast
from tests.engine.runs.test_plan import SMOLLM2, faster


def settings_in(folder: Path, kept: str) -> Settings:
    settings = Settings.model_validate(
        {"telegram_bot_token": "1:" + "a" * 35, "model": "starter", "data_dir": str(folder)}
    )
    settings.models_path.mkdir(parents=True, exist_ok=True)
    (settings.models_path / "measured.json").write_text(kept)
    return settings


def test_speeds_that_were_kept_forecast_a_night(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, json.dumps({"starter": asdict(SMOLLM2)}))
    assert forecast.measured(settings) == SMOLLM2
    slow, fast = (forecast.forecast(settings, speeds) for speeds in (SMOLLM2, faster(SMOLLM2, 100.0)))
    assert "left out" in forecast.in_words(slow, SMOLLM2)
    assert "left out" not in forecast.in_words(fast, SMOLLM2)
    assert fast.minutes < slow.minutes


@pytest.mark.parametrize("kept", ["", "{}", "[1", '{"starter": {"parameters": 1}}'])
def test_speeds_that_cannot_be_read_are_not_there(tmp_path: Path, kept: str) -> None:
    assert forecast.measured(settings_in(tmp_path, kept)) is None
