"""JSON that somebody else wrote, read with bounds: of a request, of a file that came with a model, of an answer.

Python's own reader raises RecursionError some hundred levels down, where nobody catches it, and lets through what is
nested just less deeply and then fells whatever walks it by recursion or writes it out again.
"""

import json

MAX_DEPTH = 64
"""Levels of lists and objects. An update of Telegram's has about ten, a model's configuration six, and code that takes
six frames for a level stays far below Python's thousand."""
MAX_BYTES = 64 * 2**20
"""Where the caller has no tighter bound: reading takes some ten times as much memory."""


def read_json(
    text: str | bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, strict: bool = False
) -> object:
    """The value; bytes are UTF-8, as the standard has it, with or without a mark at the beginning.

    `strict` also refuses what Python reads and not everybody can write again: NaN, Infinity, halves of characters.

    Raises:
        ValueError: it is no JSON, longer than `max_bytes` (characters, for a str), nested more than `max_depth` levels
            deep, or has a number of thousands of digits.
    """
    if len(text) > max_bytes:
        raise ValueError(f"longer than {max_bytes} bytes")
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {max_depth} levels deep") from error
    # Most texts have fewer brackets than the bound, and need no walk.
    if text.count("[") + text.count("{") > max_depth and _is_deeper_than(max_depth, value):
        raise ValueError(f"nested more than {max_depth} levels deep")
    if strict:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def _is_deeper_than(depth: int, value: object) -> bool:
    """By breadth, for a walk by recursion would be what is to be prevented."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(depth):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
