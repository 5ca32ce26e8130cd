"""Data that knows a second version of the shipped model, for tests in which a bot is to serve one."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from engine.runs.versions import publish
from storage.db.database import Database
from storage.db.records import Version
from storage.tables import versions

BASE = "starter"
VERSION = "of-the-state-machine"
_WIDTH = 192


def publish_version(data: Path, name: str = VERSION) -> None:
    """A published version whose adapter adds nothing."""
    adapter = data.with_name("adapter")
    adapter.mkdir()
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"], "layers_to_transform": [0]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    weights = {f"{layer}.lora_A.weight": np.ones((1, _WIDTH)), f"{layer}.lora_B.weight": np.zeros((_WIDTH, 1))}
    save_file(
        {name: value.astype(np.float32) for name, value in weights.items()}, adapter / "adapter_model.safetensors"
    )
    publish(adapter, data / "versions", name)


async def add_version(data: Path) -> None:
    """A database in which a second version waits, and the version."""
    publish_version(data)
    now = datetime.now(UTC)
    database = await Database.open(data / "ovation.db")
    await versions.register_base(database, BASE, at=now)
    await versions.add(database, Version(name=VERSION, base=BASE, run=None, state="candidate", created_at=now))
    await database.close()
