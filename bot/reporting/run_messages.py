"""What people are told of a run and of the trial that may follow it.

First the sentences, then the messages that are made of them: progress and verdict for whoever asked for the run, and
for every admin the morning digest of a scheduled run and the end of a trial.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bot.common.errors import DeliveryError, Refusal
from bot.common.i18n import say
from bot.common.settings import Settings
from bot.common.tasks import BackgroundTasks
from bot.common.text import truncate
from bot.common.timing import USUAL, Timing
from bot.learning.canary import CanaryStatus
from bot.learning.nightly import Nightly, run_folder
from bot.messaging.messenger import Address, Keyboard, Messenger, Urgency, undo_button, with_retries
from bot.reporting.statistics import ChatStatistics
from engine.errors import RunError
from engine.runs.run_dir import Comparison, Progress, read_report
from storage.db.database import Database
from storage.db.records import ProgressMessage, Run, Trial
from storage.tables import generations, runs

logger = logging.getLogger(__name__)

_STAGES = {"loading": 0.03, "reference": 0.12, "training": 0.73, "judging": 0.10, "report": 0.02}
"""Share of a run's time that each stage takes, in their order; measured on one run of 336 texts on the starter."""
_ETA_SHARE = 0.06
"""Before so much is done, the time that is left cannot be told."""
_BAR_CELLS = 10
_EXAMPLES = 2
_EXAMPLE_UNITS = 300
"""Length of each text in an example, in UTF-16 units, so that the whole digest is one message."""


def verdict_sentence(run: Run, language: str) -> str:
    """The verdict, the version that it names, and the reason."""
    numbers = {"ratings": float(run.ratings), **run.numbers}
    sentence = say(
        language,
        f"verdict-{run.verdict}",
        run=run.id,
        version=run.version or "",
        why=run.reason or "",
        share=100 * numbers.get("share", 0.0),
        reason=reason_sentence(run.reason or "", numbers, language, candidate=f"v{run.id}"),
    )
    return " ".join([sentence, say(language, "verdict-left-out")]) if numbers.get("left_out") else sentence


def reason_sentence(code: str, numbers: Mapping[str, float], language: str, *, candidate: str = "") -> str:
    """Why a run ended as it did."""
    return say(
        language,
        f"reason-{code}",
        ratings=round(numbers.get("ratings", 0)),
        gain_points=round(100 * numbers.get("gain", 0.0), 1),
        sure=100 * numbers.get("probability", 0.0),
        have=round(numbers.get("have", 0)),
        need=round(numbers.get("need", 0)),
        candidate=candidate,
        live=_live_ratings(numbers, language),
    )


def canary_sentence(status: CanaryStatus, language: str) -> str:
    """What is on trial, what people say so far, how sure that is and how many ratings are missing."""
    return _trial_sentence(
        status.trial.mode, status.trial, status.numbers, language, better=status.comparison.better, togo=status.to_go
    )


def ending_sentence(trial: Trial, language: str) -> str:
    """How the ratings have ended a trial."""
    better = trial.numbers.get("live_better", 0.0)
    return _trial_sentence(trial.outcome or "", trial, trial.numbers, language, better=better, togo=0)


def _trial_sentence(
    what: str, trial: Trial, numbers: Mapping[str, float], language: str, *, better: float, togo: int
) -> str:
    return say(
        language,
        f"trial-{what.replace('_', '-')}",
        version=trial.version,
        reference=trial.reference,
        serves=trial.champion or trial.reference,
        live=_live_ratings(numbers, language),
        better=100 * better,
        togo=togo,
    )


def _live_ratings(numbers: Mapping[str, float], language: str) -> str:
    """The likes among the ratings of both arms; also for a run that has none."""
    names = ("live_likes", "live_ratings", "live_reference_likes", "live_reference_ratings")
    likes, ratings, reference_likes, reference_ratings = (numbers.get(name, 0) for name in names)
    return say(
        language,
        "trial-numbers",
        likes=round(likes),
        ratings=round(ratings),
        percent=100 * likes / max(ratings, 1),
        rlikes=round(reference_likes),
        rratings=round(reference_ratings),
        rpercent=100 * reference_likes / max(reference_ratings, 1),
    )


def progress_sentence(run: Run, progress: Progress | None, language: str) -> str:
    """A bar, the stage, and how long it will still take."""
    share = share_done(progress)
    left = seconds_left(run, share)
    filled = round(share * _BAR_CELLS)
    return say(
        language,
        "retrain-progress",
        run=run.id,
        stage=say(language, f"stage-{progress.stage if progress else 'starting'}"),
        bar="▓" * filled + "░" * (_BAR_CELLS - filled),
        percent=round(100 * share),
        loss="" if progress is None or progress.loss is None else say(language, "retrain-loss", loss=progress.loss),
        eta="" if left is None else say(language, "retrain-eta", seconds=left),
    )


def share_done(progress: Progress | None) -> float:
    """How much of a run is done, 0 to 1, from its stage and the steps in it."""
    if progress is None:
        return 0.0
    names = list(_STAGES)
    before = sum(_STAGES[name] for name in names[: names.index(progress.stage)])
    within = progress.done / progress.total if progress.total else 0.0
    return min(1.0, before + _STAGES[progress.stage] * min(1.0, within))


