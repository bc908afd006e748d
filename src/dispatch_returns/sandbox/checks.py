"""What a field of a request must be. A field without a check is ignored, as the API does."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from dispatch_returns.sandbox.answers import Problem, invalid
from dispatch_returns.sandbox.wire import Record, stamp

Check = Callable[[Any], str | None]
"""Answers what is wrong with a value, or None."""

_EMAIL = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def accept(
    values: Mapping[str, Any], checks: Mapping[str, Check], required: Collection[str] = ()
) -> Record:
    """Give the fields that have a check and pass it; raise a 400 that names all others."""
    problems = [Problem(name, "is required") for name in required if values.get(name) is None]
    missing = {problem.field for problem in problems}
    accepted: Record = {}
    for name, check in checks.items():
        if name in missing or name not in values:
            continue
        if wrong := check(values[name]):
            problems.append(Problem(name, wrong))
        accepted[name] = values[name]
    if problems:
        raise invalid(*problems)
    return accepted


def text(value: Any) -> str | None:
    """Any string."""
    return None if isinstance(value, str) else "must be a string"


def filled(value: Any) -> str | None:
    """A string with more than blanks in it."""
    return None if isinstance(value, str) and value.strip() else "must be a string, not empty"


def boolean(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else "must be true or false"


def integer(value: Any) -> str | None:
    """A whole number."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return None if whole else "must be a whole number"


def anything(_: Any) -> None:
    """Whatever it is."""


def mapping(value: Any) -> str | None:
    """A JSON object; its keys and values are the caller's own."""
    return None if isinstance(value, dict) else "must be an object"


def array(value: Any) -> str | None:
    """A JSON array of anything."""
    return None if isinstance(value, list) else "must be an array"


def texts(value: Any) -> str | None:
    """An array of strings."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):  # pyright: ignore[reportUnknownVariableType]
        return None
    return "must be an array of strings"


def email(value: Any) -> str | None:
    """Something with an ``@`` in it and no blanks."""
    if isinstance(value, str) and _EMAIL.fullmatch(value):
        return None
    return "must be an email address"


def key(value: Any) -> str | None:
    """A key such as ``return_requested``."""
    if isinstance(value, str) and _KEY.fullmatch(value):
        return None
    return "must be letters, digits, _ and -, at most 100"


def nullable(check: Check) -> Check:
    """What ``check`` accepts, or null."""
    return lambda value: None if value is None else check(value)


def one_of(*choices: str) -> Check:
    """One of these strings."""
    wrong = f"must be one of {', '.join(choices)}"
    return lambda value: None if isinstance(value, str) and value in choices else wrong


def moment(name: str, value: str) -> str:
    """Read a time or a date from a query and write it as a stamp; a naive one counts as UTC."""
    try:
        read = datetime.fromisoformat(value)
        return stamp(read if read.tzinfo else read.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise invalid(Problem(name, "must be an ISO 8601 time")) from None
