"""Prompts, ratings, /forget, swaps, floods, kills and restarts in any order: what must hold holds once it settles."""

import httpx
import pytest

from tests.faults.histories.machine import run_histories
from tests.support.stored.extra_version import VERSION


@pytest.mark.timeout(600)
@pytest.mark.parametrize("histories", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_in_whatever_order_things_happen_texts_and_ratings_are_as_people_see_them(
    engine_url: str, histories: int
) -> None:
    try:
        run_histories(histories, seed_number=1, settings_of_bot={"ENGINE_URL": engine_url})
    finally:
        httpx.post(f"{engine_url}/v1/unload_lora_adapter", json={"lora_name": VERSION})
