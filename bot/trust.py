"""What keeps trust, opened together: what may be asked and shown, what is found again, and what is not to be copied.

Knows the parts. Knows no Telegram type.
"""

from dataclasses import dataclass

from bot.common.keys import Keys
from bot.common.kinds import Kinds
from bot.common.settings import Settings
from bot.learning.taste import TasteKeeper
from bot.moderation.checking import Checking
from bot.moderation.inspection import Inspection
from bot.moderation.overlap import OverlapInspector
from bot.moderation.rules import Rules
from bot.moderation.safety import Safety
from bot.serving.switchboard import Switchboard
from engine.safety.overlap import read_protected
from engine.safety.safety import load_filter
from storage.db.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The parts, and whom to tell when what is agreed to changes."""

    safety: Safety
    checking: Checking
    overlap: OverlapInspector
    taste: TasteKeeper
    label: str
    kinds: Kinds

    def rules(self) -> Rules:
        """What every text is written by."""
        inspection = Inspection([self.safety, self.overlap])
        return Rules(self.kinds, self.label, inspection, self.checking.fingerprint_of)

    def note(self) -> None:
        """There may be more to learn from, and more that is not to be copied."""
        self.taste.note()
        self.overlap.note()

    def renew(self) -> None:
        """Somebody has withdrawn, or is forgotten or shut out: what holds their words lets go of them at once."""
        self.taste.renew()
        self.overlap.renew()


def open_trust(settings: Settings, db: Database, keys: Keys, switchboard: Switchboard, taste: TasteKeeper) -> Trust:
    """Make the parts as the operator wants them."""
    guard = None if settings.guard_model is None else switchboard.engine
    marks = switchboard.engine if settings.watermark == "on" else None
    fails_open = settings.guard_fails == "open"
    return Trust(
        safety=Safety(words=load_filter(settings.words_file), guard=guard, fails_open=fails_open),
        checking=Checking(db=db, keys=keys, label=settings.label, engine=marks),
        overlap=OverlapInspector(db=db, protected=read_protected(settings.protected_dir)),
        taste=taste,
        label=settings.label,
        kinds=settings.kinds,
    )
