"""What admins read of a trial: how it stands and how it ended. Knows sentences and numbers, not how they come about.

How a run has ended, in words. Knows codes and sentences, not how a run works.

The morning digest: what a night has learned, what it writes now beside before, and a picture of how it is liked.

The examples answer golden prompts, so nothing that people wrote is in it. Knows a run's report and sentences; whom it
goes to is the bulletin's matter.

The bulletin: what admins read of a run while it goes on and when it ends, and of how its trial ends.

Knows sentences, not how a run works.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bot.common.errors import DeliveryError, Refusal
from bot.common.i18n import say
from bot.common.text import fitting
from bot.common.timing import USUAL, Timing
from bot.learning.canary import Standing
from bot.learning.nightly import Nightly, run_folder
from bot.messaging.keyboards import Keyboard, undo_button
from bot.messaging.messenger import Address, Messenger, Urgency, patiently
from bot.reporting.statistics import Picture, StatisticsDesk
from engine.errors import RunError
from engine.runs.run_dir import Comparison, Progress, read_report
from storage.db.database import Database
from storage.db.records import Announcement, Run, Trial
from storage.tables import generations, runs


def standing_sentence(standing: Standing, language: str) -> str:
    """What is on trial, what people say so far, how sure that is and how much is missing."""
    trial, evidence = standing.trial, standing.evidence
    live = {
        "live_likes": standing.version.likes,
        "live_ratings": standing.version.ratings,
        "live_reference_likes": standing.reference.likes,
        "live_reference_ratings": standing.reference.ratings,
    }
    return say(
        language,
        f"trial-{trial.way}",
        version=trial.version,
        reference=trial.reference,
        live=live_words(live, language),
        better=100 * evidence.better,
        togo=standing.to_go,
    )


def ending_sentence(trial: Trial, language: str) -> str:
    """How the ratings have ended a trial."""
    outcome = (trial.outcome or "").replace("_", "-")
    return say(
        language,
        f"trial-{outcome}",
        version=trial.version,
        reference=trial.reference,
        serves=trial.serves or trial.reference,
        live=live_words(trial.numbers, language),
        better=100 * trial.numbers.get("live_better", 0.0),
    )


def live_words(numbers: Mapping[str, float], language: str) -> str:
    """The likes among the ratings of both arms, from a trial's numbers; also where a run has none."""
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


def verdict_sentence(run: Run, language: str) -> str:
    """The verdict, the version that it names, and the reason."""
    numbers = {"ratings": float(run.ratings), **run.numbers}
    return say(
        language,
        f"verdict-{run.verdict}",
        run=run.id,
        version=run.version or "",
        why=run.reason or "",
        share=100 * numbers.get("share", 0.0),
        reason=reason_sentence(run.reason or "", numbers, language, candidate=f"v{run.id}"),
    )


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
        live=live_words(numbers, language),
    )


_EXAMPLES = 2
_LONGEST = 300
"""Of an example, in UTF-16 units, so that the whole is one message."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in somebody's language, with its buttons."""

    words: str
    buttons: Keyboard = ()


class Digest:
    """Writes it."""

    def __init__(self, *, data_dir: Path, statistics: StatisticsDesk) -> None:
        self._data_dir = data_dir
        self._statistics = statistics

    async def letter(self, run: Run, language: str) -> Letter:
        """The verdict, for a version that serves with examples and the button that takes it back."""
        words = say(language, "digest", verdict=verdict_sentence(run, language))
        if run.version is None or run.verdict not in ("promoted", "canary"):
            return Letter(words)
        parts = [words]
        for example in await asyncio.to_thread(self._examples, run.id):
            before, after = (fitting(text, _LONGEST) for text in (example.before, example.after))
            parts.append(say(language, "digest-example", prompt=example.prompt, before=before, after=after))
        is_serving = run.reason != "approval"
        return Letter("\n\n".join(parts), undo_button(language, run.version) if is_serving else ())

    async def picture(self, language: str) -> Picture | None:
        """The last thirty days in all chats; None where nobody has rated anything."""
        try:
            return await self._statistics.picture_of(None, language)
        except Refusal:
            return None

    def _examples(self, run: int) -> Sequence[Comparison]:
        """Where the new version pleases more than the old one, by the gate's judge; none where the report is gone."""
        try:
            examples = read_report(run_folder(self._data_dir, run)).examples
        except RunError:
            return ()
        changed = [example for example in examples if example.before != example.after]
        return sorted(changed, key=lambda it: it.before_liking - it.after_liking)[:_EXAMPLES]


