"""All faults are reported together, by name; secrets never show."""

import os
import tempfile
from pathlib import Path

import pytest

from bot.common.errors import SettingsError
from bot.common.kinds import SHIPPED, load_kinds
from bot.common.settings import DataSettings, Settings, computing_environment
from engine.safety.filter import load_filter

TOKEN = "123456789:AAE-this_is_a_token_of_35_characters"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def env_file(tmp_path: Path, *lines: str, mode: int = 0o600) -> Path:
    file = tmp_path / ".env"
    file.write_text("\n".join(lines))
    file.chmod(mode)
    return file


def problems(file: Path) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(file)
    return caught.value.problems


def test_a_token_is_enough(tmp_path: Path) -> None:
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}"))
    assert settings.telegram_bot_token.get_secret_value() == TOKEN
    assert settings.model == "auto" and settings.min_ratings == 50 and settings.canary_share == 0
    assert settings.key_path == Path("data.key")


def test_every_fault_is_reported_at_once_by_its_name(tmp_path: Path) -> None:
    found = problems(
        env_file(
            tmp_path,
            "TELEGRAM_BOT_TOKEN=nonsense",
            "ADMIN_IDS=@ada",
            "RETRAIN_AT=at night",
            "TIMEZONE=Mars/Olympus",
            "MIN_RATINGS=-1",
            "PROMOTION=maybe",
            "CANARY_SHARE=2",
            "ENGINE_URL=not a url",
        )
    )
    names = [problem.partition(":")[0] for problem in found]
    assert names == [
        "ENGINE_URL", "TELEGRAM_BOT_TOKEN", "ADMIN_IDS", "RETRAIN_AT", "TIMEZONE", "MIN_RATINGS", "PROMOTION",
        "CANARY_SHARE",
    ]  # fmt: skip


def test_a_missing_token_says_where_to_put_it(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / ".env")
    assert problem.startswith("TELEGRAM_BOT_TOKEN is missing") and ".env.example" in problem


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", mode=0o644))
    assert "chmod 600" in problem


def test_a_file_that_windows_saved_is_read(tmp_path: Path) -> None:
    file = env_file(tmp_path)
    file.write_bytes(f"\ufeffTELEGRAM_BOT_TOKEN={TOKEN}\r\nMIN_RATINGS=9\r\n".encode())
    assert Settings.load(file).min_ratings == 9


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"TELEGRAM_BOT_TOKEN={TOKEN}\nLABEL=\xfcber".encode("latin-1"), "line 2, LABEL, is not UTF-8"),
        (f"TELEGRAM_BOT_TOKEN={TOKEN}".encode("utf-16"), "line 1, is not UTF-8"),
        (f"TELEGRAM_BOT_TOKEN={TOKEN}\nDATA_DIR=a\0b".encode(), "line 2, DATA_DIR, has a character NUL"),
        (f"TELEGRAM_BOT_TOKEN={TOKEN}\nMIN_RATINGS".encode(), "line 2: write NAME=value"),
    ],
)
def test_what_is_no_text_is_told_with_its_line(tmp_path: Path, content: bytes, told: str) -> None:
    file = env_file(tmp_path)
    file.write_bytes(content)
    (problem,) = problems(file)
    assert told in problem and TOKEN not in problem


def test_a_folder_and_a_file_of_somebody_else_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    (tmp_path / ".env").mkdir()
    (problem,) = problems(tmp_path / ".env")
    assert "is no file" in problem

    def refuse(file: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(file))

    (tmp_path / "their").mkdir()
    file = env_file(tmp_path / "their")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    (problem,) = problems(file)
    assert "cannot be read (Permission denied)" in problem


def test_where_no_modes_are_kept_the_start_goes_on_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", mode=0o777)
    monkeypatch.setattr("storage.db.files.create_private", lambda path: path.touch(mode=0o777))
    old = os.umask(0)
    try:
        assert Settings.load(file) and Settings.load(file)
    finally:
        os.umask(old)
    assert caplog.text.count("keeps no modes") == 1
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


