"""Which updates are let in while others of the same sender and chat still wait, so that nobody fills the inbox.

Whoever has nothing waiting is let in, and so is whatever a person may rely on: a consent, /forget and its buttons, and
ratings. Those are bounded by what they say: of several that wait, only those are kept that decide what stands in the
end. All else has bounds for each sender and chat, far above what people do by hand; what is above is dropped without a
word, for an answer would be one more thing to send.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from telegram import (
    Bot,
    CallbackQuery,
    ChatMemberUpdated,
    ChosenInlineResult,
    InlineQuery,
    Message,
    MessageReactionCountUpdated,
    MessageReactionUpdated,
    Update,
    User,
)

from bot.common.kinds import TAKEN
from bot.telegram.message import command_in, emojis_of
from engine.data.rewards import REACTION_VALUES, value_of_reactions

OF_SENDER = 32
"""That may wait of one sender: several times what anybody pastes or presses before the first is handled."""
OF_CHAT = 128
"""That may wait in one chat, of those who have something waiting already: six minutes of what Telegram lets a group
have. What decides a state does not count."""
OF_CROWD = 2_000
"""That may wait in one chat whoever sends it: a lecture hall that sends /start at one moment is answered."""
MOST = 2_000
"""Of all senders, with at most `OF_SENDER` of one and `OF_CHAT` of one chat: then fetching pauses. That takes sixteen
chats and sixty senders who flood, or so many people that each of them waits for a few seconds."""
MOST_HELD = 20_000
"""And of all updates whatever, for each takes some kilobytes."""

Dropped = Literal["repeated", "superseded", "sender", "chat"]
"""Why an update is not handled: the same is asked for already, a later one decides, or too many wait."""

_LOOK_UPS = frozenset({
    "start", "help", "settings", "stats", "top", "privacy", "developer_info", "mydata", "models", "health", "audit",
})  # fmt: skip
"""Commands that change nothing, and whose answer does not depend on what follows them."""
_ORDERS = TAKEN - _LOOK_UPS - {"duel"}
"""The bot's other commands; a prompt that is sent twice asks for two texts."""
_RIGHTS = frozenset({"optin", "optout", "forget"})

_RATES = re.compile(r"(up|down):")
_CHOOSES = re.compile(r"(better|why|optin|optout):")
_CONFIRMS = re.compile(r"(yes|no):")

_STATES = re.compile("|".join(each.pattern for each in (_RATES, _CHOOSES, _CONFIRMS)))
_ODD = (AttributeError, TypeError, ValueError, LookupError, ArithmeticError)

Rule = Callable[[Sequence[Any]], Iterable[int]]
"""Of what waits for one state, in order: the places of what has to be kept."""


def _newest(dates: Sequence[Any]) -> Iterable[int]:
    """The one with the latest date, and of several the last."""
    return (max(range(len(dates)), key=lambda place: (dates[place], place)),)


def _last_words(reactions: Sequence[Any]) -> Iterable[int]:
    """Of ((date, number), whether it says something): the latest, and before one that says nothing, such as 👍 taken
    back, the latest that does, for that one ended what was pressed before it."""
    (latest,) = _newest([date for date, _ in reactions])
    telling = [place for place, (_, is_telling) in enumerate(reactions) if is_telling]
    if not telling:
        return (latest,)
    return {latest, max(telling, key=lambda place: (reactions[place][0], place))}


def _first(answers: Sequence[Any]) -> Iterable[int]:
    """A question is answered once."""
    return range(min(1, len(answers)))


def _toggles(presses: Sequence[Any]) -> Iterable[int]:
    """Pressed thrice is pressed once, whatever stood before; and once another button is pressed, that one stands
    whatever came before, so of that only the last press tells."""
    last = len(presses) - 1
    begins = last
    while begins and presses[begins - 1] == presses[last]:
        begins -= 1
    return (*range(max(begins - 1, 0), begins), *range(last - (last - begins) % 2, last + 1))


@dataclass(frozen=True, slots=True)
class _Item:
    """What an update is here; `says` is what `rule` goes by."""

    sender: int
    chat: int
    repeats: Hashable = None
    """Equal for commands with the same answer."""
    is_look_up: bool = False
    state: Hashable = None
    says: Any = 0
    rule: Rule = _newest
    is_counted: bool = True
    """Towards `MOST`."""