logger = logging.getLogger(__name__)

_STAGES = {"loading": 0.03, "reference": 0.12, "training": 0.73, "judging": 0.10, "report": 0.02}
"""Share of a run's time that each stage takes, roughly, by one of 336 texts on the starter; in their order."""

_BAR_CELLS = 10
_TELLING_SHARE = 0.06


class Bulletin:
    """Keeps the messages that follow a run up to date. `nightly.when_ended(bulletin.tell)` connects the two."""

    def __init__(
        self,
        *,
        db: Database,
        nightly: Nightly,
        messenger: Messenger,
        digest: Digest,
        admin_ids: tuple[int, ...],
        timing: Timing = USUAL,
    ) -> None:
        self._refresh_seconds = timing.progress
        self._db = db
        self._nightly = nightly
        self._messenger = messenger
        self._digest = digest
        self._admin_ids = admin_ids
        self._followers: set[asyncio.Task[None]] = set()

    async def follow(self, run: int, message: Announcement) -> None:
        """Show a run's progress, and at last its verdict, by editing a message."""
        await runs.announce(self._db, run, message)
        latest = await runs.latest(self._db)
        if latest is not None and latest.id == run and latest.verdict is not None:
            await self._show(message, verdict_sentence(latest, message.language))
        else:
            self._begin(run, message)

    async def resume(self) -> None:
        """Go on showing the progress of a run that was resumed after a restart."""
        run = await self._nightly.running()
        if run is not None:
            for message in await runs.announcements(self._db, run.id):
                self._begin(run.id, message)

    def _begin(self, run: int, message: Announcement) -> None:
        task = asyncio.create_task(self._keep_showing(run, message), name=f"progress of run {run}")
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)

    async def status(self, language: str) -> str:
        """One sentence on the present run, or on the last one."""
        run = await runs.latest(self._db)
        if run is None:
            return say(language, "retrain-none")
        if run.verdict is None:
            return self._progress_of(run, language)
        return verdict_sentence(run, language)

    async def tell(self, run: Run) -> None:
        """A run has ended: tell those who follow it, and after a scheduled run every admin."""
        await self.close()
        followed = await runs.announcements(self._db, run.id)
        for message in followed:
            await self._show(message, verdict_sentence(run, message.language))
        if run.slot is not None:
            await self._tell_admins(partial(self._send_digest, run))

    async def tell_trial(self, trial: Trial) -> None:
        """The ratings have ended a trial: tell every admin."""

        async def tell(to: Address, language: str) -> None:
            await patiently(partial(self._messenger.send, to, ending_sentence(trial, language)))

        await self._tell_admins(tell)

    async def _send_digest(self, run: Run, to: Address, language: str) -> None:
        letter = await self._digest.letter(run, language)
        await patiently(partial(self._messenger.send, to, letter.words, letter.buttons))
        picture = await self._digest.picture(language)
        if picture is not None:
            await patiently(partial(self._messenger.send_picture, to, picture.png, caption=picture.caption))

    async def _tell_admins(self, tell: Callable[[Address, str], Awaitable[None]]) -> None:
        """Tell every admin something, in their language."""
        for admin in self._admin_ids:
            asked_in = await runs.language_in(self._db, admin)
            language = asked_in or await generations.language_in(self._db, admin) or "en"
            try:
                await tell(Address(chat_id=admin), language)
            except DeliveryError as error:
                logger.warning("an admin cannot be told: %s", error)

    async def close(self) -> None:
        """Stop showing progress."""
        tasks = list(self._followers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_showing(self, run_id: int, message: Announcement) -> None:
        shown = ""
        while (run := await self._nightly.running()) is not None and run.id == run_id:
            text = self._progress_of(run, message.language)
            if text != shown:
                try:
                    await self._messenger.edit(message.chat_id, message.message_id, text, urgency=Urgency.PREVIEW)
                    shown = text
                except DeliveryError as error:
                    logger.info("run %d: progress not shown: %s", run_id, error)
            await asyncio.sleep(self._refresh_seconds)

    async def _show(self, message: Announcement, text: str) -> None:
        try:
            await patiently(lambda: self._messenger.edit(message.chat_id, message.message_id, text))
        except DeliveryError as error:
            logger.warning("a run's verdict cannot be shown: %s", error)

    def _progress_of(self, run: Run, language: str) -> str:
        progress = self._nightly.progress
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
    return round(spent * (1 - share) / share) if share > _TELLING_SHARE else None
