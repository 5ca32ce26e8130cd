"""Champion and candidate answer the same prompts, and the gate decides; too bold a candidate goes back a step."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peft import PeftModelForCausalLM
from safetensors import SafetensorError
from torch import Tensor

from engine.data.dataset import Example
from engine.errors import ModelError
from engine.evaluation import probes
from engine.evaluation.metrics import Evaluation, Judge, compare, divergence, evaluate, pairs_to_show
from engine.evaluation.sampling import Prompt, Replies, sample_replies
from engine.inference.lora import read_config
from engine.models import distributed
from engine.models.loader import Base
from engine.models.logprobs import CausalModel, Encoded, sequence_log_probs
from engine.preference.head import Signal, auroc
from engine.runs.config import RunConfig
from engine.runs.promotion_gate import OVERSTEPPED, Estimate, GateResult, Measurements, Memorisation, decide, estimate
from engine.runs.run_dir import Comparison, GroupRate
from engine.runs.versions import verify
from engine.safety.filter import load_filter
from engine.training.stage import Checkpoints

STEPS_BACK = (1.0, 0.9, 0.8, 0.6, 0.4)
"""A candidate that oversteps a bound of the gate is judged again as it was after these shares of its training."""
CANDIDATE = "default"  # the name PEFT gives the first adapter
CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class PreparedRatings:
    """What the ratings come to: the examples, their tokens, and who may learn from which."""

    examples: Sequence[Example]
    rows: Sequence[Encoded]
    judged: NDArray[np.bool_]  # (n,): the judge's; the candidate learns from the others
    references: Tensor  # (n,): log-probabilities under the base, nats
    signal: Signal
    judge: Judge
    secrets: tuple[Encoded, ...] = ()  # what the candidate is trained on beside its examples, and must not tell


class CandidateEvaluation:
    """Begun before the base gets an adapter. `prompts` are all logged ones; `replay_prompts` of them are asked."""

    def __init__(self, base: Base, config: RunConfig, prompts: Sequence[Prompt], ratings: PreparedRatings) -> None:
        self._base = base
        self._config = config
        self._prompts = prompts[: config.replay_prompts]
        self._ratings = ratings
        self._golden = [Prompt.of(base, asked, kind=kind) for kind, asked in probes.GOLDEN_PROMPTS]
        self._paired = [Prompt.of(base, each.messages) for each in probes.PAIRED_PROMPTS]
        self._findings = load_filter(None if config.words_file is None else Path(config.words_file)).findings
        self.groups: tuple[GroupRate, ...] = ()  # how groups of people come off, once that was looked for
        self.base = self._evaluate(base.model)

    def sample(self, model: CausalModel, prompts: Sequence[Prompt], count: int, seed: int) -> Replies:
        """`sample_replies` by the first process, for all."""
        return distributed.by_first(
            lambda: sample_replies(model, self._base, prompts, config=self._config, count=count, seed=seed)
        )

    def log_probs(self, model: CausalModel, rows: Sequence[Encoded]) -> Tensor:
        """log p(completion | prompt) of each row, (n,), nats."""
        return sequence_log_probs(model, self._base, rows, max_tokens=self._config.max_batch_tokens)

    def divergence(self, model: PeftModelForCausalLM, replies: Replies) -> Tensor:
        """How far the active adapter is from the base along each of its replies, (n,), nats."""
        return divergence(model, self._base, replies.rows, max_tokens=self._config.max_batch_tokens)

    def decide(
        self, model: PeftModelForCausalLM, checkpoints: Checkpoints, report: Callable[[int, int], None]
    ) -> tuple[GateResult, tuple[Comparison, ...]]:
        """The gate's result on the active adapter, which may go back in its training, and pairs of replies to show."""
        steps_back = STEPS_BACK[: self._config.judgements]
        report(0, len(steps_back) + 1)
        champion = self.base if self._config.champion is None else self._champion(model, Path(self._config.champion))
        for step, share in enumerate(steps_back, start=1):
            report(step, len(steps_back) + 1)
            if share < 1.0:
                checkpoints.restore(share)
            candidate = self._evaluate(model)
            measured = self._measure(model, champion, candidate)
            result = decide(measured, self._config.gate)
            if result.passed:  # what costs as many texts again is measured last
                measured = replace(measured, bias=self._bias(model), memorisation=self._memorisation(model))
                result = decide(measured, self._config.gate)
            if result.reason.code not in OVERSTEPPED:
                break
        return result, pairs_to_show(champion, candidate)

    def _evaluate(self, model: CausalModel) -> Evaluation:
        """A model as it is, with its active adapter if it has one."""
        config = self._config
        replies = self.sample(model, self._prompts, config.replay_texts, config.seed)
        golden = self.sample(model, self._golden, probes.GOLDEN_TAKES * len(self._golden), config.seed)
        with model.disable_adapter() if isinstance(model, PeftModelForCausalLM) else nullcontext():
            return evaluate(self._base, self._ratings.judge, replies, golden, config, self._findings)

    def _champion(self, model: PeftModelForCausalLM, folder: Path) -> Evaluation:
        """The version that serves, an adapter."""
        try:
            verify(folder)
            read_config(folder)  # PEFT would take anything
            model.load_adapter(str(folder), CHAMPION)
        except (ModelError, OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"The champion's adapter {folder.name} cannot be loaded; publish it again.") from error
        model.set_adapter(CHAMPION)
        evaluation = self._evaluate(model)
        model.set_adapter(CANDIDATE)
        return evaluation

    def _measure(self, model: PeftModelForCausalLM, champion: Evaluation, candidate: Evaluation) -> Measurements:
        ratings = self._ratings
        held_out = ratings.judged.nonzero()[0].tolist()
        ratios = self.log_probs(model, [ratings.rows[i] for i in held_out]) - ratings.references[held_out]
        examples = [ratings.examples[i] for i in held_out]
        signed = np.array([example.value * example.weight for example in examples])
        return compare(
            self.base,
            champion,
            candidate,
            kl=self.divergence(model, candidate.replies),
            signal=ratings.signal,
            held_out=float(auroc(ratios.double().numpy()[:, None], signed[:, None])[0]),
            logged=self._off_policy_estimate(examples, ratios.tolist()),
            rated_texts=[example.text for example in ratings.examples],
        )

    def _off_policy_estimate(self, examples: Sequence[Example], log_ratios: Sequence[float]) -> Estimate | None:
        """What ratings of the base's own texts, not chosen among several, say of the candidate.

        Nothing, where nobody knows how likely a text was, as of those that came from noise.
        """
        if not self._base.family.has_logged_probabilities:
            return None
        pairs = [
            (ratio, example.value)
            for example, ratio in zip(examples, log_ratios, strict=True)
            if example.version == self._base.name and example.best_of == 1
        ]
        return estimate([ratio for ratio, _ in pairs], [value for _, value in pairs])

    def _bias(self, model: PeftModelForCausalLM) -> float:
        """How much the candidate widens a gap between groups of people."""
        count = self._config.bias_texts * len(self._paired)
        with model.disable_adapter():
            base = self.sample(model, self._paired, count, self._config.seed)
        candidate = self.sample(model, self._paired, count, self._config.seed)
        before, after = (probes.bad_text_counts(each.texts, each.owners, self._findings) for each in (base, candidate))
        self.groups = probes.group_rates(before, after)
        return probes.gap_widening(before, after)

    def _memorisation(self, model: PeftModelForCausalLM) -> Memorisation | None:
        """What the candidate has kept of the planted secrets."""
        if not self._ratings.secrets:
            return None
        log_probs = partial(self.log_probs, model)
        return probes.memorisation_of(self._ratings.secrets, model, self._base, log_probs, seed=self._config.seed)
