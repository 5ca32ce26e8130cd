"""Tastes that need language: what a text says and how it speaks, where `bot.sandbox.people.tastes` counts signs.

Written down before any of them was run, and not changed afterwards. A person can tell each at a glance, and each can be
computed without a model, by words and patterns in English; a learner is told nothing but likes and dislikes. Shares of
sentences and saturating counts keep a score from being a matter of length.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from bot.sandbox.people.tastes import ANYTHING, DISLIKED, LOVED, Asked

NOISE = 0.15


@dataclass(frozen=True, slots=True)
class LanguageTaste:
    """One taste for all, told by `score` in [0, 1] from a text and the topic it was asked for."""

    name: str
    meaning: str
    score: Callable[[str, str], float]

    def liking(self, text: str, asked: Asked = ANYTHING) -> float:
        """The share of people who like the text; none pleases or annoys everybody, and it rises with the score."""
        return DISLIKED + (LOVED - DISLIKED) * self.score(text, asked.topic)

    def is_liked(self, text: str, asked: Asked, chance: Random) -> bool:
        """One person's opinion, which is a coin toss in `NOISE` of all cases."""
        return chance.random() < (0.5 if chance.random() < NOISE else self.liking(text, asked))


def _words(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words.split())})\b", re.IGNORECASE)


_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|\n+")
_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)?", re.IGNORECASE)

_ADDRESS = _words("you your yours yourself we us our ours let's")
_CARE = _words(
    "love loves loved loving heart hearts warm warmth warmly friend friends friendly dear dearest thank thanks thankful"
    " grateful hug hugs hope hopes kind kindness gentle gently care cares caring welcome cozy cosy home comfort"
    " comforting cherish cherished smile smiles together family tender sweet"
)
_CONCRETE = _words(
    "hand hands eye eyes face hair skin mouth voice finger fingers foot feet shoulder table door window wall floor roof"
    " kitchen cup mug bowl plate bread butter salt sugar honey milk tea coffee soup apple lemon oven flour crust street"
    " road bridge train bus bike wheel shop market bench stone brick wood wooden iron glass paper book page ink lamp"
    " candle fire smoke ash rain snow ice wind sun moon star cloud sky sea wave river lake sand mud grass leaf leaves"
    " tree branch flower petal root bird cat dog bee fish horse wool cotton coat boot boots sock socks hat umbrella"
    " blanket pillow bed red blue green yellow white black grey gray brown golden silver bright dark cold hot wet dry"
    " soft rough smooth sharp loud quiet bitter salty sour smell smells scent taste tastes hum crunch whistle bell"
    " drum guitar morning evening midnight"
)
_ABSTRACT = re.compile(
    r"\b(?:\w{3,}(?:tion|tions|ness|ment|ments|ity|ities|ism|ance|ence|ship)|success|value|values|quality|way|life|"
    r"world|future|passion|power|journey|spirit|hope|dream|dreams|truth|freedom|growth|change|purpose|impact|mind|soul|"
    r"idea|ideas|goal|goals|beauty|knowledge|wisdom|joy|potential|approach|solution|aspect|sense|nature|process)\b",
    re.IGNORECASE,
)
_URGED = _words(
    "add ask be become begin book bring build call carry catch celebrate check choose clean come cook create dance dare"
    " discover do don't dream drink drop eat enjoy experience explore feel fill find fly follow forget get gather give"
    " go grab grow have hear help hold imagine invite join jump keep learn leave let let's light listen live look love"
    " make meet mix move never open order pack pick plan plant play please pour put read relax remember rest ride run"
    " save savor savour say see send set share shop sign sing sip sit slow smell spread start stay step stir stop take"
    " talk taste tell think touch travel treat trust try turn unleash unlock use visit wait wake walk warm wash watch"
    " wear welcome work write"
)
_BOAST = _words(
    "best greatest finest ultimate perfect perfectly amazing incredible unbelievable extraordinary unforgettable"
    " unparalleled unmatched unique leading premier exceptional outstanding revolutionary innovative magnificent"
    " spectacular stunning legendary epic iconic exquisite everything always never world-class number-one award-winning"
    " must-have guaranteed"
)
_MODEST = _words(
    "small little simple simply plain maybe perhaps might sometimes modest ordinary humble quiet quietly a-few few try"
    " tries trying almost everyday usually often some bit only just"
)
_REASON = re.compile(
    r"\b(?:because|therefore|thus|hence|so that|that's why|that is why|which is why|the reason|due to|thanks to|since"
    r"|in order to|as a result|this means|which means)\b",
    re.IGNORECASE,
)
_COLLOQUIAL = re.compile(
    r"\b(?:\w+['’](?:re|ve|ll|d|m|t)|(?:it|that|there|here|what|who|where|how|he|she|let)['’]s|hey|hi|yeah|yep|nope|"
    r"okay|ok|wow|oh|gonna|wanna|gotta|kinda|stuff|guys|folks|pretty much|a lot|lots|really|super|cool|awesome|fun|"
    r"kids|mum|mom|dad|guess|well|anyway|you know|bit|grab|chat)\b",
    re.IGNORECASE,
)
_FORMAL = re.compile(
    r"\b(?:furthermore|moreover|therefore|thus|however|additionally|consequently|utili[sz]e\w*|regarding|concerning|"
    r"shall|whom|upon|whilst|ensure\w*|provide\w*|require\w*|individual\w*|numerous|various|significant\w*|facilitat\w*|"
    r"enhanc\w*|essential|endeavou?r\w*|commence\w*|obtain\w*|assist\w*|aforementioned|in order to|as well as|"
    r"such as|do not|does not|is not|are not|cannot|will not|it is|that is|we are|you are|i am)\b",
    re.IGNORECASE,
)
_EMPTY_WORDS = frozenset(
    "a an the of in on at to for from by with and or but our my your his her their its is are was be that this who"
    " which we i you it as about how why what not one two new first last short write".split()
)


