"""Who asks for a text: the segments in which a candidate must not be worse, whatever it is on the whole.

Training on feedback can learn to please a few while the mean rises (Williams et al. 2024, arXiv 2411.02306), so that
the gate looks at each segment alone. Knows examples; knows nothing of models or of the decision.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from engine.data.dataset import Example

HEAVY_SHARE = 0.1
"""The tenth of the raters who rate most."""
_NEW_RATINGS = 3
_CHINESE = re.compile(r"[\u3400-\u9fff]")


def segments_of(examples: Sequence[Example]) -> dict[str, tuple[str, ...]]:
    """Each prompt's segments, by its group: language, kind, chat, and whether its raters rate much or little."""
    counts = Counter(rater for example in examples for rater in example.raters)
    ranked = [rater for rater, _ in counts.most_common()]
    heavy = set(ranked[: max(1, round(HEAVY_SHARE * len(ranked)))])
    new = {rater for rater, count in counts.items() if count <= _NEW_RATINGS}
    segments: dict[str, dict[str, None]] = defaultdict(dict)
    for example in examples:
        language = "zh" if _CHINESE.search(example.messages[-1].content) else "en"
        names = [f"language {language}", f"kind {example.kind}", f"chat {example.chat[:8]}"]
        if heavy & set(example.raters):
            names.append("heavy raters")
        if new & set(example.raters):
            names.append("new people")
        segments[example.group].update(dict.fromkeys(names))
    return {group: tuple(names) for group, names in segments.items()}
