"""Whatever stands in `.env`: it loads, or a sentence names what to correct. Never an exception of another kind."""

import os
import random
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.common.errors import SettingsError
from bot.common.settings import Settings

EXAMPLE = Path(__file__).parents[3] / ".env.example"
TOKEN = "123456789:AAE-this_is_a_token_of_35_characters"
FILES = {f"{name}_FILE" for name in ("TELEGRAM_BOT_TOKEN", "WEBHOOK_SECRET", "ENGINE_KEY")}
"""Each stands in another's place."""
NAMES = tuple(name.upper() for name in Settings.model_fields)

Line = tuple[str, bytes]
"""The name of a variable, and what stands for it in the file."""

VALUES = (
    "", " ", "~", "~/x", "~nobody/x", ".", "..", "/", "/dev/null", "/proc/self/mem", "x" * 5000,
    "/".join("a" * 3000), "0", "-1", "1", "1e400", "-1e400", "nan", "inf", "-inf", "9" * 5000, "1" * 30, "1_000",
    "0x10", "٣", "²", "1.5",
    "true", "on", "off", "ON", "none", "null", "[]", "{}", "[" * 3000, "a,b", ",,,", "1,2,3", "1;2", "@ada",
    "http://", "http://[::1", "http://a..b/", "http://exa mple/", "https://h:99999/", "https://user:pass@h/", "ftp://h/",
    "https://bücher.example/ü?q=%ff#x", "h:80", ":80", "h:", "[::1]:80", "127.0.0.1:70000", "a..b:80", "1.2.3.4:٣",
    "* * * * *", "99 3 * * *", "30 3 * *", "*/0 * * * *", "0 0 31 2 *", "0 3 * * 5-1", "@daily", "0 3 * * mon#2",
    "Europe", "Europe/Berlin", "../../etc/passwd", "UTC\\x00", "posixrules", "GMT+99", "tzdata.zi",
    "\\", "\\n", "'", '"', "''", '""', "`id`", "$(id)", "${HOME}", "${", "${X:-${Y}}", "#", "a # b", "=", "a=b",
    "é绿茶👍", "\u202e", "\u2028", "\ud800", "\x1b[31m", "\t", "\x0b", "\x85", "%s %d {0} {x}", "<script>",
    "'; DROP TABLE runs; --",
)  # fmt: skip
BYTES = (
    b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n", b"\xc3", b"\xe4\xbd", b"\x80", b"'", b'"',
    b"=", b"#", b"\\", b" ", b"\x1a", b"$", b"\xed\xa0\x80", b"export ", b"\x0c", b"\xc2\x85",
)  # fmt: skip


def examples(folder: Path) -> list[Line]:
    """Every setting with a value that is right; those of another's engine and the files of one's own among them."""
    pairs = re.findall(r"^#?([A-Z_]+)=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    own = {
        "TELEGRAM_BOT_TOKEN": TOKEN, "WEBHOOK_SECRET": "only-telegram-knows", "ENGINE_KEY": "key-of-the-server",
        "REACTIONS_FILE": f"{folder}/reactions.toml", "KINDS_FILE": f"{EXAMPLE.parent}/bot/kinds.toml",
        "WORDS_FILE": f"{folder}/words.txt",
        "PROTECTED_DIR": f"{folder}/protected", "DATA_DIR": f"{folder}/data", "KEY_FILE": f"{folder}/data.key",
    }  # fmt: skip
    (folder / "protected").mkdir(exist_ok=True)
    (folder / "reactions.toml").write_text('"🤡" = -0.8\n', encoding="utf-8")
    (folder / "words.txt").write_text("gadzooks\n", encoding="utf-8")
    return [(name, own.get(name, value).encode()) for name, value in pairs if name in NAMES and (name in own or value)]


def line(name: str, value: bytes) -> Line:
    return name, name.encode() + b"=" + value


def other_value(dice: random.Random, name: str, value: bytes) -> Line:
    return line(name, dice.choice(VALUES).encode("utf-8", "surrogatepass"))


def other_bytes(dice: random.Random, name: str, value: bytes) -> Line:
    whole = bytearray(name.encode() + b"=" + value)
    for _ in range(dice.randint(1, 4)):
        at = dice.randint(0, len(whole))
        whole[at : at + dice.randint(0, 2)] = dice.choice(BYTES)
    return name, bytes(whole)


def other_quoting(dice: random.Random, name: str, value: bytes) -> Line:
    begin, end = dice.choice(VALUES[-40:]), dice.choice(("", "'", '"', "\\'", '\\"', "\n", " #", "'x"))
    return line(
        name, dice.choice((b"'", b'"', b"", b"$'", b"`")) + begin.encode("utf-8", "ignore") + value + end.encode()
    )


