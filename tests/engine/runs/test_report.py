"""The report page says every ending in words, and nothing that people wrote can act in it."""

import itertools
import re
from pathlib import Path
from typing import get_args

import pytest

from engine.data.dataset import DataCard
from engine.runs.config import GateBounds, RunConfig
from engine.runs.promotion_gate import GateResult, GoldenPairs, Measurements, Memorisation, decide
from engine.runs.report import SENTENCES, check_in_words, write_page
from engine.runs.run_dir import Comparison, Reason, ReasonCode, RunReport, read_report, strip_run, write_report
from engine.runs.text_metrics import TextMeasures

HOSTILE = '<script>alert(1)</script> & "quoted" {{ 7 * 7 }}'
CARD = DataCard(
    generations=120, ratings=300, raters=9, chats=2, prompts=40, likes=60, dislikes=50, newcomers=2, set_aside=4,
    like_share=0.55, kinds={"slogan": 100, HOSTILE: 20}, versions={"starter": 80, "v1": 40},
    by_chat={"aaaabbbb": 110, "ccccdddd": 10}, best_of={"1": 100, "8": 20}, signals={"said": 280, "another": 20},
    reasons={"off_topic": 7}, rater_shares={"deadbeef": 0.3, "others": 0.7}, brigades={"badbadba": 4},
    dropped={"duplicate": 6, "brigade": 4},
)  # fmt: skip
EXAMPLES = (Comparison(HOSTILE, "Tea is tea.", f"Tea! {HOSTILE}", 0.41, 0.63),)
MEASURES = TextMeasures(
    fluency=2.1, distinct_2=0.8, length=20.0, self_bleu=0.2, begging=0.0, flattery=0.0, phrases={}, shouting=0.01,
    overlap=0.0,
)  # fmt: skip


def judged(*, gain: float, kl: float = 1.2) -> GateResult:
    """The gate's own verdict on made-up measurements, so that every check that there is has a line."""
    people = [f"person {number % 8}" for number in range(24)]
    gains = [[gain + 0.001 * ((draw + prompt) % 5) for prompt in range(24)] for draw in range(40)]
    segments = [("language zh" if number % 2 else "kind slogan", "chat aaaabbbb") for number in range(24)]
    segments[0] = ("heavy raters", "new people")
    measured = Measurements(
        signal=0.7, chance=0.01, gains=gains, people=people, segments=segments, held_out=0.61, logged=None, kl=kl,
        kl_tail=6.0, golden=GoldenPairs(18, 18, 0, 0), base=MEASURES, candidate=MEASURES, bias=-0.1,
        memorisation=Memorisation(0.0, 2.7),
    )  # fmt: skip
    return decide(measured, GateBounds())


def report_of(verdict: GateResult) -> RunReport:
    return RunReport(
        passed=verdict.passed, reason=verdict.reason, checks=verdict.checks, segments=verdict.segments, card=CARD,
        examples=EXAMPLES, curves={"loss": (0.7, 0.6, 0.5), "liking": (0.4, 0.5), "kl": (0.0, 0.8, 1.2)}, seconds=12.3,
    )  # fmt: skip


STATES = {
    "promoted": report_of(judged(gain=0.04)),
    "rejected": report_of(judged(gain=0.04, kl=3.4)),
    "skipped": RunReport(passed=False, reason=Reason("too_few", {"ratings": 7, "needed": 20})),
}


def page_of(folder: Path, report: RunReport) -> str:
    write_page(folder / "report.html", report, RunConfig())
    return (folder / "report.html").read_text(encoding="utf-8")


def words_of(page: str) -> str:
    """What a reader sees."""
    without = re.sub(r"(?s)<(style|svg).*?</\1>", " ", page)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without))


@pytest.mark.parametrize("outcome", STATES)
def test_each_ending_is_said_in_words_first(tmp_path: Path, outcome: str) -> None:
    report = STATES[outcome]
    words = words_of(page_of(tmp_path, report))
    assert words.index(f"This run was {outcome}.") < words.index(SENTENCES[report.reason.code])
    raw = {check.name for check in report.checks if "_" in check.name or ", high" in check.name}
    assert not [name for name in raw if name in words]
    assert "language zh" not in words and "off_topic" not in words


def test_the_key_figures_are_in_words(tmp_path: Path) -> None:
    words = words_of(page_of(tmp_path, STATES["promoted"]))
    for told in ("Liking: +4.2 points", "90 % interval", "foretell one another: 70 of 100", "Held-out ratings: 61 of"):
        assert told in words
    assert "prompts in Chinese" in words and "best of 8" in words and "deadbeef" in words and "off topic" in words


def test_a_broken_bound_is_told_with_what_was_measured(tmp_path: Path) -> None:
    words = words_of(page_of(tmp_path, STATES["rejected"]))
    assert "Not kept: Distance from the base model, on average is 3.40 nats, allowed is at most 3.00" in words


def test_every_check_of_the_gate_has_words_of_its_own() -> None:
    checks = [check for check in judged(gain=0.04).checks if not check.name.endswith(", high")]
    labels = [check_in_words(check)[0] for check in checks]
    assert len(set(labels)) == len(labels) > 12
    assert not [label for label in labels if label.startswith("Gain among")]


@pytest.mark.parametrize("code", get_args(ReasonCode))
def test_every_reason_has_a_sentence_and_a_page(tmp_path: Path, code: ReasonCode) -> None:
    report = RunReport(passed=code == "better", reason=Reason(code, {"value": float("nan"), "gain": float("nan")}))
    if code in ("too_few", "one_sided", "one_rater"):
        report = RunReport(passed=False, reason=Reason(code, {"needed": 3, "likes": 1, "raters": 1}))
    assert SENTENCES[code] in page_of(tmp_path, report).replace("&#39;", "'")


def test_what_people_wrote_stays_text(tmp_path: Path) -> None:
    page = page_of(tmp_path, STATES["promoted"])
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page and "{{ 7 * 7 }}" in page


def test_the_page_needs_nothing_else_and_its_headings_are_in_order(tmp_path: Path) -> None:
    page = page_of(tmp_path, STATES["promoted"])
    assert not re.findall(r"""(?:src|href)=["']https?:""", page) and "@import" not in page
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.count("<table") == page.count("<thead>")


def test_a_stripped_run_keeps_its_verdict_and_nobodys_words(tmp_path: Path) -> None:
    report = STATES["promoted"]
    page_of(tmp_path, report)
    write_report(tmp_path, report)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "dataset.jsonl").write_text("words")
    strip_run(tmp_path)
    left = read_report(tmp_path)
    assert (left.passed, left.reason, left.curves) == (report.passed, report.reason, report.curves)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    for told in ("Tea is tea", "deadbeef", "aaaabbbb"):
        assert told not in (tmp_path / "report.json").read_text(encoding="utf-8")


def test_stripping_a_run_without_files_or_with_a_broken_report_is_no_error(tmp_path: Path) -> None:
    strip_run(tmp_path / "nowhere")
    (tmp_path / "report.json").write_text("{")
    strip_run(tmp_path)
    assert list(tmp_path.iterdir()) == []
