"""Listed words as people disguise them, and sentences around them, written apart from the filter's rules.

Each disguise is a function of a word; the words are drawn from the shipped list by hand, so that a rule that fits one
word only does not pass.
"""

from collections.abc import Callable, Iterator
from random import Random

ENGLISH = ("fucking", "asshole", "bitch", "whore", "nigger", "faggot", "cunt", "slut", "retard", "rapist", "bastard",
           "wanker", "motherfucker", "jailbait", "dickhead", "blowjob")  # fmt: skip
CHINESE = ("傻逼", "操你妈", "强奸", "婊子", "王八蛋", "色情", "裸聊", "狗日的", "贱货", "轮奸", "恋童", "支那")
TRADITIONAL = ("強姦", "婊子", "戀童", "裸聊", "賤貨", "輪姦", "種族清洗", "納粹萬歲", "兒童色情", "黃色視頻")

_AROUND_ENGLISH = ("you {}", "what a {} day", "{}!", "he is a {}, that one", "stop this, {}", "no {} here please")
_AROUND_CHINESE = ("你这个{}", "{}！", "别发{}的东西", "真是{}，走开")
_CYRILLIC = str.maketrans("aeopcxyikj", "аеорсхуікј")
_GREEK = str.maketrans("aoiuvkx", "αοιυνκχ")
_FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
_LEET = str.maketrans("aeiost", "431057")
_SIGNS = str.maketrans({"a": "@", "s": "$", "i": "!"})
_ACCENTS = str.maketrans("aeiou", "áèîöû")
_MATH = str.maketrans({chr(97 + i): chr(0x1D41A + i) for i in range(26)})
_CIRCLED = str.maketrans({chr(97 + i): chr(0x24D0 + i) for i in range(26)})

DISGUISES: dict[str, tuple[tuple[str, ...], Callable[[str], str]]] = {
    "as it is": (ENGLISH, str),
    "capitals": (ENGLISH, str.upper),
    "dots between": (ENGLISH, ".".join),
    "blanks between": (ENGLISH, " ".join),
    "hyphens between": (ENGLISH, "-".join),
    "a dot inside": (ENGLISH, lambda word: f"{word[:2]}.{word[2:]}"),
    "full-width": (ENGLISH, lambda word: word.translate(_FULL_WIDTH)),
    "Cyrillic look-alikes": (ENGLISH, lambda word: word.translate(_CYRILLIC)),
    "Greek look-alikes": (ENGLISH, lambda word: word.translate(_GREEK)),
    "mathematical letters": (ENGLISH, lambda word: word.translate(_MATH)),
    "circled letters": (ENGLISH, lambda word: word.translate(_CIRCLED)),
    "zero-width spaces": (ENGLISH, "\u200b".join),
    "soft hyphens and joiners": (ENGLISH, lambda word: f"{word[:1]}\u00ad{word[1:3]}\u200d{word[3:]}"),
    "accents": (ENGLISH, lambda word: word.translate(_ACCENTS)),
    "combining marks": (ENGLISH, "\u0336".join),
    "digits for letters": (ENGLISH, lambda word: word.translate(_LEET)),
    "signs for letters": (ENGLISH, lambda word: word.translate(_SIGNS)),
    "a letter starred out": (ENGLISH, lambda word: f"{word[:2]}*{word[3:]}"),
    "drawn out": (ENGLISH, lambda word: f"{word[:2]}{word[2] * 5}{word[3:]}"),
    "Chinese, as it is": (CHINESE, str),
    "Chinese, blanks between": (CHINESE, " ".join),
    "Chinese, signs between": (CHINESE, "*".join),
    "Chinese, dots between": (CHINESE, "·".join),
    "Chinese, zero-width spaces": (CHINESE, "\u200b".join),
    "Chinese, traditional": (TRADITIONAL, str),
    "Chinese, traditional with blanks": (TRADITIONAL, " ".join),
}
"""What is done to which words, by name."""


def sentences(name: str, *, seed: int = 0) -> Iterator[str]:
    """Every word of a disguise, disguised, each in one sentence."""
    words, disguise = DISGUISES[name]
    random = Random(f"{name} {seed}")
    for word in words:
        around = _AROUND_CHINESE if name.startswith("Chinese") else _AROUND_ENGLISH
        yield random.choice(around).format(disguise(word))