def seconds_left(run: Run, share: float) -> int | None:
    """How long a run will still take, if it goes on as it has; None while too little is done to tell."""
    spent = time.time() - run.started_at.timestamp()
    return round(spent * (1 - share) / share) if share > _ETA_SHARE and spent > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMessages:
    """Keeps the messages that follow a run up to date, and tells admins how runs and trials end."""

    db: Database
    nightly: Nightly
    messenger: Messenger
    statistics: ChatStatistics
    settings: Settings
    timing: Timing = USUAL
    _followers: BackgroundTasks = field(default_factory=BackgroundTasks, init=False)

    async def status(self, language: str) -> str:
        """One sentence on the present run, or on the last one."""
        run = await runs.latest(self.db)
        if run is None:
            return say(language, "retrain-none")
        if run.verdict is None:
            return progress_sentence(run, self.nightly.progress, language)
        return verdict_sentence(run, language)

    async def follow(self, run: int, message: ProgressMessage) -> None:
        """Show a run's progress, and at last its verdict, by editing a message."""
        await runs.add_progress_message(self.db, run, message)
        latest = await runs.latest(self.db)
        if latest is not None and latest.id == run and latest.verdict is not None:
            await self._show(message, verdict_sentence(latest, message.language))
        else:
            self._followers.start(self._keep_showing(run, message), name=f"progress of run {run}")

    async def resume(self) -> None:
        """Go on showing the progress of a run that was resumed after a restart."""
        run = await runs.running(self.db)
        if run is not None:
            for message in await runs.progress_messages(self.db, run.id):
                self._followers.start(self._keep_showing(run.id, message), name=f"progress of run {run.id}")

    async def run_ended(self, run: Run) -> None:
        """Show the verdict to those who follow the run, and after a scheduled run the digest to every admin."""
        await self.close()
        for message in await runs.progress_messages(self.db, run.id):
            await self._show(message, verdict_sentence(run, message.language))
        if run.slot is not None:
            await self._tell_admins(partial(self._send_digest, run))

    async def trial_ended(self, trial: Trial) -> None:
        """Tell every admin that the ratings have ended a trial."""

        async def tell(to: Address, language: str) -> None:
            await with_retries(partial(self.messenger.send, to, ending_sentence(trial, language)))

        await self._tell_admins(tell)

    async def close(self) -> None:
        """Stop showing progress."""
        await self._followers.close()

    async def _keep_showing(self, run_id: int, message: ProgressMessage) -> None:
        shown = ""
        while (run := await runs.running(self.db)) is not None and run.id == run_id:
            text = progress_sentence(run, self.nightly.progress, message.language)
            if text != shown:
                try:
                    await self.messenger.edit(message.chat_id, message.message_id, text, urgency=Urgency.PREVIEW)
                    shown = text
                except DeliveryError as error:
                    logger.info("run %d: progress not shown: %s", run_id, error)
            await asyncio.sleep(self.timing.progress)

    async def _show(self, message: ProgressMessage, text: str) -> None:
        try:
            await with_retries(lambda: self.messenger.edit(message.chat_id, message.message_id, text))
        except DeliveryError as error:
            logger.warning("a run's verdict cannot be shown: %s", error)

    async def _tell_admins(self, tell: Callable[[Address, str], Awaitable[None]]) -> None:
        for admin in self.settings.admin_ids:
            asked_in = await runs.latest_language_in(self.db, admin)
            language = asked_in or await generations.latest_language_in(self.db, admin) or "en"
            try:
                await tell(Address(chat_id=admin), language)
            except DeliveryError as error:
                logger.warning("an admin cannot be told: %s", error)

    async def _send_digest(self, run: Run, to: Address, language: str) -> None:
        """The verdict; of a version that serves, examples and the button that takes it back; and a chart of 30 days.

        The examples answer golden prompts, so nothing that people wrote is in them.
        """
        parts = [say(language, "digest", verdict=verdict_sentence(run, language))]
        buttons: Keyboard = ()
        if run.version is not None and run.verdict in ("promoted", "canary"):
            for example in await asyncio.to_thread(self._examples, run.id):
                before, after = (truncate(text, _EXAMPLE_UNITS) for text in (example.before, example.after))
                parts.append(say(language, "digest-example", prompt=example.prompt, before=before, after=after))
            if run.reason != "approval":
                buttons = undo_button(language, run.version)
        await with_retries(partial(self.messenger.send, to, "\n\n".join(parts), buttons))
        try:
            chart = await self.statistics.chart_of(None, language)
        except Refusal:  # nobody has rated anything
            return
        await with_retries(partial(self.messenger.send_picture, to, chart.png, caption=chart.caption))

    def _examples(self, run: int) -> Sequence[Comparison]:
        """Where the new version pleases more than the old one, by the gate's judge; none where the report is gone."""
        try:
            examples = read_report(run_folder(self.settings.data_dir, run)).examples
        except RunError:
            return ()
        changed = [example for example in examples if example.before != example.after]
        return sorted(changed, key=lambda it: it.before_liking - it.after_liking)[:_EXAMPLES]
