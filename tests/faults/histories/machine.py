"""A state machine that prompts, rates, forgets, kills, restarts, swaps and floods in any order.

Draws what can be done; how it is done, and what must hold, is on the `stage`. What is drawn never depends
on what the bot has done so far, so one seed always means the same histories. The tests do a few;
`python -m tests.faults.histories.machine 200 [SEED [ENGINE_URL]]` does 200.
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
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.faults.histories.stage import GROUPS, NAMES, Stage

STEPS = 20
SETTLES_EVERY = 7

_LOG_LINES = 30

_WHO = st.sampled_from(NAMES)
_PICK = st.integers(0, 2)
_PAUSE = st.sampled_from((0.0, 0.005, 0.01, 0.02, 0.1, 0.5))
_CUT = st.one_of(st.none(), _PAUSE)
_PROMPT = st.tuples(_WHO, st.sampled_from(("private", *GROUPS)), st.sampled_from(("slogan", "poem", "story", "write")))
_WORDS = st.lists(st.sampled_from(("up", "down", "nothing", "💩", "🤔")), min_size=1, max_size=5)
_RATE = st.tuples(st.just("rate"), _WHO, _PICK, _WORDS)
_FORGET = st.tuples(st.just("forget"), _WHO, _CUT)
_DEED = st.one_of(
    _RATE, _RATE, _RATE, _FORGET, _FORGET,
    st.tuples(st.just("refine"), _WHO, _PICK),
    st.tuples(st.just("again"), _WHO, _PICK),
    st.tuples(st.just("crash"), _PAUSE),
    st.tuples(st.just("restart"), _PAUSE),
    st.tuples(st.just("swap"), _CUT),
    st.tuples(st.just("flood"), st.sampled_from(("sendMessage", "editMessageText")), st.integers(1, 2)),
)  # fmt: skip


class Machine(RuleBasedStateMachine):
    """One history, on a stage of its own.

    There is one rule for all deeds, because of several Hypothesis would leave half out of each history, and a few
    histories are to hold every pair of deeds.
    """

    settings_of_bot: ClassVar[dict[str, str]] = {}
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._history: list[str] = []
        self._steps = 0
        self._is_over = False
        self._runner = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory(prefix="ovation-machine-")
        self._stage = Stage(Path(self._folder.name), self.settings_of_bot)
        try:
            self._do(self._stage.open())
        except BaseException:
            self.teardown()
            raise

    @rule(prompt=_PROMPT, deed=_DEED)
    def act(self, prompt: tuple[str, str, str], deed: tuple[object, ...]) -> None:
        """Somebody prompts, and something happens while that is answered."""
        self._do(self._stage.prompt(*prompt), *prompt)
        name, *details = deed
        self._do(getattr(self._stage, str(name))(*details), *details)

    @invariant()
    def holds(self) -> None:
        """Now and then everything may settle, and is compared."""
        if self._steps % SETTLES_EVERY == SETTLES_EVERY - 1:
            self._do(self._stage.settle())
        self._steps += 1

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
