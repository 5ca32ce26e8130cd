"""Rows as records: columns are matched with fields by name, and read as the field's type says."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from sqlite3 import Cursor, Row
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def record(kind: type[T], row: Row, **others: object) -> T:
    """A `kind` of the row's columns; `others` are fields that no column holds as they are."""
    fields = _fields(kind)  # type: ignore[arg-type]  # classes can be hashed
    return kind(**{name: read(row[name]) for name, read in fields if name not in others}, **others)


def records(kind: type[T], rows: Iterable[Row]) -> list[T]:
    """All rows."""
    return [record(kind, row) for row in rows]


def first(kind: type[T], cursor: Cursor) -> T | None:
    """The first row; None where there is none."""
    row = cursor.fetchone()
    return None if row is None else record(kind, row)


def value(kind: type[T], cursor: Cursor) -> T | None:
    """The first column of the first row; None where there is none, or it is null."""
    row = cursor.fetchone()
    return None if row is None or row[0] is None else _reader(kind)(row[0])


def count(cursor: Cursor) -> int:
    """The number in a row that there always is."""
    return int(cursor.fetchone()[0])


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, _reader(hints[field.name])) for field in dataclasses.fields(kind))


def _reader(hint: object) -> Callable[[Any], Any]:
    if hint is datetime:
        return datetime.fromisoformat
    if datetime in get_args(hint):
        return lambda text: None if text is None else datetime.fromisoformat(text)
    if hint is bool:
        return bool
    return json.loads if get_origin(hint) is dict else lambda column: column
