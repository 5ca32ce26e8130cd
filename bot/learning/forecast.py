"""How long the first night will take and how large it will be, by speeds that were measured on this machine."""

import json

from bot.common.settings import DataSettings, Settings
from bot.learning.trainer_process import run_config
from bot.serving.usable_models import read_measured
from engine.errors import RunError
from engine.process import free_mb, processors
from engine.runs.plan import Plan, Speeds, Workload, plan_night, read_speeds

RATINGS = 400  # of the night that is forecast, or MIN_RATINGS if that is more
_PROMPT_TOKENS, _TEXT_TOKENS = 60, 90  # as `engine.measure` has them
_PROMPT_SHARE = 0.75  # of the texts, how many answer different prompts


def measured(settings: DataSettings) -> Speeds | None:
    """The speeds of the model that were kept; None where there are none, or none that can be read."""
    try:
        return read_speeds(json.dumps(read_measured(settings).get(settings.model)))
    except RunError:
        return None


def forecast(settings: Settings, speeds: Speeds) -> Plan:
    """A night of `RATINGS` ratings as it would be planned now."""
    config = run_config(
        settings.model, objective=settings.objective, minutes=settings.train_minutes, steps=settings.train_steps,
        memory_mb=settings.train_memory_mb, kinds=settings.kinds,
    )  # fmt: skip
    ratings = max(RATINGS, settings.min_ratings)
    work = Workload(
        examples=ratings,
        prompts=round(_PROMPT_SHARE * ratings),
        prompt_tokens=_PROMPT_TOKENS,
        reply_tokens=_TEXT_TOKENS,
        longest_reply=settings.kinds.longest,
        has_champion=True,
    )
    return plan_night(config, speeds, work, free_mb=free_mb())


def in_words(plan: Plan, speeds: Speeds, examples: int = RATINGS) -> str:
    """What a night will take, and whether all of it fits."""
    size = f"about {max(1.0, plan.minutes):.0f} minutes and {plan.memory_mb / 1024:.1f} GiB"
    rest = "; what does not fit will be left out, and its report says what" if plan.left_out else ""
    speed = f"writes {speeds.sample_tokens_per_second:.0f} tokens a second, 16 texts at once"
    return f"A night of {examples} ratings takes {size} on these {processors()} cores{rest}. The model {speed}."
