"""The bot imports what it uses, and nothing that only a chart, a model or a trainer needs."""

import subprocess
import sys


def test_the_bot_imports_nothing_that_only_a_chart_or_a_model_needs() -> None:
    code = "import sys, bot.start, bot.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = {name.split(".")[0] for name in done.stdout.split()}
    assert not packages & {"matplotlib", "huggingface_hub", "torch", "transformers", "typer"}
