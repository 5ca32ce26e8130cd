"""What learns: the taste of the moment, the nightly work, the trials of what comes of it, and their clock.

Each is opened with its undoing put on the stack. Knows the parts and what they tell one another. Knows no Telegram
type.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.common.settings import Settings
from bot.common.timing import Timing
from bot.common.vitals import Vitals
from bot.learning.nightly import Nightly, Policy
from bot.learning.schedule import Schedule
from bot.learning.taste import TasteKeeper
from bot.learning.trainer import Budget, Screen
from bot.learning.trial import Terms, Trials
from bot.messaging.messenger import Messenger
from bot.operations.cleaning import Cleaning
from bot.privacy.retention import Retention
from bot.reporting.bulletin import Bulletin
from bot.reporting.digest import Digest
from bot.reporting.statistics import StatisticsDesk
from bot.serving.switchboard import Switchboard
from storage.db.database import Database
from storage.tables import inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """The nightly work, the trials of what comes of it, and what tells people of both."""

    nightly: Nightly
    bulletin: Bulletin
    trials: Trials


def open_learning(
    settings: Settings,
    stack: AsyncExitStack,
    db: Database,
    switchboard: Switchboard,
    messenger: Messenger,
    statistics: StatisticsDesk,
    timing: Timing,
) -> Learning:
    """Make them and let them know one another; nothing runs yet."""
    policy = Policy(
        model=settings.model,
        min_ratings=settings.min_ratings,
        promotion=settings.promotion,
        canary_share=settings.canary_share,
        tenure_days=settings.tenure_days,
        objective=settings.objective,
        budget=_budget(settings),
        longest_text=settings.kinds.longest,
        screen=Screen(settings.words_file, settings.guard_model),
    )
    nightly = Nightly(db=db, switchboard=switchboard, data_dir=settings.data_dir, policy=policy)
    stack.push_async_callback(nightly.close)
    digest = Digest(data_dir=settings.data_dir, statistics=statistics)
    bulletin = Bulletin(
        db=db, nightly=nightly, messenger=messenger, digest=digest, admin_ids=settings.admin_ids, timing=timing
    )
    stack.push_async_callback(bulletin.close)
    nightly.when_ended(bulletin.tell)
    trials = Trials(db=db, switchboard=switchboard, terms=_terms(settings), timing=timing)
    stack.push_async_callback(trials.close)
    trials.when_ended(bulletin.tell_trial)
    nightly.before_trial(trials.conclude)
    return Learning(nightly=nightly, bulletin=bulletin, trials=trials)


def open_taste(
    settings: Settings,
    stack: AsyncExitStack,
    db: Database,
    switchboard: Switchboard,
    vitals: Vitals,
    *,
    name: str,
    timing: Timing,
) -> TasteKeeper:
    """Start the taste under a name that is this bot's alone, for engines that several bots share."""
    keeper = TasteKeeper(
        db=db, engine=switchboard.engine, vitals=vitals, name=name, best_of=settings.best_of,
        tenure_days=settings.tenure_days, timing=timing,
    )  # fmt: skip
    stack.push_async_callback(keeper.close)
    switchboard.when_installed(keeper.installed)
    keeper.start()
    return keeper


async def keep_time(
    settings: Settings,
    stack: AsyncExitStack,
    db: Database,
    learning: Learning,
    cleaning: Cleaning,
    retention: Retention,
) -> None:
    """Finish the run that was cut off, make up for a missed night, and wait for the next."""
    await learning.nightly.resume()
    await learning.bulletin.resume()

    async def run_slot(slot: str) -> None:
        await inbox.forget_old(db, now=datetime.now(UTC))
        await cleaning.nightly()
        await learning.nightly.begin(slot=slot)

    schedule = Schedule(db=db, line=settings.retrain_at, timezone=settings.timezone, run_slot=run_slot)
    await schedule.start(hourly=retention.sweep)
    stack.callback(schedule.stop)
    learning.trials.start()


def _budget(settings: Settings) -> Budget:
    return Budget(
        minutes=settings.train_minutes,
        steps=settings.train_steps,
        memory_mb=settings.train_memory_mb,
        niceness=settings.train_niceness,
    )


def _terms(settings: Settings) -> Terms:
    return Terms(
        share=settings.canary_share,
        ratings=settings.canary_ratings,
        hours=settings.canary_hours,
        days=settings.canary_days,
        tenure_days=settings.tenure_days,
    )
