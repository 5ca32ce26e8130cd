"""Judges recorded calls by a published table of the Bot API's methods and types.

The table's form is ({"methods": {name: {"fields": […]}}, "types": {name: {"fields": […], "subtypes": […]}}}).
Values of forms are text, so numbers and nested values are read from text here.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.sandbox.api.params import Upload
from bot.sandbox.api.server import Call

_INTEGER = re.compile(r"-?\d+")
_ARRAY = "Array of "
_ATTACHED = "attach://"


def check_calls(calls: Iterable[Call], table_path: Path) -> list[str]:
    """What is wrong with the calls: unknown method or parameter, missing or mistyped value. Empty is good."""
    table = load_table(table_path)
    problems = []
    for number, call in enumerate(calls):
        problems += [f"call {number}, {call.method}: {problem}" for problem in table.problems_of(call)]
    return problems


def load_table(path: Path) -> "Table":
    """Read the table from its JSON file."""
    content = json.loads(path.read_text("utf-8"))
    return Table(content["methods"], content["types"])


@dataclass(frozen=True, slots=True)
class Table:
    """Methods and types by name, as published."""

    methods: Mapping[str, Any]
    types: Mapping[str, Any]

    def problems_of(self, call: Call) -> list[str]:
        """What is wrong with one call."""
        method = self.methods.get(call.method)
        if method is None:
            return ["the method is not in the table"]
        attached = {
            str(value).removeprefix(_ATTACHED) for value in _strings_in(call.params) if value.startswith(_ATTACHED)
        }
        given = {name: value for name, value in call.params.items() if name not in attached}
        return self._fields(given, method.get("fields", []), "")

    def problems_of_object(self, type_name: str, value: object) -> list[str]:
        """What is wrong with an object of the named type; for what the stand-in itself sends."""
        return self._typed(value, [type_name], type_name)

    def _fields(self, given: Mapping[str, object], fields: list[Any], where: str) -> list[str]:
        known = {field["name"]: field for field in fields}
        problems = [f"unknown field {where}{name}" for name in given if name not in known]
        for name, field in known.items():
            if name not in given:
                problems += [f"required field {where}{name} is missing"] if field["required"] else []
                continue
            problems += self._typed(given[name], field["types"], f"{where}{name}")
        return problems

    def _typed(self, value: object, types: list[str], where: str) -> list[str]:
        attempts = [self._one_type(value, name, where) for name in types]
        return min(attempts, key=len) if attempts else []

    def _one_type(self, value: object, type_name: str, where: str) -> list[str]:
        if type_name.startswith(_ARRAY):
            return self._array(value, type_name.removeprefix(_ARRAY), where)
        if (is_right := _scalar(value, type_name)) is not None:
            return [] if is_right else [_mistyped(where, type_name, value)]
        described = self.types.get(type_name)
        if described is None:
            return [f"{where} has type {type_name}, which is not in the table"]
        if subtypes := described.get("subtypes"):
            return self._typed(value, subtypes, where)
        nested = _nested(value)
        if not isinstance(nested, dict):
            return [_mistyped(where, type_name, value)]
        return self._fields(nested, described.get("fields", []), f"{where}.")

    def _array(self, value: object, item_type: str, where: str) -> list[str]:
        items = _nested(value)
        if not isinstance(items, list):
            return [_mistyped(where, f"{_ARRAY}{item_type}", value)]
        problems = []
        for index, item in enumerate(items):
            problems += self._one_type(item, item_type, f"{where}[{index}]")
        return problems


def _scalar(value: object, type_name: str) -> bool | None:
    """Whether a value has a basic type; None when the type is not a basic one."""
    match type_name:
        case "String":
            return isinstance(value, str)
        case "Integer":
            return _is_number(value) or (isinstance(value, str) and bool(_INTEGER.fullmatch(value)))
        case "Float":
            return isinstance(value, float) or _is_number(value) or (isinstance(value, str) and _is_float(value))
        case "Boolean" | "True":
            return isinstance(value, bool) or value in ("true", "false")
        case "InputFile":
            return isinstance(value, Upload) or (isinstance(value, str) and value.startswith(_ATTACHED))
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _nested(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _strings_in(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield from re.findall(r"attach://[^\"\s]+", value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings_in(each)


def _mistyped(where: str, type_name: str, value: object) -> str:
    shown = repr(value)
    return f"{where} should be {type_name}, not {shown[:60]}{'…' if len(shown) > 60 else ''}"
