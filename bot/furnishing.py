"""Makes the services, installs their handlers in the order in which they are asked, and starts the clock.

Knows every service and every handler by name. Knows nothing of what they do.
"""

from collections.abc import Awaitable, Callable

from bot.feedback.counts import Counts
from bot.feedback.feedback import Feedback
from bot.feedback.live_check import LiveCheck
from bot.generation.admission import Admission, Limits
from bot.generation.composer import Composer
from bot.generation.inline import Inline
from bot.generation.preferences import Preferences
from bot.generation.studio import Studio
from bot.ground import Ground
from bot.learning.taste import TasteKeeper
from bot.learning_parts import keep_time, open_learning
from bot.messaging.confirmations import Confirmations
from bot.messaging.looks import Looks
from bot.moderation.doorman import Doorman
from bot.moderation.reports import Reports
from bot.moderation.safety import Safety
from bot.operations.cleaning import Cleaning
from bot.operations.health import Health
from bot.operations.models import Models
from bot.privacy.consent import Consent
from bot.privacy.dossier import MyData
from bot.privacy.forgetting import Forgetting
from bot.privacy.retention import Retention
from bot.reporting.cards import Cards
from bot.reporting.favourites import Favourites
from bot.reporting.statistics import StatisticsDesk
from bot.serving.switchboard import Switchboard
from bot.telegram.handlers import (
    about,
    admin,
    anonymous,
    channel,
    check,
    commands,
    confirm,
    door,
    duel,
    generate,
    inline,
    joined,
    moved,
    operator,
    own_data,
    preferences,
    privacy,
    rate,
    react,
    report,
    rework,
    stats,
    stop,
    top,
)
from bot.telegram.handlers.admin import AdminCommands
from bot.telegram.handlers.errors import ErrorHandler
from bot.telegram.handlers.guard import Guard
from bot.telegram.handlers.operator import OperatorCommands
from bot.telegram.intake import InboxProcessor
from bot.telegram.telegram_app import TelegramApplication, install
from bot.trust import open_trust
from storage.db.records import Generation


