"""What a field of a request must be. A field without a check is ignored, as the API does."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dispatch_sandbox.answers import Problem, invalid
from dispatch_sandbox.wire import Record, stamp


@dataclass(frozen=True, slots=True)
class Check:
    """Returns what is wrong with a value, or None; ``schema`` is the same as a JSON Schema."""

    wrong: Callable[[Any], str | None]
    schema: Record

    def __call__(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        return self.wrong(value)


def check(**schema: Any) -> Callable[[Callable[[Any], str | None]], Check]:
    """Return a decorator that makes a check; the keywords are those of JSON Schema."""
    return lambda wrong: Check(wrong, schema)


@dataclass(frozen=True, slots=True)
class Form:
    """What the body of a request may hold, with our names of the fields."""

    checks: Mapping[str, Check] = field(default_factory=dict[str, Check])
    required: tuple[str, ...] = ()

    def accept(self, values: Mapping[str, Any], **narrower: Callable[[Any], str | None]) -> Record:
        """Return the fields that pass; ``narrower`` are checks that depend on the state."""
        return accept(values, {**self.checks, **narrower}, self.required)


# Dialects of regular expressions differ in which blanks `\s` has: these two are named besides.
_FILLED = re.compile(r"[^\s\x1c-\x1f\x85\ufeff]")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x85\ufeff]+@[^@\s\x00-\x1f\x85\ufeff]+")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def accept(
    values: Mapping[str, Any],
    checks: Mapping[str, Callable[[Any], str | None]],
    required: Collection[str] = (),
) -> Record:
    """Return the fields that pass their check. Raises a 400 that names all others."""
    problems = [Problem(name, "is required") for name in required if values.get(name) is None]
    missing = {problem.field for problem in problems}
    accepted: Record = {}
    for name, wrong_with in checks.items():
        if name in missing or name not in values:
            continue
        if wrong := wrong_with(values[name]):
            problems.append(Problem(name, wrong))
        accepted[name] = values[name]
    if problems:
        raise invalid(*problems)
    return accepted


@check(type="string")
def text(value: Any) -> str | None:
    """Any string."""
    return None if isinstance(value, str) else "must be a string"


@check(type="string", pattern=_FILLED.pattern)
def filled(value: Any) -> str | None:
    """A string that is not blank."""
    return (
        None if isinstance(value, str) and _FILLED.search(value) else "must be a string, not empty"
    )


@check(type="boolean")
def boolean(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else "must be true or false"


@check(type="integer")
def integer(value: Any) -> str | None:
    """A whole number."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return None if whole else "must be a whole number"


@check()
def anything(_: Any) -> None:
    """Any value."""


@check(type="object")
def mapping(value: Any) -> str | None:
    """A JSON object; its keys and values are the caller's own."""
    return None if isinstance(value, dict) else "must be an object"


@check(type="array")
def array(value: Any) -> str | None:
    """A JSON array of anything."""
    return None if isinstance(value, list) else "must be an array"


@check(type="array", items={"type": "string"})
def texts(value: Any) -> str | None:
    """An array of strings."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):  # pyright: ignore[reportUnknownVariableType]
        return None
    return "must be an array of strings"


@check(type="array", items={"type": "string"}, minItems=1)
def some_texts(value: Any) -> str | None:
    """An array of at least one string."""
    return texts(value) or (None if value else "must not be empty")


@check(type="string", pattern=f"^{_EMAIL.pattern}$")
def email(value: Any) -> str | None:
    """A text with an ``@`` and no blanks."""
    if isinstance(value, str) and _EMAIL.fullmatch(value):
        return None
    return "must be an email address"


@check(type="string", pattern=f"^{_KEY.pattern}$")
def key(value: Any) -> str | None:
    """A key such as ``return_requested``."""
    if isinstance(value, str) and _KEY.fullmatch(value):
        return None
    return "must be letters, digits, _ and -, at most 100"


def nullable(known: Check) -> Check:
    """What ``known`` accepts, or null."""
    schema: Record = {"anyOf": [known.schema, {"type": "null"}]}
    return Check(lambda value: None if value is None else known(value), schema)


def one_of(*choices: str) -> Check:
    """One of these strings."""
    wrong = f"must be one of {', '.join(choices)}"
    return Check(
        lambda value: None if isinstance(value, str) and value in choices else wrong,
        {"type": "string", "enum": list(choices)},
    )


def moment(name: str, value: str) -> str:
    """Read a time or a date from a query and write it as a stamp; a naive one counts as UTC."""
    try:
        read = datetime.fromisoformat(value)
        return stamp(read if read.tzinfo else read.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise invalid(Problem(name, "must be an ISO 8601 time")) from None
