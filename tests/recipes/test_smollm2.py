"""The answers that SmolLM2 has learned from, and the program that teaches it them."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from bot.common.kinds import load_kinds
from engine.api.models import SMOLLM2, SMOLLM2_ADAPTER, STARTER
from engine.models.loader import load_base
from engine.preference.features import words
from recipes.smollm2 import build
from recipes.smollm2.build import REQUESTS, Answer, read_answers

_BLANK_ADDRESS_OR_TALK = r"\[[A-Z][^\]\n]*\]|https?://|www\.|#\w|^(?:Sure|Here is|Here are|Certainly)\b"
EVALUATED = Path(__file__).parents[2] / "benchmarks" / "requests.toml"


@pytest.fixture(scope="module")
def answers() -> Sequence[Answer]:
    return read_answers()


def test_the_model_is_taught_what_the_bot_will_ask_it(answers: Sequence[Answer]) -> None:
    kinds = load_kinds(model=[SMOLLM2]).by_name
    assert set(REQUESTS) == set(kinds) == {each.kind for each in answers}
    for name, kind in kinds.items():
        assert [*kind.messages("the sea in winter")] == Answer(name, "the sea in winter", "").messages, name


def test_no_request_is_one_that_the_model_is_judged_by(answers: Sequence[Answer]) -> None:
    judged = [set(words(each["text"])) for each in tomllib.loads(EVALUATED.read_text("utf-8"))["request"]]
    for answer in answers:
        asked = set(words(answer.topic))
        assert not any(asked == other or len(asked & other) >= max(3, 0.6 * len(asked | other)) for other in judged)


def test_the_answers_are_finished_texts_without_blanks_addresses_or_talk(answers: Sequence[Answer]) -> None:
    assert len({(each.kind, each.topic.lower()) for each in answers}) == len(answers)
    for answer in answers:
        assert answer.text == answer.text.strip() and answer.topic.strip()
        assert not re.search(
            r"\[[A-Z][^\]\n]*\]|https?://|www\.|#\w|^(?:Sure|Here is|Here are|Certainly)\b", answer.text
        )
        assert answer.kind not in ("slogan", "title") or "\n" not in answer.text


def test_the_program_writes_an_adapter_that_has_learned(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(build.ANSWERS.read_text("utf-8").splitlines(keepends=True)[:60]), encoding="utf-8")
    out = tmp_path / "adapter"
    assert build.main(["--model", STARTER, "--answers", str(file), "--out", str(out), "--steps", "2"]) == 0
    base = load_base(STARTER)
    ids = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        before = base.model(ids).logits
        after = PeftModel.from_pretrained(base.model, str(out))(ids).logits
    assert not torch.equal(before, after)


def test_the_shipped_adapter_is_small_and_whole() -> None:
    file = SMOLLM2_ADAPTER / "adapter_model.safetensors"
    assert file.stat().st_size < 12 * 2**20
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(file).values())