class Admission:
    """Knows every update that is accepted and not handled yet, by number."""

    def __init__(self, bot: Bot, reaction_values: Mapping[str, float | None] = REACTION_VALUES) -> None:
        self._bot = bot
        self._reaction_values = reaction_values
        self._items: dict[int, _Item] = {}
        self._unbegun: set[int] = set()
        self._of_sender: Counter[int] = Counter()
        self._of_chat: Counter[int] = Counter()
        self._look_ups: Counter[Hashable] = Counter()
        self._newest: dict[tuple[int, int], int] = {}
        """For each sender and chat, what was let in last."""
        self._waiting: dict[Hashable, list[int]] = {}
        """For each state, what has not begun, in order."""
        self._counted = 0

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, update_id: int) -> bool:
        return update_id in self._items

    @property
    def is_full(self) -> bool:
        """Whether no more can be let in for the moment, of anybody."""
        return self._counted >= MOST or len(self) >= MOST_HELD

    def admit(self, update: Update) -> Dropped | None:
        """Let an update in until it is handled (`end`); or why not."""
        item = self._item_of(update)
        dropped = self._reason(item)
        if dropped is None:
            self._add(update.update_id, item)
        return dropped

    def is_excess(self, raw: Any) -> bool:  # noqa: ANN401 - whatever was sent
        """Whether `admit` would drop this press for its sender's sake: told without reading its message and buttons,
        which costs most of what a flood of presses costs."""
        try:
            query = raw["callback_query"]
            return self._of_sender[query["from"]["id"]] >= OF_SENDER and not _STATES.match(query["data"])
        except _ODD:
            return False

    def resume(self, update: Update) -> None:
        """Let in, whatever waits, what was accepted by an earlier process."""
        self._add(update.update_id, self._item_of(update))

    def begin(self, update_id: int) -> None:
        """It is being handled, so nothing that comes later can supersede it, or is answered with it: it may have been
        answered already."""
        if update_id not in self._unbegun:
            return
        self._unbegun.discard(update_id)
        item = self._items[update_id]
        waiting = self._waiting.get(item.state, [])
        if update_id in waiting:
            waiting.remove(update_id)
            if not waiting:
                del self._waiting[item.state]
        if item.is_look_up:
            _decrement(self._look_ups, item.repeats)
        if self._newest.get((item.sender, item.chat)) == update_id:
            del self._newest[item.sender, item.chat]

    def end(self, update_id: int) -> None:
        """It is handled, or will not be."""
        if update_id not in self._items:
            return
        self.begin(update_id)
        item = self._items.pop(update_id)
        self._counted -= item.is_counted
        _decrement(self._of_sender, item.sender)
        if item.state is None:
            _decrement(self._of_chat, item.chat)

    def queue(self, update_id: int) -> list[int]:
        """It is stored, and waits now. Returns what need not be handled any more, if many of its sender wait: that has
        come to its end, and perhaps is the update itself."""
        item = self._items[update_id]
        if item.state is None:
            return []
        waiting = self._waiting.setdefault(item.state, [])
        waiting.append(update_id)
        moot = self._moot(item, waiting)
        for number in moot:
            self.end(number)
        return moot

    def moot_among(self, update_ids: Iterable[int]) -> list[int]:
        """Of a batch that was let in, what need not even be stored: what `queue` says in the end it says of these
        alone, for a rule holds whatever stood before."""
        states: dict[Hashable, list[int]] = {}
        for number in update_ids:
            if number in self._items and (state := self._items[number].state) is not None:
                states.setdefault(state, []).append(number)
        return [moot for batch in states.values() for moot in self._moot(self._items[batch[0]], batch)]

    def _moot(self, item: _Item, numbers: Sequence[int]) -> list[int]:
        """Of updates about one state, in order, those that decide nothing; none where few of the sender wait."""
        if self._of_sender[item.sender] <= OF_SENDER:
            return []
        kept = set(item.rule([self._items[number].says for number in numbers]))
        return [number for place, number in enumerate(numbers) if place not in kept]

    def _reason(self, item: _Item) -> Dropped | None:
        if item.repeats is not None:
            newest = self._items.get(self._newest.get((item.sender, item.chat), -1))
            if newest is not None and newest.repeats == item.repeats:
                return "repeated"
            if item.is_look_up and self._look_ups[item.repeats]:
                return "repeated"
        if item.state is not None:
            return None
        of_sender = self._of_sender[item.sender]
        if of_sender >= OF_SENDER:
            return "sender"
        return "chat" if self._of_chat[item.chat] >= (OF_CHAT if of_sender else OF_CROWD) else None

    def _add(self, update_id: int, item: _Item) -> None:
        self._of_sender[item.sender] += 1
        self._of_chat[item.chat] += item.state is None
        is_counted = self._of_sender[item.sender] <= OF_SENDER and self._of_chat[item.chat] <= OF_CHAT
        self._counted += is_counted
        self._items[update_id] = replace(item, is_counted=is_counted)
        self._unbegun.add(update_id)
        self._newest[item.sender, item.chat] = update_id
        if item.is_look_up:
            self._look_ups[item.repeats] += 1

    def parties(self, update_id: int) -> tuple[int, int]:
        """The sender and the chat of an update that is let in."""
        item = self._items[update_id]
        return item.sender, item.chat

    def _item_of(self, update: Update) -> _Item:
        """What is to be known of an update here. What is not as Telegram's are is nobody's, until a handler says so."""
        try:
            item = self._looked_at(update)
            hash((item.sender, item.chat, item.repeats, item.state))
        except _ODD:
            return _Item(0, 0)
        return item

    def _looked_at(self, update: Update) -> _Item:
        sender, chat = _parties(update)
        state: Hashable = None
        match update:
            case Update(message=Message() as message):
                return self._item_of_message(message, sender, chat)
            case Update(callback_query=CallbackQuery() as query):
                return _item_of_press(query, sender, chat)
            case Update(message_reaction=MessageReactionUpdated(user=User(), date=datetime()) as reaction):
                value = value_of_reactions(emojis_of(reaction.new_reaction), self._reaction_values)
                place, own = ("reaction", sender, chat, reaction.message_id), (reaction.date, update.update_id)
                return _Item(sender, chat, state=place, says=(own, value is not None), rule=_last_words)
            case Update(message_reaction_count=MessageReactionCountUpdated(date=datetime()) as count):
                return _Item(sender, chat, state=("count", chat, count.message_id), says=(count.date, update.update_id))
            case Update(my_chat_member=ChatMemberUpdated()):
                state = "member", sender, chat
            case Update(inline_query=InlineQuery()):
                state = "query", sender
            case Update(chosen_inline_result=ChosenInlineResult() as chosen):
                state = "chosen", sender, chosen.inline_message_id
        return _Item(sender, chat, state=state)

    def _item_of_message(self, message: Message, sender: int, chat: int) -> _Item:
        if message.migrate_from_chat_id or message.migrate_to_chat_id:
            return _Item(sender, chat, state=("moved", chat))
        command = command_in(message, self._bot)
        if command is None or command not in TAKEN:
            return _Item(sender, chat)
        is_look_up = command in _LOOK_UPS
        replied = message.reply_to_message.message_id if message.reply_to_message else None
        words = () if is_look_up else (message.text or message.caption, replied)
        repeats = (sender, chat, command, *words) if is_look_up or command in _ORDERS else None
        state = (command, sender, chat) if command in _RIGHTS else None
        return _Item(sender, chat, repeats, is_look_up, state)


def _parties(update: Update) -> tuple[int, int]:
    """The sender and the chat of an update, each by number; where Telegram tells one only, it stands for both."""
    sender, chat = update.effective_sender, update.effective_chat
    if sender is None:
        return (0, 0) if chat is None else (chat.id, chat.id)
    return sender.id, sender.id if chat is None else chat.id


def _item_of_press(query: CallbackQuery, sender: int, chat: int) -> _Item:
    """A press is told apart by the message that has the button: the number in its data can be forged."""
    data = query.data or ""
    place = query.inline_message_id if query.message is None else (chat, query.message.message_id)
    if (rates := _RATES.match(data)) is not None:
        return _Item(sender, chat, state=("rate", sender, place), says=rates[1], rule=_toggles)
    if (chooses := _CHOOSES.match(data)) is not None:
        name = chooses[1]
        is_consent = name in ("optin", "optout")
        return _Item(sender, chat, state=(name, sender, chat if is_consent else place))
    if _CONFIRMS.match(data):
        return _Item(sender, chat, state=("confirm", sender, place), rule=_first)
    return _Item(sender, chat)


def _decrement(counts: Counter[Any], key: Hashable) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
