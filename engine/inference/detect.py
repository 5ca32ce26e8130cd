"""The program `python -m engine.inference.detect`: does a text carry the watermark? JSON in, JSON out, through its
pipes.

In: `{"model": ..., "keys": [hex, ...], "text": ...}`; out: `{"tokens": n, "p_value": p or null}`. Through a pipe, for a
key belongs into no command line and no environment. Only the model's tokenizer is loaded.
"""

import json
import sys
from typing import Any

import torch
from transformers import AutoTokenizer

from engine.api.sources import find_source
from engine.errors import ModelError
from engine.inference.watermark import Watermark, read_secret, strongest


def main() -> int:
    """Read the question, answer it; returns the exit status."""
    try:
        asked: dict[str, Any] = json.loads(sys.stdin.read())
        tokenizer = AutoTokenizer.from_pretrained(find_source(asked["model"]), trust_remote_code=False)
        marks = [Watermark(read_secret(key), torch.device("cpu")) for key in asked["keys"]]
        ids = tokenizer.encode(asked["text"], add_special_tokens=False)
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (ValueError, KeyError, OSError) as error:
        sys.stderr.write(f"The question cannot be read: {type(error).__name__}.\n")
        return 2
    found = strongest([mark.look_for(ids) for mark in marks])
    sys.stdout.write(json.dumps({"tokens": found.tokens, "p_value": found.p_value}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