@pytest.mark.parametrize(
    "name",
    ["DATA_DIR", "KEY_FILE", "MODEL", "GUARD_MODEL", "KINDS_FILE", "REACTIONS_FILE", "WORDS_FILE", "PROTECTED_DIR"],
)
def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if name == "KINDS_FILE":
        (tmp_path / "x").write_bytes(SHIPPED.read_bytes())
    elif name == "PROTECTED_DIR":
        (tmp_path / "x").mkdir()
    else:
        (tmp_path / "x").touch()
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"{name}=~/x"))
    assert str(getattr(settings, name.lower())) == str(tmp_path / "x")
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"{name}=~nobody-at-all/x"))
    assert problem == f"{name}: there is no home folder ~nobody-at-all; write the path in full."


def test_data_in_a_folder_that_is_called_tilde_is_not_left_behind_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~" / "data").mkdir(parents=True)
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", "DATA_DIR=~/data"))
    assert problem == f"DATA_DIR: ~ is your home folder: move {tmp_path}/~/data to {home}/data."
    (home / "data").mkdir()
    assert Settings.load(tmp_path / ".env").data_dir == home / "data"


@pytest.mark.parametrize(("data_dir", "key"), [("data", "data.key"), (".", "{here}.key"), ("sub/..", "{here}.key")])
def test_the_key_lies_beside_any_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: str, key: str
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"DATA_DIR={data_dir}"))
    assert str(settings.key_path) == key.format(here=tmp_path)


@pytest.mark.parametrize("root", ["/", "//", "/..", "/usr/.."])
def test_the_data_have_a_folder_of_their_own(tmp_path: Path, root: str) -> None:
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"DATA_DIR={root}"))
    assert problem == "DATA_DIR: must be a folder for the data alone, like /var/lib/ovation."


def test_a_misspelt_name_and_a_broken_line_are_faults(tmp_path: Path) -> None:
    found = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", "RETRAIN_ATT=0 3 * * *", "this is no setting"))
    assert "did you mean RETRAIN_AT?" in found[0]
    assert "line 3" in found[1]


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIN_RATINGS", "7")
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", "MIN_RATINGS=9", "ADMIN_IDS=1, 2"))
    assert settings.min_ratings == 7 and settings.admin_ids == (1, 2)


def test_the_token_shows_nowhere(tmp_path: Path) -> None:
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}"))
    assert TOKEN not in repr(settings) and TOKEN not in str(settings.model_dump())
    found = problems(env_file(tmp_path, "TELEGRAM_BOT_TOKEN=secret words", "MIN_RATINGS=x"))
    assert "secret words" not in "".join(found)


def test_the_example_names_every_setting_and_no_other() -> None:
    example = (Path(__file__).parents[3] / ".env.example").read_text()
    named = {
        line.lstrip("#").partition("=")[0] for line in example.splitlines() if "=" in line and "# " not in line[:2]
    }
    assert named == {name.upper() for name in Settings.model_fields}


def test_a_webhook_needs_a_secret(tmp_path: Path) -> None:
    lines = (f"TELEGRAM_BOT_TOKEN={TOKEN}", "WEBHOOK_URL=https://bot.example.org/telegram")
    (problem,) = problems(env_file(tmp_path, *lines))
    assert problem == "WEBHOOK_URL needs a WEBHOOK_SECRET, so that only Telegram can send updates."
    (problem,) = problems(env_file(tmp_path, *lines, "WEBHOOK_SECRET=not allowed!"))
    assert problem.startswith("WEBHOOK_SECRET: ") and "not allowed" not in problem


