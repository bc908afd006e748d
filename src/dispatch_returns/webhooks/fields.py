"""The rules for the ids and timestamps of an event, in its envelope and in its data.

Each function takes a decoded value and returns it in its Python type, or raises `ValueError`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

_LONGEST_ID = 255


def identifier(value: Any) -> str:
    """Return an id: text of 1 to 255 printable characters.

    Printable text has no NUL and no lone surrogate, which databases refuse, and no line break,
    which would forge a line in a log.
    """
    if type(value) is str and 0 < len(value) <= _LONGEST_ID and value.isprintable():
        return value
    raise ValueError("not an id")


def optional_identifier(value: Any) -> str | None:
    """Return an id, or None."""
    return None if value is None else identifier(value)


def moment(value: Any) -> datetime:
    """Return an ISO 8601 timestamp with its zone, in UTC."""
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is UTC:
            return time
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):  # its message would quote the value
        pass
    raise ValueError("not a point in time with its zone")