def other_name(dice: random.Random, name: str, value: bytes) -> Line:
    at = dice.randrange(len(name))
    changed = dice.choice([
        name.lower(), name + "S", name[:at] + name[at + 1 :], f"export {name}", f"'{name}'", f"{name} ", f" {name}",
        name[:at] + dice.choice("-. é绿$\u200b'\"") + name[at:], "", name * 50,
    ])  # fmt: skip
    return name, changed.encode() + dice.choice((b"=", b" = ", b":", b"", b"==")) + value


def cut(dice: random.Random, name: str, value: bytes) -> Line:
    whole = name.encode() + b"=" + value
    return name, whole[: dice.randint(0, len(whole))]


CHANGES: tuple[Callable[[random.Random, str, bytes], Line], ...] = (
    other_value, other_value, other_value, other_bytes, other_quoting, other_name, cut,
)  # fmt: skip


def cases(seed: int, count: int, folder: Path) -> Iterator[tuple[set[str], bytes]]:
    """The names that were changed, and the file."""
    dice, right = random.Random(seed), examples(folder)
    foreign, own = {"ENGINE_URL", "ENGINE_KEY"}, {"GUARD_MODEL"}
    for _ in range(count):
        without = dice.choice((foreign, own))  # they exclude each other
        left_out = without | FILES
        chosen = {name for name, _ in right if name not in left_out and dice.random() < 0.5} | {"TELEGRAM_BOT_TOKEN"}
        changed = {dice.choice(NAMES) for _ in range(dice.randint(1, 3))} - without
        lines = []
        for name, value in right:
            if name in changed:
                lines.append(dice.choice(CHANGES)(dice, name, value)[1])
            elif name in chosen:
                lines.append(line(name, value)[1])
        dice.shuffle(lines)
        content = dice.choice((b"\n", b"\n", b"\r\n", b"\r")).join(lines)
        if dice.random() < 0.1:
            content = dice.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"# note\n\n", b"\0")) + content
        if dice.random() < 0.02:
            content = content.decode("utf-8", "ignore").encode(dice.choice(("utf-16", "utf-16-le", "utf-32")))
        yield changed, content


def use(settings: Settings) -> None:
    """What the start makes of the values, as far as it needs neither network nor model."""
    assert all(str(each) for each in (settings.key_path, settings.database_path, settings.keyring_path))
    for days in (settings.tenure_days, settings.canary_days, settings.tainted_days, settings.retention_days):
        assert timedelta(days=days) >= timedelta(0)
    assert timedelta(hours=settings.canary_hours) >= timedelta(0)
    assert settings.schedule
    assert settings.label.strip() and settings.reaction_values
    settings.telegram_bot_token.get_secret_value().encode("ascii")
    for number in (settings.min_ratings, settings.queue_limit, settings.train_memory_mb, *settings.admin_ids):
        assert number < 2**54, number


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 400), pytest.param(2, 10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_any_file_loads_or_is_told_in_sentences_that_name_what_to_correct(
    seed: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / ".env"
    file.touch(mode=0o600)
    loaded = told = 0
    for changed, content in cases(seed, count, tmp_path):
        file.write_bytes(content)
        try:
            settings = Settings.load(file)
            use(settings)
            loaded += 1
        except SettingsError as error:
            told += 1
            for problem in error.problems:
                assert "\n" not in problem and problem.endswith("."), (content, problem)
                assert re.search(r"[A-Z]{3,}_|\.env, line \d|LABEL|MODEL|TIMEZONE|QUANTIZE|PACING|WATERMARK"
                                 r"|PROMOTION|OBJECTIVE| is not a setting", problem), (content, problem)  # fmt: skip
                assert TOKEN not in problem and "only-telegram-knows" not in problem, problem
        except Exception as error:
            error.add_note(f"{changed}: {content!r}")
            raise
    assert loaded > count // 20 and told > count // 4


@pytest.mark.parametrize(("seed", "count"), [(3, 150), pytest.param(4, 3_000, marks=pytest.mark.slow)])
def test_any_value_in_the_environment_loads_or_names_its_variable(
    seed: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for _ in range(count):
        name = dice.choice(NAMES)
        value = dice.choice(VALUES).replace("\0", "").encode("utf-8", "surrogatepass")
        if dice.random() < 0.3:
            value += dice.choice(BYTES).replace(b"\0", b"")
        with monkeypatch.context() as context:
            context.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
            context.setenv(name, os.fsdecode(value))
            try:
                use(Settings.load(tmp_path / "none"))
            except SettingsError as error:
                assert name in str(error), (name, value)
            except Exception as error:
                error.add_note(f"{name}={value!r}")
                raise
