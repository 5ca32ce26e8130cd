"""The records that cross the storage's border: frozen, with pseudonyms and aware UTC times, never rows or dicts."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

GenerationState = Literal["accepted", "placed", "written", "delivered", "failed"]
RunVerdict = Literal["promoted", "canary", "rejected", "skipped", "failed"]
VersionState = Literal["candidate", "canary", "champion", "retired"]
ModerationState = Literal["reported", "hidden", "cleared"]
Source = Literal["reaction", "button"]
PromptSignal = Literal["another", "refined"]
SignalKind = PromptSignal | Literal["preferred", "passed_over"]
DislikeReason = Literal["boring", "off_topic", "too_long", "wrong"]
FinishReason = Literal["stop", "length"]
TrialMode = Literal["canary", "watch"]
TrialOutcome = Literal["promoted", "rolled_back", "inconclusive", "kept", "broken_off"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation with the model."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Where a generation goes: Telegram's own ids, kept apart from everything else."""

    chat_id: int
    reply_to: int
    language: str
    thread_id: int | None = None
    message_id: int | None = None
    further_messages: tuple[int, ...] = ()
    """The messages that go on after that one, where the text is too long for it."""
    is_channel: bool = False
    """It is a channel's: all may read and rate it, and nobody may ask for more by its buttons."""

    @property
    def all_messages(self) -> tuple[int, ...]:
        """The messages that show it, in order; the last one has the label and the buttons."""
        return () if self.message_id is None else (self.message_id, *self.further_messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    kind: str
    chat: str
    author: str
    messages: tuple[ChatMessage, ...]
    seed: int
    created_at: datetime
    delivery: Delivery
    parent: int | None = None
    """The generation that this one is another try at, or a change of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGeneration(_Prompt):
    """A prompt that has been accepted and is to be answered."""

    update_id: int
    signal: PromptSignal | None = None
    """What it says of its parent."""
    quotes_stranger: bool = False
    """It repeats words of somebody who has asked for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation(_Prompt):
    """One text the model wrote, or is to write, for one prompt."""

    id: int
    state: GenerationState
    version: str | None = None
    text: str | None = None
    best_of: int = 1
    """How many texts this one was chosen from."""
    finish_reason: FinishReason | None = None
    """Whether the model ended it itself or ran out of tokens; None: nobody knows."""
    moderation_state: ModerationState | None = None
    """What has become of it once somebody has reported it."""
    inline_token: str | None = None
    """By which Telegram names an inline result; None for a text that answers a message."""

    @property
    def is_hidden(self) -> bool:
        """Nobody sees it, and nothing learns from it."""
        return self.moderation_state in ("reported", "hidden")

    @property
    def may_be_continued(self) -> bool:
        """Whether people may ask for another one, or for a change; in a channel its readers may not."""
        return not (self.is_hidden or self.delivery.is_channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingEvent:
    """What one person did to one generation, at one moment."""

    update_id: int
    generation: int
    rater: str
    source: Source
    value: float | None
    """In [-1, 1]; None takes the rating back or says nothing."""
    emoji: str
    at: datetime
    folded: int = 0
    """How many earlier presses it stands for; the value is then what stood after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """The whole set of one person's reactions on one message, whatever the message shows."""

    update_id: int
    chat_id: int
    message_id: int
    rater: str
    value: float | None
    emoji: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One person's current verdict on one generation."""

    generation: int
    kind: str
    version: str
    rater: str
    value: float
    emoji: str
    at: datetime
    consented: bool
    """Both the author and the rater have opted in, in this chat, at this moment."""
    rater_first_seen_at: datetime
    reason: DislikeReason | None = None
    """Why they dislike it, if they have said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSignal:
    """What a person did with a text; both they and its author have opted in, in its chat."""

    generation: int
    person: str
    signal: SignalKind
    at: datetime
    person_first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """How many people like and dislike a generation now."""

    likes: int = 0
    dislikes: int = 0
    chosen: int | None = None
    """How many prefer it to its rival; None where it has none."""


@dataclass(frozen=True, slots=True)
class ConsentedText:
    """A generation with its consented ratings and signals: what a run may learn from."""

    generation: Generation
    ratings: tuple[Rating, ...]
    signals: tuple[TextSignal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pass of the nightly work."""

    id: int
    slot: str | None
    attempts: int
    started_at: datetime
    verdict: RunVerdict | None = None
    reason: str | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    ratings: int = 0
    version: str | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressMessage:
    """A message that shows a run's progress and will show its end."""

    chat_id: int
    message_id: int
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A model that can serve: a base with the adapter of one run."""

    name: str
    base: str
    run: int | None
    state: VersionState
    created_at: datetime
    tainted_at: datetime | None = None
    """Since when somebody whom it has learned from is forgotten, or banned."""
    destroyed_at: datetime | None = None
    """Since when its files are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A version whose live ratings are compared with those of the version before it."""

    id: int
    version: str
    reference: str
    mode: TrialMode
    """canary: both answer at the same time; watch: the version is the champion since then, the reference was before."""
    began_at: datetime
    outcome: TrialOutcome | None = None
    champion: str | None = None
    """The champion after it, where the ratings have ended it."""
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What the ratings have decided about a trial."""

    trial: int
    outcome: TrialOutcome
    champion: str
    """The champion from then on."""
    numbers: dict[str, float]
    verdict: RunVerdict | None = None
    """The last one on the run that made the version; None leaves the one that stands."""
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRating:
    """One person's current, consented verdict on a text of a version on trial, or of its reference."""

    generation: int
    rater: str
    chat: str
    value: float
    is_own: bool
    """The rater wrote the prompt."""
    rater_first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something an admin, or the operator at the terminal, has done."""

    at: datetime
    actor: str
    """A pseudonym, "operator", "somebody" who is forgotten now, or "ratings" where a trial has decided."""
    action: str
    detail: str = ""
    """A version, a run, a pseudonym; never what people wrote."""
