"""What a model plugs into the engine, and what an ordinary one leaves alone."""

import subprocess
import sys

import pytest

from engine.api.types import Message
from engine.latent.family import GAN, VAE
from engine.models.family import ORDINARY, ModelFamily
from engine.models.loader import load_base

MESSAGES = (Message("system", "Write."), Message("user", "green tea"))


def test_serving_an_ordinary_model_loads_no_training_no_plug_in_and_no_peft() -> None:
    code = (
        "import sys; import engine.server.main; from engine.inference.engine import Engine;"
        " from engine.models.loader import load_to_serve; Engine(load_to_serve('starter')); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    strangers = ("engine.latent", "engine.training", "engine.evaluation", "recipes", "peft", "matplotlib")
    assert "engine.inference.batch" in loaded
    assert not [name for name in loaded if name.startswith(strangers)]


def test_an_ordinary_model_reads_and_writes_texts_as_they_are() -> None:
    assert ORDINARY.as_written("green tea", MESSAGES) == ORDINARY.as_shown("green tea", MESSAGES) == "green tea"
    assert load_base("starter").family is ORDINARY


@pytest.mark.parametrize(("name", "family"), [("vae", VAE), ("gan", GAN)])
def test_the_entry_points_name_the_family_of_a_model_type(name: str, family: ModelFamily) -> None:
    assert load_base(name).family is family


def test_a_generator_leaves_the_topic_open() -> None:
    written = VAE.as_written("Green tea for all.", MESSAGES)
    assert "ea" not in written
    assert VAE.as_shown(written, MESSAGES) == "Green tea for all."
