"""What is done with a text from anyone costs what its length says, never its square: counted in steps, not in seconds.

Two things are counted. Of every regular expression in the packages that read texts, the characters that a backtracking
matcher looks at (`tests/support/regex_steps.py`). Of every public function in them that takes a text, the lines of
Python that it runs, those of libraries too. What neither sees are copies that C makes of long strings, line by line.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType, ModuleType
from typing import Any

import pytest

import bot.common.text
import bot.generation
import bot.moderation
import engine.data
import engine.preference
import engine.safety
import engine.unicode
from bot.common import kinds
from bot.generation import continuing, finishing
from bot.generation.inline import parsed
from bot.moderation import labels
from engine.api import reading, thoughts
from engine.api.types import Message
from engine.data.cleaning import first_alike
from engine.preference.choice import RecentTexts
from engine.preference.features import text_features
from engine.runs import text_metrics
from engine.safety.filter import load_filter
from engine.safety.near_copy import CopyIndex, fingerprint
from tests.support.regex_steps import Counter, TooManySteps

KINDS = kinds.load_kinds()
FILTER = load_filter()

UNITS = [
    *"a b [ ( ] ]( ![ [a](b.c) [a](http: * _ ` ``` ~~ > < <a <br> & &#3 | # . .. , - -- 1 1. 1- 1: a- a. a@".split(),
    *"a@a.a +1 AA11 eyJ- sk- xox ghp_ http://a www. AI- AI-generated· ·v3·#1 绿 绿。 😀 “ ' {a ____".split(),
    *"<think> </think> `<think> a's a\u0301\u0316 \u0344\u0316 \u200d a\u034f\u0301".split(),
    *(
        "\n",
        " ",
        " \n",
        "\t",
        "a ",
        "a b ",
        ". ",
        "1. a\n",
        "- a\n",
        "> ",
        "|a|b\n",
        "two a ",
        "Here is a ",
        "Thank you. ",
    ),
    *("What can I do for you. ", "Dear [", "the the ", "No. ", "sure, ", "```\n", "AI-generated "),
]
FEW = ("[", "a-", "1. ", " \n", "a\u0301\u0316", "AI-")


def texts(units: Sequence[str], length: int) -> Iterator[tuple[str, str]]:
    """Texts of a length that repeat a unit, with what breaks off at their end."""
    for unit in units:
        yield unit, (unit * (length // len(unit) + 1))[:length] + "$"


def modules() -> list[ModuleType]:
    packages = (bot.generation, bot.moderation, engine.data, engine.preference, engine.safety)
    named = [
        f"{package.__name__}.{each.name}" for package in packages for each in pkgutil.iter_modules(package.__path__)
    ]
    return [
        bot.common.text,
        kinds,
        engine.unicode,
        text_metrics,
        reading,
        thoughts,
        *map(importlib.import_module, named),
    ]


# Regular expressions


def patterns() -> dict[str, re.Pattern[str]]:
    """Every pattern of the modules: those that have names, those in tuples, and those that stand in a call."""
    found: dict[str, re.Pattern[str]] = {}
    for module in modules():
        for name, value in vars(module).items():
            for place, each in enumerate(value if isinstance(value, tuple) else (value,)):
                if isinstance(each, re.Pattern) and isinstance(each.pattern, str):
                    found[f"{module.__name__}.{name}[{place}]"] = each
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=done), args=[ast.Constant(value=str(written)), *_]
                ) if done != "compile":
                    anchor = r"\A" if done in ("match", "fullmatch") else ""
                    found[f"{module.__name__}:{node.lineno}"] = re.compile(f"{anchor}(?:{written})")
    return {name: each for name, each in found.items() if name not in IN_SHORT_PIECES}


IN_SHORT_PIECES = {"bot.common.text._ABBREVIATION[0]"}
"""Looked for in a few characters only."""


def steps(pattern: re.Pattern[str], text: str, most: int) -> int:
    try:
        return Counter(pattern, text, most=most).look_everywhere()
    except TooManySteps:
        return most


def grows_too_fast(pattern: re.Pattern[str], unit: str, length: int) -> bool:
    """Whether three times the text costs more than five times the steps: it would be nine in a quadratic one.

    Most need no long text: with a short one the steps are three times as many already.
    """
    for short, factor in ((40, 3.5), (length, 5.0)):
        (_, text), (_, longer) = *texts((unit,), short), *texts((unit,), 3 * short)
        few = steps(pattern, text, short**3)
        most = int(factor * few) + 1
        if steps(pattern, longer, most) < most:
            return False
    return True


@pytest.fixture(autouse=True)
def deep() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200_000)
    yield
    sys.setrecursionlimit(before)


def test_a_quadratic_pattern_is_known_as_one_and_a_linear_one_is_not() -> None:
    for quadratic, unit in ((r"a+b", "a"), (r"\[[^\]]+\]\(", "["), (r"\s+$", " ")):
        assert grows_too_fast(re.compile(quadratic), unit, 140)
    for linear, unit in ((r"(?<!a)a+b", "a"), (r"\[[^\[\]]+\]\(", "["), (r"\b[\w.+-]{1,64}@", "a-"), (r"\s+", " ")):
        assert not grows_too_fast(re.compile(linear), unit, 140)


def test_every_pattern_takes_steps_that_grow_with_the_text_in_a_few_cases() -> None:
    found = patterns()
    assert len(found) > 60, "they are found"
    assert [(name, unit) for name, each in found.items() for unit in FEW[:2] if grows_too_fast(each, unit, 100)] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_pattern_takes_steps_that_grow_with_the_text() -> None:
    found = patterns()
    assert [(name, unit) for name, each in found.items() for unit in UNITS if grows_too_fast(each, unit, 350)] == []


# Functions


def asked(kind: str, text: str = "our open day") -> tuple[Message, ...]:
    return KINDS.by_name[kind].messages(text)


def finish(text: str, kind: str = "post", reason: Any = "stop", given: str = "our open day") -> object:
    draft = finishing.Draft(text, reason)
    return finishing.finish(draft, messages=asked(kind, given), kind=KINDS.by_name[kind], language="en")


def copied(text: str) -> bool:
    index = CopyIndex()
    index.add(text, "ada")
    return index.is_copy(f"{text} x")


CALLS: dict[str, Callable[[str], object]] = {
    "bot.common.text.truncate": lambda text: bot.common.text.truncate(text, 4096),
    "bot.common.text.split": lambda text: bot.common.text.split(text, 4096, last=4000, most=10),
    "bot.common.text.beginning": lambda text: bot.common.text.beginning(text, 3000),
    "bot.generation.finishing.finish": finish,
    "finish, a poem that is cut": partial(finish, kind="poem", reason="length"),
    "finish, an answer that is cut": partial(finish, kind="write", reason="length"),
    "finish, a slogan": partial(finish, kind="slogan"),
    "finish, given the text": lambda text: finish("Tea is good.", given=text),
    "topic_in": KINDS.by_name["post"].topic_in,
    "agreement": lambda text: finishing.agreement([text, text]),
    "bot.generation.continuing.joined": lambda text: continuing.joined(text, f"{text} more"),
    "bot.generation.inline.parsed": lambda text: parsed(text, KINDS),
    "a growing label": lambda text: labels.without_labels(text, is_growing=True),
    "unsafe": FILTER.unsafe,
    "findings": FILTER.findings,
    "leaks": lambda text: FILTER.leaks(text, told=text),
    "copy": copied,
    "engine.safety.near_copy.fingerprint": lambda text: fingerprint(text, b"key"),
    "first_alike": lambda text: first_alike([text, f"{text}x"]),
    "features": lambda text: text_features([text]),
    "novelty": RecentTexts().novelty,
}
NOT_OF_ANYONE = {"engine.data.rewards.read_reaction_values"}
"""What reads files of the operator's."""


