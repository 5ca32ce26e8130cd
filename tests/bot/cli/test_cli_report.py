"""`ovation report`: one page for a browser that needs nothing else, and holds nothing that people wrote."""

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli.__main__ import app
from bot.learning.nightly import run_folder
from engine.runs.config import RunConfig, write_config
from engine.runs.run_dir import Progress, Reason, RunReport, append_progress, write_report
from storage.db.schema import migrate
from tests.support.stored.histories import opened, write_history

NOW = datetime.now(UTC)
LOADING = {"src", "href", "srcset", "data", "action", "poster"}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_history(tmp_path / "data" / "ovation.db", texts=40, seed=3, begin=NOW - timedelta(hours=2))
    with opened(tmp_path / "data" / "ovation.db") as connection:
        connection.execute("UPDATE ratings SET source = 'reaction', emoji = '❤' WHERE rater = 'bob'")
        connection.executemany(
            "INSERT INTO runs (id, state, verdict, reason, numbers, ratings, version, started_at, ended_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                run(1, "skipped", "too_few_ratings", '{"have": 12, "need": 50}', minutes=1),
                run(2, "promoted", "better", '{"gain": 0.04, "probability": 0.97}', minutes=20),
                run(3, "failed", "memory", "{}", minutes=12),
                run(4, None, None, "{}", minutes=None),
            ],
        )
    for number in (2, 3):
        run_folder(tmp_path / "data", number).mkdir(parents=True)
    learned = run_folder(tmp_path / "data", 2)
    write_config(learned, RunConfig(kl_budget=3.0))
    curves = {"loss": (0.7, 0.6, 0.5), "liking": (0.4, float("nan")), "kl": (0.0, 1.25)}
    write_report(learned, RunReport(passed=True, reason=Reason("better"), curves=curves))
    broken_off = run_folder(tmp_path / "data", 3) / "metrics.jsonl"
    append_progress(broken_off, Progress("loading", 0, 1))
    for step in range(4):
        append_progress(broken_off, Progress("training", step, 80, 0.7 - 0.1 * step))
    return tmp_path / "data"


def run(
    number: int, verdict: str | None, reason: str | None, numbers: str, *, minutes: int | None
) -> tuple[object, ...]:
    began = NOW - timedelta(days=9 - 2 * number)
    ended = None if minutes is None else (began + timedelta(minutes=minutes)).isoformat()
    state, version = ("running", None) if verdict is None else ("ended", "v2")
    return number, state, verdict, reason, numbers, 60 * number, version, began.isoformat(), ended


def ovation(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", *arguments])


def told(result: Result) -> str:
    return re.sub(r"\s+", " ", result.output)


class Reader(HTMLParser):
    """What a page says, what it would fetch, its pictures' words, and its tables without heads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.fetched, self.pictures, self.headless, self._silent = "", [], [], 0, 0
        self.feed(page)
        self.words = re.sub(r"\s+", " ", self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self._silent += tag in {"style", "svg"}
        self.fetched += [value for name, value in attrs if name in LOADING]
        self.fetched += [tag] * (tag in {"script", "iframe", "link", "object", "embed", "img", "base"})
        if said.get("role") == "img":
            self.pictures.append(said["aria-label"])
        self.headless += {"table": 1, "thead": -1}.get(tag, 0)

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in {"style", "svg"}

    def handle_data(self, data: str) -> None:
        self.words += "" if self._silent else f"{data} "


def page(*arguments: str) -> Reader:
    result = ovation(*arguments)
    assert result.exit_code == 0, result.output
    return Reader(Path(result.stdout.strip()).read_text(encoding="utf-8"))


def test_the_page_tells_what_is_liked_and_what_each_run_came_to() -> None:
    read = page()
    assert Path("ovation-report.html").exists()
    for words in (
        "36 texts, 32 ratings, of which 100 % are likes",
        "starter 36 32 0 100 % 89 to 100",
        "Run 4: under way",
        "Run 3: failed There was not enough memory.",
        "Run 2: promoted On replayed prompts its texts should please 4 points more (120 ratings, 97 % sure).",
        "Took 20 min Ratings used 120 Answered afterwards v2",
        "Run 1: skipped 12 ratings with consent so far; a run needs 50.",
        "No curves: it did not get to learn, or its folder is gone.",
        "Loss on the way (no report is kept)",
        "❤",
    ):
        assert words in read.words, read.words
    assert "Run 2. Loss on the rated texts, loss: 0.70 at the first step, 0.50 at the last of 3." in read.pictures
    assert (
        "Run 3. Loss on the way (no report is kept), loss: 0.70 at the first step, 0.40 at the last of 4."
        in read.pictures
    )
    assert len(read.pictures) == 3 + 3 + 1


def test_the_page_needs_nothing_else_and_holds_nothing_that_people_wrote() -> None:
    read = page("--output", "page.html")
    assert read.fetched == [] and read.headless == 0
    text = Path("page.html").read_text(encoding="utf-8")
    assert "said-so" not in text
    assert "url(h" not in text and "@import" not in text and "default-src 'none'" in text
    assert set(re.findall(r"https?://[^\"']+", text)) <= {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}


def test_only_the_days_that_are_asked_for_are_told() -> None:
    read = page("--days", "2")
    assert "Run 4" in read.words and "Run 3" not in read.words


def test_where_nothing_is_rated_yet_the_page_says_so(data: Path) -> None:
    (data / "ovation.db").unlink()
    with opened(data / "ovation.db") as connection:
        migrate(connection)
    read = page()
    assert "Nothing is rated yet" in read.words and "No run began in this time." in read.words
    assert read.pictures == [] and read.headless == 0


def test_an_earlier_report_is_replaced_and_nothing_else() -> None:
    page()
    with Path("ovation-report.html").open("a", encoding="utf-8") as earlier:
        earlier.write("<p>of yesterday</p>")
    assert "of yesterday" not in page().words
    for name, content in (("letter.html", "<!doctype html><p>Dear Ovation"), ("picture.html", b"\x89PNG\xff\xfe")):
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        before = Path(name).read_bytes()
        result = ovation("--output", name)
        assert result.exit_code == 2 and "exists and is no report" in told(result)
        assert Path(name).read_bytes() == before
    assert not list(Path().glob(".*attempt"))


def test_what_cannot_be_written_or_read_is_one_sentence(data: Path) -> None:
    for arguments, status, says in (
        (("--output", "nowhere/page.html"), 1, "nowhere/page.html cannot be written: No such file or directory."),
        (("--days", "0"), 2, "--days"),
    ):
        result = ovation(*arguments)
        assert result.exit_code == status and says in told(result), result.output
    (data / "ovation.db").unlink()
    result = ovation()
    assert result.exit_code == 1 and "There is no usable database" in told(result)
    assert not Path("ovation-report.html").exists()


def test_the_numbers_leave_as_json_and_no_page_is_written() -> None:
    result = ovation("--json")
    assert result.exit_code == 0 and not Path("ovation-report.html").exists()
    numbers = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert numbers["statistics"]["versions"] == [{"label": "starter", "texts": 36, "likes": 32, "dislikes": 0}]
    assert [told["verdict"] for told in numbers["runs"]] == [None, "failed", "promoted", "skipped"]
    assert numbers["runs"][2]["curves"] == {"loss": [0.7, 0.6, 0.5], "liking": [0.4, None], "kl": [0.0, 1.25]}
    assert numbers["runs"][3]["reason_in_words"].startswith("12 ratings with consent so far; a run needs 50. ")
