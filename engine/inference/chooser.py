"""How new a text is beside those that were shown last: the share of its pairs of neighbouring tokens nobody has seen.

Where several texts please almost equally, the newest keeps what a community reads diverse (the pairs are distinct-2's:
Li et al. 2016, arXiv 1510.03055). Knows token ids; knows nothing of models, of tastes, or of who was shown what.

The tastes that requests may name: fitted on rated texts, and asked which of several new texts pleases most.

Knows texts, the worker that reads them, and who may wait. Knows nothing of how a text is written, of HTTP, or of who
rates. Features are computed by the model's thread between its rounds, with the base alone, and kept for the next fit;
fitting and scoring happen in other threads. One event loop uses it.
"""

import asyncio
import hashlib
import itertools
import logging
import time
from array import array
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from cachetools import LRUCache
from torch import Tensor

from engine.api.types import MIN_PERSONAL_RATINGS, PersonalRating, RatedText, Selection, TasteFit, group_of
from engine.errors import EngineError, RequestError
from engine.inference.feature_reader import Reading
from engine.inference.request import Job, Take
from engine.inference.worker import Worker
from engine.models.loader import Base, ChatTemplate
from engine.models.logprobs import Encoded
from engine.preference.features import require_finite
from engine.preference.head import find_signal, labels_of
from engine.preference.personal import PersonLikes, PreferenceModel, fit_preferences, nearly_best

REMEMBERED: Final = 256
"""Texts; each adds its pairs of tokens, some kilobytes."""

Pairs = frozenset[tuple[int, int]]


class Shown:
    """The texts that were shown last, as pairs of tokens."""

    def __init__(self) -> None:
        self._texts: deque[Pairs] = deque()
        self._counts: Counter[tuple[int, int]] = Counter()

    def novelty(self, completion: Sequence[int]) -> float:
        """From 0 to 1: the mean over the text's different pairs of 1 / (1 + how many texts had it); 0 without pairs."""
        pairs = _pairs(completion)
        return sum(1.0 / (1 + self._counts[pair]) for pair in pairs) / max(1, len(pairs))

    def add(self, completion: Sequence[int]) -> None:
        """One more text was shown; the oldest is forgotten where there are `REMEMBERED`."""
        if len(self._texts) == REMEMBERED:
            self._counts -= Counter(self._texts.popleft())
        self._texts.append(_pairs(completion))
        self._counts.update(self._texts[-1])

    def newest(self, completions: Sequence[Sequence[int]], places: Sequence[int]) -> int:
        """Which of these places has the newest text, the first where several are; it counts as shown from now on."""
        place = max(places, key=lambda place: self.novelty(completions[place]))
        self.add(completions[place])
        return place


def _pairs(completion: Sequence[int]) -> Pairs:
    return frozenset(itertools.pairwise(completion))


logger = logging.getLogger(__name__)

MOST_NAMES: Final = 64
FEWEST_TEXTS: Final = 4
CACHE_BYTES: Final = 64 << 20
"""Features of 20,000 texts of the starter, or of 1,000 of a model with 4,096 numbers a token."""

_FEWEST_A_SIDE = 5
"""With fewer likes or dislikes a cross-validated AUROC tells nothing."""