def test_an_operators_own_opinion_on_reactions_is_read(tmp_path: Path) -> None:
    file = tmp_path / "reactions.toml"
    file.write_text('"🤡" = -0.8\n"🔥" = "none"\n', encoding="utf-8")
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"REACTIONS_FILE={file}"))
    assert (settings.reaction_values["🤡"], settings.reaction_values["🔥"]) == (-0.8, None)
    assert settings.reaction_values["👍"] == 1.0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        ('"👍" = 1\n"😀" = 1', "reactions.toml, line 2: '😀' is not a reaction of Telegram's"),
        ('"🤡" = 3', "reactions.toml, line 1: 🤡 must be a number from -1 to 1"),
    ],
)
def test_an_opinion_that_is_none_is_told_with_its_line(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "reactions.toml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"REACTIONS_FILE={file}"))
    assert problem.startswith("REACTIONS_FILE: ") and told in problem


RIGHT = {
    "KINDS_FILE": SHIPPED.read_text(encoding="utf-8"),
    "REACTIONS_FILE": '"🤡" = -0.8\n"🔥" = "none"\n',
    "WORDS_FILE": "gadzooks\nzounds\n",
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_ones_own_are_read_as_any_editor_saves_them(tmp_path: Path, name: str, ends: str, mark: str) -> None:
    file = tmp_path / "own"
    file.write_bytes((mark + RIGHT[name].replace("\n", ends)).encode())
    settings = Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"{name}={file}"))
    assert settings.reaction_values["🔥"] is None or name != "REACTIONS_FILE"
    assert list(settings.kinds.by_name) == list(load_kinds().by_name)
    assert load_filter(settings.words_file).unsafe("gadzooks!") or name != "WORDS_FILE"


@pytest.mark.parametrize("name", [*RIGHT, "PROTECTED_DIR"])
@pytest.mark.parametrize("content", [None, b"\xff\xfea", "绿 = 1".encode("gb18030")])
def test_files_of_ones_own_that_are_no_text_are_told(tmp_path: Path, name: str, content: bytes | None) -> None:
    (tmp_path / "folder").mkdir()
    place = tmp_path / "folder" / "own.txt"
    if content is None:
        place.mkdir()
    else:
        place.write_bytes(content)
    of = place.parent if name == "PROTECTED_DIR" else place
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"{name}={of}"))
    assert problem.startswith(f"{name}: {place} cannot be read as UTF-8 text")


@pytest.mark.parametrize("name", ["KINDS_FILE", "REACTIONS_FILE"])
@pytest.mark.parametrize(
    "content", ["a = " + "[" * 30_000, "a = " + "9" * 5000, "\0", "[a", "a.b\n= 3", "a = 1\na = 2"]
)
def test_files_of_ones_own_that_are_no_toml_are_told(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "own").write_text(content)
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"{name}={tmp_path}/own"))
    assert problem.startswith(f"{name}: {tmp_path}/own") and len(problem) < 400