def warm(text: str, topic: str) -> float:
    """Half for the share of sentences that speak to the reader or of "us", half for words of care in half of them."""
    return 0.5 * _share(_ADDRESS, text) + 0.5 * min(1.0, 2.0 * _share(_CARE, text))


def concrete(text: str, topic: str) -> float:
    """Things and senses among all words that are either those or abstractions; a half where there are neither."""
    things, notions = len(_CONCRETE.findall(text)), len(_ABSTRACT.findall(text))
    return (things + 0.5) / (things + notions + 1.0)


def inviting(text: str, topic: str) -> float:
    """The share of sentences that begin by telling somebody to do something; half of them is enough."""
    sentences = _sentences(text)
    urged = sum(_URGED.fullmatch(words[0]) is not None for each in sentences if (words := _WORD.findall(each)))
    return min(1.0, 2.0 * urged / len(sentences))


def humble(text: str, topic: str) -> float:
    """No boasting in any sentence, and words that make a thing smaller in a third of them."""
    return 0.6 * (1.0 - min(1.0, 2.0 * _share(_BOAST, text))) + 0.4 * min(1.0, 3.0 * _share(_MODEST, text))


def reasoned(text: str, topic: str) -> float:
    """Says why: for one reason most of it, for two all."""
    return (0.0, 0.7, 1.0)[min(2, len(_REASON.findall(text)))]


def asking(text: str, topic: str) -> float:
    """Ends by asking something; a question before the end counts a third."""
    last = _sentences(text)[-1].rstrip("\"'”’)* ")
    return 1.0 if last.endswith("?") else 1 / 3 if "?" in text else 0.0


def to_the_point(text: str, topic: str) -> float:
    """Names the topic's own words within the first twelve; later, they count a half."""
    wanted = {_stem(word) for word in _WORD.findall(topic) if word.lower() not in _EMPTY_WORDS}
    words = [_stem(word) for word in _WORD.findall(text)]
    if not wanted:
        return 0.5
    return sum(1.0 if word in words[:12] else 0.5 if word in words else 0.0 for word in wanted) / len(wanted)


def colloquial(text: str, topic: str) -> float:
    """Speaks as people talk, not as offices write: contractions and talk among these and stiff words."""
    spoken, stiff = len(_COLLOQUIAL.findall(text)), len(_FORMAL.findall(text))
    return (spoken + 0.5) / (spoken + stiff + 1.0)


def _sentences(text: str) -> list[str]:
    return [part for part in _SENTENCE_END.split(text.strip()) if part.strip()] or [""]


def _share(pattern: re.Pattern[str], text: str) -> float:
    """The share of sentences in which it is found."""
    sentences = _sentences(text)
    return sum(pattern.search(each) is not None for each in sentences) / len(sentences)


def _stem(word: str) -> str:
    """A word without its case and the commonest endings."""
    return re.sub(r"(?:'s|’s|ies|es|s|ing|ed|y)$", "", word.lower()) or word.lower()


LANGUAGE_TASTES: Mapping[str, LanguageTaste] = {
    taste.name: taste
    for taste in (
        LanguageTaste("warm", "speaks to me, with care", warm),
        LanguageTaste("concrete", "things I can see, hear and touch rather than abstractions", concrete),
        LanguageTaste("inviting", "tells me to do something", inviting),
        LanguageTaste("humble", "does not boast, makes little of itself", humble),
        LanguageTaste("reasoned", "says why", reasoned),
        LanguageTaste("asking", "ends with a question", asking),
        LanguageTaste("to the point", "names what I asked about at once", to_the_point),
        LanguageTaste("colloquial", "speaks as people talk", colloquial),
    )
}
"""By name."""