def functions() -> dict[str, Callable[[str], object]]:
    """Every public function of the modules that takes one text, and those of `CALLS`."""
    found = dict(CALLS)
    for module in modules():
        for name, value in vars(module).items():
            full = f"{module.__name__}.{name}"
            if not inspect.isfunction(value) or value.__module__ != module.__name__ or name.startswith("_"):
                continue
            needed = [each for each in inspect.signature(value).parameters.values() if each.default is each.empty]
            if len(needed) == 1 and needed[0].annotation in (str, "str") and full not in NOT_OF_ANYONE:
                found.setdefault(full, value)
    return found


def lines(function: Callable[[str], object], text: str) -> int:
    """The lines of Python that run, in generators that come of it too."""
    count = 0

    def line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        result = function(text)
        if inspect.isgenerator(result):
            list(result)
    except Exception:  # noqa: BLE001 - what it says to such a text is other tests' matter
        pass
    finally:
        sys.settrace(before)
    return count


def slow_ones(units: Sequence[str], length: int) -> list[tuple[str, str]]:
    """Functions that run more than five times the lines for three times the text."""
    found = []
    for name, function in functions().items():
        function("warm up")
        for unit in units:
            (_, short), (_, long) = *texts((unit,), length), *texts((unit,), 3 * length)
            few = lines(function, short)
            if few > 2 * length and lines(function, long) > 5 * few:
                found.append((name, unit))
    return found


def test_every_function_runs_lines_that_grow_with_the_text_in_a_few_cases() -> None:
    assert len(functions()) > 35, "they are found"
    assert slow_ones(FEW, 150) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_function_runs_lines_that_grow_with_the_text() -> None:
    assert slow_ones(UNITS, 300) == []
