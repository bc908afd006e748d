"""JSON and timestamps as they stand on the wire: an amount of ``149.00`` stays ``149.00``."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Record = dict[str, Any]
"""One object of the API, with the names of the ``brands`` style."""

MAX_DEPTH = 100
"""Levels of nesting a body may have; everything that walks it later may then recurse."""

# The C encoder cannot write a Decimal as a number. It writes this unguessable mark and the
# digits as a string, and the quotes and the mark are taken away again.
_MARK = secrets.token_hex(16)
_MARKED = re.compile(f'"{_MARK}([^"]*)"')


def loads(body: bytes) -> Any:
    """Parse UTF-8 JSON; numbers with a fraction or an exponent become ``Decimal``.

    Raises ``ValueError`` on anything else: other encodings, ``NaN``, ``Infinity``, numbers out
    of range, and nesting deeper than ``MAX_DEPTH``.
    """
    try:
        value = json.loads(body.decode(), parse_float=_exact, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise ValueError("nested too deeply")
    return value


def dumps(value: object) -> bytes:
    """Write compact ASCII JSON; a ``Decimal`` becomes a number with the digits it has."""
    text = _ENCODER.encode(value)
    return (_MARKED.sub(r"\1", text) if _MARK in text else text).encode("ascii")


def pretty(value: object, indent: int | None = 2) -> str:
    """Write JSON for people: indented, or in one line, and with all letters as they are."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=_mark)
    return _MARKED.sub(r"\1", text)


def stamp(moment: datetime) -> str:
    """Write an aware time as the API does: ISO 8601 in UTC, milliseconds, ``Z``.

    All stamps have one width, so they sort as text.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id(prefix: str) -> str:
    """Make an id such as ``tkt_5f0c...``."""
    return f"{prefix}_{secrets.token_hex(10)}"


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number is out of range") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _deeper_than(value: Any, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit + 1):
        if not level:
            return False
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()  # pyright: ignore[reportUnknownArgumentType]
            elif isinstance(item, list):
                below += item  # pyright: ignore[reportUnknownArgumentType]
        level = below
    return True


def _mark(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{_MARK}{value}"
    raise TypeError(f"{type(value).__name__} is not JSON")


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_mark, allow_nan=False)