def test_without_a_folder_for_temporary_files_there_is_one_in_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")  # restored at the end
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", list)
    Settings.load(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", f"DATA_DIR={tmp_path}/data"))
    room = str(tmp_path / "data" / "tmp")
    assert tempfile.gettempdir() == room == computing_environment()["TMPDIR"]
    assert (tmp_path / "data" / "tmp").stat().st_mode & 0o077 == 0


def test_threads_that_wait_for_one_another_sleep_unless_the_operator_knows_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert computing_environment()["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert computing_environment()["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_child_that_computes_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {
        *(name.upper() for name in Settings.model_fields), "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DATABASE_URL",
        "OPENAI_API_KEY", "SSH_AUTH_SOCK", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "telegram_bot_token", "MYPATH",
        "PATH_TO_KEY", "SMTP_PASSWORD", "TORCH", "BASH_FUNC_x%%",
    }  # fmt: skip
    useful = {
        "PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_CACHE",
        "SSL_CERT_FILE", "XDG_CACHE_HOME", "TORCH_HOME", "PYTORCH_CUDA_ALLOC_CONF", "COVERAGE_PROCESS_START",
    }  # fmt: skip
    for name in secret | useful:
        monkeypatch.setenv(name, "https://hub.example" if name == "HF_ENDPOINT" else "secret")
    found = computing_environment()
    assert useful <= found.keys()
    assert not secret & found.keys()
    proxied = {
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "no_proxy",
        "NO_PROXY",
        "all_proxy",
        "ALL_PROXY",
    }
    assert not [name for name, value in found.items() if value == "secret" and name not in useful | proxied]


def test_who_may_use_the_bot_is_a_list_of_people_and_one_of_chats(tmp_path: Path) -> None:
    token = f"TELEGRAM_BOT_TOKEN={TOKEN}"
    assert Settings.load(env_file(tmp_path, token, "ALLOWED_IDS=", "ALLOWED_CHATS=")).is_open
    settings = Settings.load(env_file(tmp_path, token, "ALLOWED_IDS=1, 2,", "ALLOWED_CHATS=-1001234567890,-5"))
    assert settings.allowed_ids == (1, 2) and settings.allowed_chats == (-1001234567890, -5)
    assert not settings.is_open


def test_the_names_by_which_health_may_be_asked_are_a_list(tmp_path: Path) -> None:
    token = f"TELEGRAM_BOT_TOKEN={TOKEN}"
    settings = Settings.load(env_file(tmp_path, token, "HEALTH_HOSTS=Monitor.Example.org, prometheus,"))
    assert settings.health_hosts == ("monitor.example.org", "prometheus")
    for wrong in ("http://monitor.example", "monitor.example:9090", "*", "a b", ".example", "münchen.example"):
        (problem,) = problems(env_file(tmp_path, token, f"HEALTH_HOSTS={wrong}"))
        assert problem.startswith("HEALTH_HOSTS: must be names with commas between them")


@pytest.mark.parametrize(
    "line",
    [
        "ALLOWED_IDS=,", "ALLOWED_IDS=' '", "ALLOWED_IDS=@ada", "ALLOWED_IDS=-1001", "ALLOWED_IDS=1;2", "ALLOWED_IDS=*",
        "ALLOWED_CHATS=,", "ALLOWED_CHATS=5", "ALLOWED_CHATS=-", "ALLOWED_CHATS=--5", "ALLOWED_CHATS=@tea",
        "ALLOWED_CHATS=−5", f"ALLOWED_CHATS=-{'9' * 5000}", f"ALLOWED_IDS={'9' * 5000}",
    ],
)  # fmt: skip
def test_a_list_that_is_wrong_or_names_nobody_lets_nobody_in(tmp_path: Path, line: str) -> None:
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN={TOKEN}", line))
    assert problem.startswith(line.partition("=")[0]) and ("numbers" in problem or "numeric" in problem)


def test_secrets_may_come_from_files(tmp_path: Path) -> None:
    for name, secret in (("token", TOKEN), ("secret", "abc"), ("key", "sk-1")):
        (tmp_path / name).write_bytes(f"\ufeff{secret}\r\n".encode())
    lines = [f"TELEGRAM_BOT_TOKEN_FILE={tmp_path / 'token'}", f"ENGINE_KEY_FILE={tmp_path / 'key'}"]
    lines += [f"WEBHOOK_SECRET_FILE={tmp_path / 'secret'}", "ENGINE_URL=http://127.0.0.1:8001"]
    settings = Settings.load(env_file(tmp_path, *lines, "WEBHOOK_URL=https://bot.example.org", "TELEGRAM_BOT_TOKEN="))
    assert settings.telegram_bot_token.get_secret_value() == TOKEN
    assert settings.webhook_secret is not None and settings.webhook_secret.get_secret_value() == "abc"
    assert settings.engine_key is not None and settings.engine_key.get_secret_value() == "sk-1"
    assert DataSettings.load(tmp_path / ".env").engine_key == settings.engine_key


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two words", b"\xff\xfe", b"not-a-token", b"1:\x00abc"])
def test_a_secrets_file_that_is_wrong_is_told_without_the_secret(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    (problem,) = problems(env_file(tmp_path, f"TELEGRAM_BOT_TOKEN_FILE={file}"))
    assert problem.startswith("TELEGRAM_BOT_TOKEN") and "not-a-token" not in problem and "abc" not in problem
    file.unlink(missing_ok=True)
    file.mkdir()
    assert "cannot be read" in problems(tmp_path / ".env")[0]


def test_a_secret_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    lines = (f"TELEGRAM_BOT_TOKEN={TOKEN}", f"TELEGRAM_BOT_TOKEN_FILE={tmp_path / 'token'}")
    assert "both set" in problems(env_file(tmp_path, *lines))[0]
