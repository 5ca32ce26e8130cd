"""Best of n: how many texts there is time to write for one answer, and the selection of one by a preference model.

Preference models are fitted on rated texts. The features of texts are read by the model's thread, a little between two
rounds, so that streams go on, and are kept for the next fit; fitting and scoring happen in other threads.
"""

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from engine.api.types import MIN_PERSONAL_RATINGS, PersonalRating, RatedText, Selection, TasteFit, group_of
from engine.errors import RequestError
from engine.inference.request import JobProgress
from engine.preference.choice import RecentTexts, nearly_best
from engine.preference.features import text_features
from engine.preference.head import find_signal, labels_of, sigmoid
from engine.preference.personal import PersonLikes, PreferenceModel, fit_preferences

logger = logging.getLogger(__name__)

MAX_NAMES: Final = 64
MIN_TEXTS: Final = 4
_MIN_PER_SIDE = 5
"""With fewer likes or dislikes a cross-validated AUROC tells nothing."""

MAX_SLOWDOWN: Final = 2.0
"""An answer may take so many times as long as a single text on an idle engine."""
_SMOOTHING = 0.03
"""The weight of a new measurement in a moving average."""
_ROW_COST, _READING_COST, _SPREAD, _TYPICAL_TOKENS = 0.1, 1.0, 0.25, 64.0
"""The first guesses of a, b, c and n in `LatencyModel`."""


class PreferenceModels:
    """The preference models that requests may name, which the API calls tastes. For one event loop."""

    def __init__(self) -> None:
        self._models: dict[str, PreferenceModel] = {}
        self._recent = RecentTexts()
        self._fitting = asyncio.Lock()
        self.fits = 0
        """How many times a model was fitted."""

    def __contains__(self, name: object) -> bool:
        return name in self._models

    def __len__(self) -> int:
        return len(self._models)

    async def fit(
        self, name: str, texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
    ) -> TasteFit:
        """Fit a model anew; it replaces the one of this name at once, when it is there. Without texts it is removed.

        Raises:
            RequestError: there is nothing to be learned from these ratings, or they name texts that are not there.
            EngineUnavailable: the engine has stopped, or memory ran out.
            ModelError: the base computes values that are not numbers.
        """
        _check(texts, people)
        began = time.perf_counter()
        async with self._fitting:
            if not texts:
                self._models.pop(name, None)
                return TasteFit(0, 0, None, time.perf_counter() - began)
            if name not in self and len(self) >= MAX_NAMES:
                raise RequestError(f"There are {MAX_NAMES} tastes already; remove one first.")
            model, auroc = await asyncio.to_thread(_fitted, texts, people)
            self._models[name] = model
        self.fits += 1
        return TasteFit(len(texts), len(model.people), auroc, time.perf_counter() - began)

    async def select(self, candidates: Sequence[JobProgress], selection: Selection) -> JobProgress:
        """The most novel of one job's texts that please nearly most.

        The first, unseen, where there is nothing to select by: the model is gone, or it or the base cannot compute.
        """
        job, model = candidates[0].job, self._models.get(selection.taste or "")
        if model is None or len(candidates) < 2:
            return candidates[0]
        texts = [each.text for each in candidates]
        draw = selection.draw(job.sampling.seed)
        scores = await asyncio.to_thread(lambda: model.scores(text_features(texts), person=selection.person, draw=draw))
        is_eligible = np.array([bool(text.strip()) for text in texts])
        if not is_eligible.any():
            return candidates[0]
        near = nearly_best(np.where(is_eligible, sigmoid(scores), -np.inf)).nonzero()[0].tolist()
        place = self._recent.most_novel(texts, near)
        return replace(candidates[place], compared=len(candidates))


def _check(texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]) -> None:
    values = [text.value for text in texts if text.weight > 0.0]
    if texts and len(values) < MIN_TEXTS:
        raise RequestError(f"texts: {len(values)} have a weight, but a taste needs {MIN_TEXTS} at least.")
    if texts and not min(values) < 0.0 < max(values):
        raise RequestError("texts: a taste needs liked and disliked ones; these are all of one side.")
    for ratings in people.values():
        if any(not 0 <= rating.text_index < len(texts) for rating in ratings):
            raise RequestError("people: a rating names a text that is not there; texts are counted from 0.")