class Tastes:
    """One preference model for each name."""

    def __init__(self, base: Base, *, template: ChatTemplate, worker: Worker) -> None:
        self._base = base
        self._template = template
        self._worker = worker
        self._models: dict[str, PreferenceModel] = {}
        self._features: LRUCache[bytes, Tensor] = LRUCache(CACHE_BYTES, getsizeof=lambda features: features.nbytes)
        self._shown = Shown()
        self._fitting = asyncio.Lock()
        self.fits = 0
        """How many times a taste was fitted."""

    def __contains__(self, name: object) -> bool:
        return name in self._models

    def __len__(self) -> int:
        return len(self._models)

    async def fit(
        self, name: str, texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
    ) -> TasteFit:
        """Fit a taste anew; it replaces the one of this name at once, when it is there. Without texts it is removed.

        Raises:
            RequestError: there is nothing to be learned from these ratings, or they name texts that are not there.
            EngineUnavailable: the engine has stopped, or memory ran out.
            ModelError: the model computes values that are not numbers.
        """
        _check(texts, people)
        began = time.perf_counter()
        async with self._fitting:
            if not texts:
                self._models.pop(name, None)
                return TasteFit(0, 0, None, time.perf_counter() - began)
            if name not in self and len(self) >= MOST_NAMES:
                raise RequestError(f"There are {MOST_NAMES} tastes already; remove one first.")
            features = await self._features_of([await self._encoded(text) for text in texts])
            model, auroc = await asyncio.to_thread(_fitted, features, texts, people)
            self._models[name] = model
        self.fits += 1
        return TasteFit(len(texts), len(model.people), auroc, time.perf_counter() - began)

    async def choose(self, job: Job, takes: Sequence[Take], selection: Selection) -> tuple[Take, int]:
        """The newest of one job's texts that please nearly most, and how many it was chosen from.

        The first, from one, where there is nothing to choose by: the taste is gone, or it or the model cannot compute.
        """
        model = self._models.get(selection.taste or "")
        if model is None or len(takes) < 2:
            return takes[0], 1
        rows = [self._row(job.prompt, job.family.as_written(take.text, job.messages)) for take in takes]
        draw = selection.draw(job.sampling.seed)
        try:
            features = await asyncio.wrap_future(self._worker.read(Reading(rows, is_urgent=True)))
        except EngineError as error:
            logger.warning("The first of %d texts is taken unseen: %s", len(takes), error)
            return takes[0], 1
        scores = await asyncio.to_thread(model.scores, features, person=selection.person, draw=draw)
        is_eligible = scores.isfinite() & torch.tensor([bool(take.text.strip()) for take in takes])
        if not is_eligible.any():
            return takes[0], 1
        near = nearly_best(scores.sigmoid().masked_fill(~is_eligible, -torch.inf)).nonzero()[:, 0].tolist()
        place = self._shown.newest([row.completion for row in rows], near)
        self._features[_key(rows[place])] = features[place].clone()  # it may be rated soon
        return takes[place], len(takes)

    async def _encoded(self, text: RatedText) -> Encoded:
        """One text as token ids; others have their turn on the event loop before the next."""
        await asyncio.sleep(0)
        written = self._base.family.as_written(text.text, text.messages)
        return self._row(self._template.encode(text.messages), written)

    def _row(self, prompt: Sequence[int], text: str) -> Encoded:
        """A text as the trainer reads it, with its end token; what exceeds the context is cut off, the prompt first."""
        tokenizer, most = self._base.tokenizer, self._base.context_tokens
        written = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        completion = (*written[: most - 1], int(tokenizer.eos_token_id))
        return Encoded(tuple(prompt[max(len(prompt) + len(completion) - most, 0) :]), completion)

    async def _features_of(self, rows: Sequence[Encoded]) -> Tensor:
        """The features of rated texts, (n, d); only those are computed that are not known."""
        keys = [_key(row) for row in rows]
        found = {key: self._features[key] for key in keys if key in self._features}
        missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in found}
        if missing:
            features = require_finite(await asyncio.wrap_future(self._worker.read(Reading(list(missing.values())))))
            new = dict(zip(missing, map(Tensor.clone, features), strict=True))
            self._features.update(new)
            found |= new
        return torch.stack([found[key] for key in keys])


def _key(row: Encoded) -> bytes:
    """A name for a prompt and its text."""
    ids = array("q", [len(row.prompt), *row.prompt, *row.completion])
    return hashlib.blake2b(ids.tobytes(), digest_size=16).digest()


def _check(texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]) -> None:
    values = [text.value for text in texts if text.weight > 0.0]
    if texts and len(values) < FEWEST_TEXTS:
        raise RequestError(f"texts: {len(values)} have a weight, but a taste needs {FEWEST_TEXTS} at least.")
    if texts and not min(values) < 0.0 < max(values):
        raise RequestError("texts: a taste needs liked and disliked ones; these are all of one side.")
    for ratings in people.values():
        if any(not 0 <= rating.text_index < len(texts) for rating in ratings):
            raise RequestError("people: a rating names a text that is not there; texts are counted from 0.")


def _fitted(
    features: Tensor, texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
) -> tuple[PreferenceModel, float | None]:
    """The preference model, and how well the ratings predict one another."""
    labels = labels_of(
        [text.value for text in texts], [text.weight for text in texts], [group_of(text.messages) for text in texts]
    )
    opinions = {
        person: PersonLikes(
            torch.tensor([rating.text_index for rating in ratings]),
            torch.tensor([(1.0 + rating.value) / 2.0 for rating in ratings], dtype=torch.float64),
        )
        for person, ratings in people.items()
        if len(ratings) >= MIN_PERSONAL_RATINGS
    }
    model = fit_preferences(features, labels, opinions)
    sides = [text.value > 0.0 for text in texts if text.weight > 0.0 and text.value]
    can_tell = min(sides.count(True), sides.count(False)) >= _FEWEST_A_SIDE and len(labels.groups.unique()) > 1
    return model, find_signal(features, labels, seed=0).auroc if can_tell else None
