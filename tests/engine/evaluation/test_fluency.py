"""`python -m engine.evaluation.fluency` says how likely a model finds texts, one number a line, or one sentence."""

import json
import math
import subprocess
import sys

import pytest
import torch

from engine.api.types import Message
from engine.evaluation.fluency import Answered, main, surprises
from engine.evaluation.metrics import cross_entropy
from engine.models.loader import load_base
from engine.models.logprobs import encode

ASKED = (
    Message("system", "Write one slogan about the topic. Answer with the slogan only."),
    Message("user", "green tea"),
)
TEXTS = ("Say yes to green tea every day.", "tea tea yes green every every day to say", "", "只要绿茶。")


def test_each_number_is_the_mean_cross_entropy_of_its_text() -> None:
    base = load_base("starter", device=torch.device("cpu"))
    rows = [encode(base, ASKED, text) for text in TEXTS]
    expected = [cross_entropy(base, [row], max_tokens=1000) for row in rows]
    found = surprises("starter", [Answered(ASKED, text) for text in TEXTS])
    assert found == pytest.approx(expected, rel=1e-3)
    assert found[0] < found[1] and all(math.isfinite(number) for number in found)


def test_the_program_answers_a_number_a_line_in_order() -> None:
    messages = [{"role": message.role, "content": message.content} for message in ASKED]
    lines = "\n".join(json.dumps({"messages": messages, "text": text}, ensure_ascii=False) for text in TEXTS[:2])
    done = subprocess.run(
        [sys.executable, "-m", "engine.evaluation.fluency", "--model", "starter"], input=f"{lines}\n\n".encode(),
        capture_output=True, check=True,
    )  # fmt: skip
    first, second = map(float, done.stdout.split())
    assert 0.0 < first < second and done.stderr == b""


@pytest.mark.parametrize(
    ("model", "line", "says"),
    [
        ("nothing", "{}", "There is no model 'nothing'"),
        ("starter", '{"messages": [], "text": 1}', "Line 1: text:"),
        ("starter", "tea", "Line 1: the line:"),
        ("starter", '{"messages": [{"role": "boss", "content": ""}], "text": ""}', "Line 1: messages.0.role:"),
        ("starter", json.dumps({"messages": [{"role": "user", "content": "tea " * 3000}], "text": ""}), "at most."),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str, line: str, says: str
) -> None:
    class Stdin:
        buffer = (line.encode(),)

    monkeypatch.setattr("sys.stdin", Stdin)
    assert main(["--model", model]) == 2
    told = capsys.readouterr()
    assert says in told.err and told.err.count("\n") == 1 and told.out == ""