async def furnish(
    ground: Ground,
    application: TelegramApplication,
    processor: InboxProcessor,
    switchboard: Switchboard,
    taste: TasteKeeper,
    health: Health,
) -> Studio:
    """Make the services, install their handlers, and start the clock."""
    db, stack, pseudonyms, delivery = ground.db, ground.stack, ground.keys.pseudonyms, ground.delivery
    trust = open_trust(ground.settings, db, ground.keys, switchboard, taste)
    consent = Consent(db=db, pseudonyms=pseudonyms, messenger=delivery, on_yes=trust.note, on_no=trust.renew)
    rules = trust.rules()
    composer = Composer(
        db=db, messenger=delivery, switchboard=switchboard, taste=taste, rules=rules, vitals=ground.vitals
    )
    counts = Counts(db=db, messenger=delivery, timing=ground.timing)
    stack.push_async_callback(counts.close)
    reports = Reports(
        db=db, pseudonyms=pseudonyms, messenger=delivery, composer=composer, admin_ids=ground.settings.admin_ids,
        on_change=trust.renew,
    )  # fmt: skip

    async def on_delivered(generation: Generation) -> None:
        """See to what was said of a text between its being seen and its being recorded as delivered."""
        counts.refresh_soon(generation)
        await reports.hide_again(generation)
        await consent.ask_once(generation)

    studio = _studio(ground, composer, trust.safety, on_delivered)
    stack.push_async_callback(studio.close)
    feedback = Feedback(
        db=db, pseudonyms=pseudonyms, counts=counts, on_rating=trust.note, values=ground.settings.reaction_values
    )
    statistics = StatisticsDesk(db=db, pseudonyms=pseudonyms, admin_ids=frozenset(ground.settings.admin_ids))
    learning = open_learning(ground.settings, stack, db, switchboard, delivery, statistics, ground.timing)
    doorman = Doorman(db=db, pseudonyms=pseudonyms, on_change=trust.renew, admin_ids=ground.settings.admin_ids)
    await doorman.open()
    confirmations = Confirmations()
    guard = Guard(db=db, pseudonyms=pseudonyms, admin_ids=ground.settings.admin_ids)
    school = AdminCommands(
        nightly=learning.nightly, models=Models(db=db, switchboard=switchboard, trials=learning.trials),
        bulletin=learning.bulletin, delivery=delivery, confirmations=confirmations,
    )  # fmt: skip
    house = OperatorCommands(
        db=db, delivery=delivery, confirmations=confirmations, doorman=doorman, health=health, backups=ground.backups
    )
    cleaning = Cleaning(db=db, backups=ground.backups, alarm=ground.alarm, keep=ground.settings.backups_keep)
    forgetting = Forgetting(
        db=db, keys=ground.keys, studio=studio, nightly=learning.nightly, messenger=delivery,
        file=ground.settings.tombstones_path, cleaning=cleaning,
    )  # fmt: skip
    forgetting.when_erased(trust.renew)
    stack.push_async_callback(forgetting.close)
    await forgetting.finish()
    my_data = MyData(
        db=db, pseudonyms=pseudonyms, label=ground.settings.label, producer=ground.settings.content_producer
    )
    live_check = LiveCheck(
        messenger=delivery, sight=delivery.sight, values=ground.settings.reaction_values, timing=ground.timing
    )
    stack.push_async_callback(live_check.close)
    kinds = ground.settings.kinds
    wishes = Preferences(db=db, pseudonyms=pseudonyms, taste=taste)
    elsewhere = Inline(db=db, studio=studio, looks=Looks(rules), kinds=kinds, messenger=delivery, timing=ground.timing)
    stack.push_async_callback(elsewhere.close)
    errors = ErrorHandler(processor=processor, delivery=delivery, alarm=ground.alarm, vitals=ground.vitals)
    parts = [
        anonymous.handlers(kinds),
        generate.handlers(studio, kinds),
        channel.handlers(studio, kinds),
        react.handlers(feedback, live_check),
        rate.handlers(feedback),
        inline.handlers(elsewhere, feedback),
        rework.handlers(studio, counts),
        duel.handlers(studio, feedback, kinds),
        stop.handlers(studio, delivery),
        privacy.handlers(
            consent, delivery, contact=ground.settings.privacy_contact, days=ground.settings.retention_days
        ),
        own_data.handlers(my_data, forgetting, confirmations, delivery),
        report.handlers(reports, delivery, guard),
        check.handlers(trust.checking, live_check, delivery),
        about.handlers(_cards(ground, switchboard), delivery),
        top.handlers(Favourites(db=db, pseudonyms=pseudonyms, label=ground.settings.label), delivery),
        preferences.handlers(wishes, delivery),
        stats.handlers(statistics, delivery),
        confirm.handlers(confirmations, delivery, db, pseudonyms),
        joined.handlers(delivery),
        moved.handlers(db, pseudonyms),
        admin.handlers(school, guard),
        operator.handlers(house, guard),
        commands.handlers(kinds, delivery, consent),
    ]
    install(application, door.handlers(doorman, wishes, errors), parts, on_error=errors)
    retention = Retention(
        db=db, switchboard=switchboard, data_dir=ground.settings.data_dir, days=ground.settings.retention_days,
        tainted_days=ground.settings.tainted_days,
    )  # fmt: skip
    await keep_time(ground.settings, stack, db, learning, cleaning, retention)
    return studio


def _cards(ground: Ground, switchboard: Switchboard) -> Cards:
    settings = ground.settings
    return Cards(
        db=ground.db, switchboard=switchboard, versions_dir=settings.data_dir / "versions", model=settings.model,
        contact=settings.privacy_contact,
    )  # fmt: skip


def _studio(
    ground: Ground, composer: Composer, safety: Safety, on_delivered: Callable[[Generation], Awaitable[None]]
) -> Studio:
    limits = Limits(ground.settings.prompts_per_hour, ground.settings.queue_limit)
    admission = Admission(db=ground.db, limits=limits, safety=safety)
    return Studio(
        db=ground.db, composer=composer, kinds=ground.settings.kinds, pseudonyms=ground.keys.pseudonyms,
        admission=admission, on_delivered=on_delivered,
    )  # fmt: skip