def _fitted(
    texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
) -> tuple[PreferenceModel, float | None]:
    """The model, and how well everybody's ratings predict one another."""
    labels = labels_of(
        [text.value for text in texts], [text.weight for text in texts], [group_of(text.messages) for text in texts]
    )
    likes = {
        person: PersonLikes(
            np.array([rating.text_index for rating in ratings]),
            np.array([(1.0 + rating.value) / 2.0 for rating in ratings]),
        )
        for person, ratings in people.items()
        if len(ratings) >= MIN_PERSONAL_RATINGS
    }
    features = text_features([text.text for text in texts])
    model = fit_preferences(features, labels, likes)
    sides = [text.value > 0.0 for text in texts if text.weight > 0.0 and text.value]
    can_tell = min(sides.count(True), sides.count(False)) >= _MIN_PER_SIDE and len(np.unique(labels.groups)) > 1
    return model, find_signal(features, labels, seed=0).auroc if can_tell else None


class LatencyModel:
    """How much longer an answer takes when several texts are written for it side by side, learned from measurements.

    A single text of n tokens takes n steps of one row. A step of r rows takes 1 + a (r - 1) times as long. Of k texts
    the longest decides: it has about n (1 + c ln k) tokens (where lengths have an exponential tail, the largest of k
    grows by the logarithm: Gumbel, "Statistics of Extremes", 1958), and at the end all k are read to be compared, which
    takes b steps a text. a, b and c are moving averages. A machine is disturbed now and then, so one measurement counts
    as twice what was expected at most; and what is not measured any more fades back to a first guess, so that one bad
    minute does not decide for ever.
    """

    def __init__(self) -> None:
        self._step_seconds = 0.0
        self._row_cost = _ROW_COST
        self._reading_cost = _READING_COST
        self._spread = _SPREAD
        self._tokens = _TYPICAL_TOKENS

    def observe_step(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long.

        Half of what was not expected may be the machine's speed, half what rows cost; steps of one row, which come at
        the end of every answer, tell the two apart.
        """
        if not self._step_seconds:
            self._step_seconds = seconds / self._step_cost(rows)
        surprise = min(seconds / (self._step_seconds * self._step_cost(rows)) - 1.0, 1.0)
        if rows > 1:  # the more rows, the better they tell what one costs
            change = surprise * self._step_cost(rows) / (rows + 3)
            self._row_cost = max(self._row_cost + _SMOOTHING * change, 0.0)
        self._step_seconds *= 1.0 + 2.0 * _SMOOTHING * surprise

    def observe_answer(self, lengths: Sequence[int]) -> None:
        """The texts of one answer are complete; `lengths` are in tokens."""
        mean = sum(lengths) / len(lengths)
        self._tokens += _SMOOTHING * (mean - self._tokens)
        if len(lengths) > 1:
            self._spread += _SMOOTHING * ((max(lengths) / mean - 1.0) / math.log(len(lengths)) - self._spread)
        else:
            self._row_cost += _SMOOTHING * (_ROW_COST - self._row_cost)
            self._reading_cost += _SMOOTHING * (_READING_COST - self._reading_cost)
            self._spread += _SMOOTHING * (_SPREAD - self._spread)

    def observe_reading(self, texts: int, seconds: float) -> None:
        """So many texts were read, to be compared, in so long."""
        if self._step_seconds:
            steps = min(seconds / texts / self._step_seconds, 2.0 * self._reading_cost)
            self._reading_cost += 4.0 * _SMOOTHING * (steps - self._reading_cost)  # they are few

    def allows(self, rows: Sequence[int], texts: int) -> bool:
        """Whether an answer of so many texts may be begun when the batches then have so many `rows` each."""
        longest = 1.0 + self._spread * math.log(texts)
        reading = texts * self._reading_cost / self._tokens
        return longest * sum(map(self._step_cost, rows)) + reading <= MAX_SLOWDOWN

    def _step_cost(self, rows: int) -> float:
        """How many times as long as a step of one row a step of so many takes."""
        return 1.0 + self._row_cost * (rows - 1)
