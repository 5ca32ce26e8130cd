"""What a wish for several texts may say, and what follows from the seed alone."""

from dataclasses import replace

import pytest

from engine.api.types import ONE_TEXT, Selection, seed_of
from engine.errors import RequestError
from engine.inference.engine import Engine
from engine.models.loader import Base
from tests.support.learning.rated import served


def test_how_often_and_what_is_drawn_depends_on_the_seed_alone() -> None:
    selection = Selection(best_of=2, taste="house", explore=0.3)
    draws = [selection.draw(seed) for seed in range(1000)]
    assert draws == [selection.draw(seed) for seed in range(1000)]
    assert 250 < sum(draw is not None for draw in draws) < 350
    assert len({draw for draw in draws if draw is not None}) > 240
    assert ONE_TEXT.draw(1) is None and replace(selection, explore=1.0).draw(None) is not None


def test_the_first_sibling_has_the_requests_seed_and_the_others_their_own() -> None:
    assert seed_of(7, 0) == 7
    assert len({seed_of(seed, number) for seed in range(20) for number in range(16)}) == 20 * 16
    assert seed_of(None, 3) is None


def test_a_wish_is_checked_wherever_it_is_made() -> None:
    with pytest.raises(RequestError, match="best_of is 17"):
        Selection(best_of=17)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"best_of": 0}, "best_of"), ({"best_of": 17}, "best_of"), ({"best_of": "4"}, "best_of"),
        ({"explore": 1.5}, "explore"), ({"taste": 3}, "taste"), ({"taste_user": "x" * 300}, "taste_user"),
    ],
)  # fmt: skip
async def test_a_wish_out_of_range_is_a_400_that_names_it(
    tiny_base: Base, fields: dict[str, object], word: str
) -> None:
    async with served(Engine(tiny_base)) as http:
        asked = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2} | fields
        answer = await http.post("/v1/chat/completions", json=asked)
        assert answer.status_code == 400
        assert word in answer.json()["error"]["message"]
