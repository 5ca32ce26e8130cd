"""Rows as records: columns are matched with fields by name, and read as the field's type says.

A field that is a record itself is read from the same row; a tuple of records lies in its column as JSON.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache, partial
from sqlite3 import Cursor, Row
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def records(kind: type[T], rows: Iterable[Row]) -> list[T]:
    """All rows, each as a `kind`."""
    return [_record(kind, row) for row in rows]


def first(kind: type[T], cursor: Cursor) -> T | None:
    """The first row; None where there is none."""
    row = cursor.fetchone()
    return None if row is None else _record(kind, row)


def value(kind: type[T], cursor: Cursor) -> T | None:
    """The first column of the first row; None where there is none, or it is null."""
    row = cursor.fetchone()
    return None if row is None or row[0] is None else _reader(kind)(row[0])


def count(cursor: Cursor) -> int:
    """The number in a row that there always is."""
    return int(cursor.fetchone()[0])


def columns(record: object) -> dict[str, Any]:
    """A record's fields by name, for a statement that names its parameters."""
    return {name: getattr(record, name) for name, _ in _fields(type(record))}  # type: ignore[arg-type]


def _record(kind: type[T], row: Row) -> T:
    return kind(**{name: read(row) for name, read in _fields(kind)})  # type: ignore[arg-type]  # it can be hashed


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, Callable[[Row], Any]], ...]:
    return tuple((name, _field(name, hint)) for name, hint in get_type_hints(kind).items())


def _field(name: str, hint: Any) -> Callable[[Row], Any]:  # noqa: ANN401 - a type, or what stands for several
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return partial(_record, hint)
    read = _reader(hint)
    return lambda row: read(row[name])


def _reader(hint: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    if hint is datetime:
        return datetime.fromisoformat
    if datetime in get_args(hint):
        return lambda text: None if text is None else datetime.fromisoformat(text)
    if hint is bool:
        return bool
    if get_origin(hint) is dict:
        return json.loads
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        return lambda text: tuple(kind(**each) for each in json.loads(text or "[]"))
    return lambda column: column
