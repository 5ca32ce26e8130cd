"""The hearing: champion and candidate answer the same prompts, and the gate decides; too bold a candidate goes back.

Knows models, a judge and logged prompts. Knows nothing of run folders, or of how the candidate was trained.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from peft import PeftModelForCausalLM
from safetensors import SafetensorError
from torch import Tensor

from engine.data.dataset import Example
from engine.errors import ModelError
from engine.evaluation.judge import Judge
from engine.evaluation.metrics import Appraisal, Background, appraise, compare, divergence, pairs_to_show
from engine.evaluation.probes import (
    GOLDEN_PROMPTS,
    PAIRED_PROMPTS,
    TEXTS_A_PROMPT,
    group_rates,
    look_for,
    rates,
    widening,
)
from engine.evaluation.sampling import Prompt, Replies, sample_replies
from engine.models import distributed
from engine.models.loader import Base
from engine.models.logprobs import CausalModel, Encoded
from engine.preference.head import Signal, auroc
from engine.runs.config import RunConfig
from engine.runs.promotion_gate import OVERSTEPPED, Estimate, Memory, Verdict, decide, estimate
from engine.runs.run_dir import Comparison, GroupRate
from engine.runs.versions import verify
from engine.safety.filter import load_filter
from engine.training.checkpoints import Trail
from engine.training.kto import reference_log_probs

STEPS_BACK = (1.0, 0.9, 0.8, 0.6, 0.4)
"""A candidate that oversteps a bound of the gate is judged again as it was after these shares of its training."""
CANDIDATE = "default"  # the name PEFT gives the first adapter
CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the ratings come to: the examples, their tokens, and who may learn from which."""

    examples: Sequence[Example]
    rows: Sequence[Encoded]
    judged: Tensor
    """(n,), bool: the judge's; the candidate learns from the others."""
    references: Tensor
    """(n,): log-probabilities under the base, nats."""
    signal: Signal
    judge: Judge
    canaries: tuple[Encoded, ...] = ()
    """Secrets that the candidate is trained on beside its examples, and must not tell."""


class Hearing:
    """One hearing, begun before the base gets an adapter. `prompts` are all logged ones; `replay_prompts` are asked."""

    def __init__(self, base: Base, config: RunConfig, prompts: Sequence[Prompt], evidence: Evidence) -> None:
        self._base = base
        self._config = config
        self._prompts = prompts[: config.replay_prompts]
        self._evidence = evidence
        self._golden = [Prompt.of(base, asked) for asked in GOLDEN_PROMPTS]
        self._paired = [Prompt.of(base, each.messages, shown=each.group) for each in PAIRED_PROMPTS]
        self._findings = load_filter(None if config.words_file is None else Path(config.words_file)).findings
        self.groups: tuple[GroupRate, ...] = ()
        """How groups of people come off, once that was looked for."""
        self.base = self._appraise(base.model)

    def write(self, model: CausalModel, prompts: Sequence[Prompt], count: int, seed: int) -> Replies:
        """`sample_replies` by the first process, for all."""
        return distributed.by_first(
            lambda: sample_replies(model, self._base, prompts, config=self._config, count=count, seed=seed)
        )

    def judge_candidate(
        self, model: PeftModelForCausalLM, trail: Trail, report: Callable[[int, int], None]
    ) -> tuple[Verdict, tuple[Comparison, ...]]:
        """The verdict on the active adapter, which may go back on its trail, and pairs of replies to show."""
        report(0, len(STEPS_BACK) + 1)
        before = self.base if self._config.champion is None else self._champion(model, Path(self._config.champion))
        for step, share in enumerate(STEPS_BACK, start=1):
            report(step, len(STEPS_BACK) + 1)
            if share < 1.0:
                trail.go_to(share)
            after = self._appraise(model)
            measured = compare(self.base, before, after, self._background(model, after.replies))
            verdict = decide(measured, self._config.gate)
            if verdict.passed:
                measured = replace(measured, bias=self._bias(model), memory=self._memory(model))
                verdict = decide(measured, self._config.gate)
            if verdict.reason.code not in OVERSTEPPED:
                break
        return verdict, pairs_to_show(before, after)

    def _memory(self, model: PeftModelForCausalLM) -> Memory | None:
        """What a candidate that passes everything else has kept of the canaries."""
        canaries = self._evidence.canaries
        if not canaries:
            return None
        likely = partial(reference_log_probs, model, self._base, max_tokens=self._config.max_batch_tokens)
        return look_for(model, self._base, canaries, likely, seed=self._config.seed)

    def _bias(self, model: PeftModelForCausalLM) -> float:
        """How much it widens a gap between groups of people."""
        count = TEXTS_A_PROMPT * len(self._paired)
        with model.disable_adapter():
            base = self.write(model, self._paired, count, self._config.seed)
        candidate = self.write(model, self._paired, count, self._config.seed)
        before, after = (rates(each.texts, each.owners, self._findings) for each in (base, candidate))
        self.groups = group_rates(before, after)
        return widening(before, after)

    def _appraise(self, model: CausalModel) -> Appraisal:
        """Hear a model as it is, with its active adapter if it has one."""
        config = self._config
        replies = self.write(model, self._prompts, config.replay_texts, config.seed)
        golden = self.write(model, self._golden, len(self._golden), config.seed)
        with model.disable_adapter() if isinstance(model, PeftModelForCausalLM) else nullcontext():
            return appraise(self._base, self._evidence.judge, replies, golden, config, self._findings)

    def _champion(self, model: PeftModelForCausalLM, folder: Path) -> Appraisal:
        """Hear the version that serves, an adapter."""
        try:
            verify(folder)
            model.load_adapter(str(folder), CHAMPION)
        except (ModelError, OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"The champion's adapter {folder.name} cannot be loaded; publish it again.") from error
        model.set_adapter(CHAMPION)
        appraisal = self._appraise(model)
        model.set_adapter(CANDIDATE)
        return appraisal

    def _background(self, model: PeftModelForCausalLM, replies: Replies) -> Background:
        """What is measured of the candidate beside its liking."""
        config, evidence = self._config, self._evidence
        held_out = evidence.judged.nonzero()[:, 0].tolist()
        rows = [evidence.rows[i] for i in held_out]
        ratios = (
            reference_log_probs(model, self._base, rows, max_tokens=config.max_batch_tokens)
            - evidence.references[held_out]
        )
        examples = [evidence.examples[i] for i in held_out]
        signed = torch.tensor([example.value * example.weight for example in examples], dtype=torch.float64)
        return Background(
            signal=evidence.signal,
            kl=divergence(model, self._base, replies.rows, max_tokens=config.max_batch_tokens),
            held_out=float(auroc(ratios.double()[:, None], signed[:, None])),
            logged=self._logged(examples, ratios.tolist()),
            rated_texts=[example.text for example in evidence.examples],
        )

    def _logged(self, examples: Sequence[Example], log_ratios: Sequence[float]) -> Estimate | None:
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
