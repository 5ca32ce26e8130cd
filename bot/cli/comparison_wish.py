"""What somebody wants compared, made a plan; each wrong wish is one sentence. Starts nothing."""

from collections import Counter
from collections.abc import Sequence

from bot.cli.comparison import Plan
from bot.cli.shipped_models import kinds_of, writes
from bot.common.errors import StartError
from bot.common.kinds import load_kinds
from bot.sandbox.people.tastes import TASTES
from engine.api.sources import find_source, version_name
from engine.errors import ModelError
from recipes import grammar

KINDS = tuple(kind for kind in grammar.KINDS if kind in grammar.templates("en"))
"""What the grammar has a form for; /write is asked for in too many ways."""


def plan_for(names: Sequence[str], *, kind: str, taste: str) -> Plan:
    """The plan for models by these names, with the usual numbers.

    Raises:
        StartError: a model, the kind or the taste is none that can be compared.
    """
    models = tuple(dict.fromkeys(model for name in names if (model := name.strip())))
    if not models:
        raise StartError("No model is named: give --models starter, for example.")
    if kind not in KINDS:
        raise StartError(f"The kind {kind!r} cannot be compared: choose one of {', '.join(KINDS)}.")
    if taste not in TASTES:
        raise StartError(f"There is no taste {taste!r}: choose one of {', '.join(TASTES)}.")
    for model in models:
        try:
            find_source(model)
        except ModelError as error:
            raise StartError(str(error)) from error
        if not writes(model, kind):
            raise StartError(f"The model {model} writes no {kind}: it knows {', '.join(kinds_of(model) or ())}.")
    called = Counter(map(version_name, models)).most_common(1)[0]
    if called[1] > 1:
        raise StartError(f"{called[1]} of the models are called {called[0]}: give their folders different names.")
    return Plan(models=models, kind=load_kinds().by_name[kind], taste=TASTES[taste])
