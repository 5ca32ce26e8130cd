"""A state machine that prompts, rates, forgets, kills, restarts, swaps and floods in any order.

Knows what can be done, as rules; how it is done, and what must hold, is on the `stage`. What a rule draws never depends
on what the bot has done so far, so one seed always means the same histories. The tests do a few;
`python -m tests.faults.machine 200 [SEED [ENGINE_URL]]` does 200.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.faults.stage import GROUPS, NAMES, Stage

STEPS = 15

_LOG_LINES = 30
_FIRST_PROMPTS = 3
_WHO = st.sampled_from(NAMES)
_WHERE = st.sampled_from(("private", "private", *GROUPS))
_KIND = st.sampled_from(("slogan", "poem", "story", "write"))
_PICK = st.integers(0, 2)
_WORDS = st.lists(st.sampled_from(("up", "down", "nothing", "👍", "💩", "🤔")), min_size=1, max_size=4)
_PAUSE = st.sampled_from((0.0, 0.03, 0.1, 0.5))
_CUT = st.sampled_from((None, None, 0.0, 0.01, 0.02, 0.05))


class Machine(RuleBasedStateMachine):
    """One history, on a stage of its own."""

    settings_of_bot: ClassVar[dict[str, str]] = {}
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._history: list[str] = []
        self._is_over = False
        self._runner = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory(prefix="ovation-machine-")
        self._stage = Stage(Path(self._folder.name), self.settings_of_bot)
        try:
            self._do(self._stage.open())
        except BaseException:
            self.teardown()
            raise

    @initialize(prompts=st.lists(st.tuples(_WHO, _WHERE, _KIND), min_size=_FIRST_PROMPTS, max_size=_FIRST_PROMPTS))
    def begin(self, prompts: list[tuple[str, str, str]]) -> None:
        for prompt in prompts:
            self.prompt(*prompt)

    @rule(who=_WHO, where=_WHERE, kind=_KIND)
    def prompt(self, who: str, where: str, kind: str) -> None:
        self._do(self._stage.prompt(who, where, kind), who, where, kind)

    @rule(who=_WHO, pick=_PICK, by_button=st.booleans())
    def follow(self, who: str, pick: int, by_button: bool) -> None:
        self._do(self._stage.again(who, pick) if by_button else self._stage.refine(who, pick), who, pick)

    @rule(who=_WHO, pick=_PICK, words=_WORDS)
    def rate(self, who: str, pick: int, words: list[str]) -> None:
        self._do(self._stage.rate(who, pick, words), who, pick, *words)

    @rule(who=_WHO, cut=_CUT)
    def forget(self, who: str, cut: float | None) -> None:
        self._do(self._stage.forget(who, cut), who, cut)

    @rule(pause=_PAUSE)
    def crash(self, pause: float) -> None:
        self._do(self._stage.crash(pause), pause)

    @rule(pause=_PAUSE)
    def restart(self, pause: float) -> None:
        self._do(self._stage.restart(pause), pause)

    @rule(cut=_CUT)
    def swap(self, cut: float | None) -> None:
        self._do(self._stage.swap(cut), cut)

    @rule(method=st.sampled_from(("sendMessage", "editMessageText")), times=st.integers(1, 2))
    def flood(self, method: str, times: int) -> None:
        self._do(self._stage.flood(method, times), method, times)

    @rule()
    def settle(self) -> None:
        self._do(self._stage.settle())

    def teardown(self) -> None:
        """The end of every history: it settles, holds, and the bot stops when it is told to."""
        try:
            self._do(self._stage.close(in_order=not self._is_over))
        finally:
            self._runner.close()
            self._folder.cleanup()

    def _do(self, deed: Coroutine[object, object, None], *details: object) -> None:
        """Run a deed to its end; what fails tells the whole history."""
        self._history.append(" ".join(map(str, (deed.__name__, *details))))
        self.done[deed.__name__] += 1
        try:
            self._runner.run(deed)
        except BaseException as error:
            self._is_over = True
            error.add_note("\n".join(["The history:", *self._history]))
            error.add_note("\n".join(["The bot's last words:", *self._stage.bot.log.splitlines()[-_LOG_LINES:]]))
            raise


def run_histories(count: int, *, seed_number: int, settings_of_bot: dict[str, str]) -> Counter[str]:
    """Let the machine run, always in the same ways for the same seed; returns how often it did what."""

    class Here(Machine):
        """A class of its own, with a count and settings of its own."""

    Here.done, Here.settings_of_bot = Counter(), settings_of_bot
    run_state_machine_as_test(
        seed(seed_number)(Here),
        settings=settings(
            max_examples=count, stateful_step_count=STEPS, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    return Here.done


def _main(count: str, seed_number: str = "1", engine_url: str = "") -> None:
    """Without an engine's address, every bot starts an engine of its own, which takes longer and is killed with it."""
    settings_of_bot = {"ENGINE_URL": engine_url} if engine_url else {}
    done = run_histories(int(count), seed_number=int(seed_number), settings_of_bot=settings_of_bot)
    sys.stdout.write(f"{dict(done)}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
