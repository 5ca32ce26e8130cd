"""Ask pip-audit for known vulnerabilities of what `requirements.lock` and the Makefile install; part of `make lint`.

A vulnerability that is found fails, unless `[tool.accepted-vulnerabilities]` of pyproject.toml says by its name why it
is accepted. Where pip-audit cannot be installed, or its service does not answer, that is said in a line and is no fault
of the code.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def installed() -> list[str]:
    """What is installed, as name==version."""
    locked = re.findall(r"^[\w.-]+==[^\s;\\]+", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    by_hand = re.findall(r"\b[\w-]+==[\d.]+\b", (ROOT / "Makefile").read_text(encoding="utf-8"))
    return sorted({*locked, *by_hand})


def verdict(report: Mapping[str, Any], accepted: Mapping[str, str]) -> tuple[list[str], int]:
    """What there is to say of pip-audit's report, line by line, and the exit status."""
    packages = report["dependencies"]
    known = [each for each in packages if "vulns" in each]
    if not known:
        return ["No service told of vulnerabilities here, so nothing was audited."], 0
    said, status, met = [], 0, set()
    if left := [each["name"] for each in packages if "vulns" not in each]:
        said.append(f"Not audited, for the service does not know them: {', '.join(left)}.")
    for package in known:
        for found in package["vulns"]:
            names = {found["id"], *found.get("aliases", ())}
            reason = next((accepted[name] for name in sorted(names & accepted.keys())), None)
            met |= names
            where = f"{package['name']} {package['version']}: {found['id']}"
            if reason is None:
                fixed = ", ".join(found.get("fix_versions", ())) or "no version yet"
                said.append(f"{where}, mended in {fixed}. Take that, `make lock`, or say why it is accepted.")
                status = 1
            else:
                said.append(f"{where} is accepted: {reason}")
    said += [
        f"{name} is accepted in pyproject.toml and not found any more: take it out."
        for name in sorted(accepted.keys() - met)
    ]
    return said or [f"No known vulnerability in {len(known)} packages."], status


def main(program: str) -> int:
    """Audit, with the pip-audit that lies there."""
    accepted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["accepted-vulnerabilities"]
    if not Path(program).exists():
        sys.stdout.write("pip-audit cannot be installed here, so nothing was audited.\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        asked, report = Path(folder) / "asked.txt", Path(folder) / "report.json"
        asked.write_text("\n".join(installed()), encoding="utf-8")
        command = (program, "--no-deps", "--disable-pip", "-r", str(asked), "-f", "json", "-o", str(report))
        try:
            subprocess.run(command, capture_output=True, timeout=300, check=False)
            said, status = verdict(json.loads(report.read_text(encoding="utf-8")), accepted)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            said, status = ["The service that tells of vulnerabilities does not answer, so nothing was audited."], 0
    sys.stdout.write("".join(f"{line}\n" for line in said))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
