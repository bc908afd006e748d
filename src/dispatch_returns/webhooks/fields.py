"""Typed, read-only views of decoded JSON: checked once, converted when read.

A reader takes a decoded value and returns it in its Python type, or raises one of `MISFITS`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from dispatch_returns.errors import EventError

_T_co = TypeVar("_T_co", covariant=True)

MISFITS = (TypeError, ValueError, OverflowError)
_LONGEST_ID = 255
_LARGEST_NUMBER = 2**63 - 1


def identifier(value: Any) -> str:
    """Return an id: text of 1 to 255 printable characters.

    What is printable has no NUL and no lone surrogate, which databases refuse, and no line
    break, which would forge a line in a log.
    """
    if type(value) is str and 0 < len(value) <= _LONGEST_ID and value.isprintable():
        return value
    raise TypeError


def optional_identifier(value: Any) -> str | None:
    """Return an id, or None."""
    if value is None or (
        type(value) is str and 0 < len(value) <= _LONGEST_ID and value.isprintable()
    ):
        return value
    raise TypeError


def text(value: Any) -> str | None:
    """Return text, which may be empty, or None."""
    if value is None or type(value) is str:
        return value
    raise TypeError


def number(value: Any) -> int | None:
    """Return a whole number that is not negative and fits a database's, or None."""
    if value is None or (type(value) is int and 0 <= value <= _LARGEST_NUMBER):
        return value
    raise TypeError


def moment(value: Any) -> datetime:
    """Return an ISO 8601 point in time with its zone, in UTC."""
    time = datetime.fromisoformat(value)
    if time.tzinfo is UTC:
        return time
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(UTC)


def optional_moment(value: Any) -> datetime | None:
    """Return a point in time in UTC, or None."""
    return None if value is None else moment(value)


def names(value: Any) -> tuple[str, ...]:
    """Return a list of texts; none at all where there is no list."""
    if value is None:
        return ()
    found: list[Any] = value
    if type(value) is not list:
        raise TypeError
    for name in found:
        if type(name) is not str:
            raise TypeError
    return tuple(found)


def mapping(value: Any) -> dict[str, Any]:
    """Return a JSON object."""
    found: dict[str, Any] = value
    if type(value) is not dict:
        raise TypeError
    return found


class Field(Generic[_T_co]):
    """A value in a record's data, under the API's camelCase name or the guide's snake_case.

    ``camel`` and ``snake`` are given where they do not follow from the attribute's name.
    """

    def __init__(self, read: Callable[[Any], _T_co], camel: str = "", snake: str = "") -> None:
        self.read = read
        self.camel = camel
        self.snake = snake

    def __set_name__(self, owner: type, name: str) -> None:
        first, *rest = name.split("_")
        self.camel = self.camel or first + "".join(word.capitalize() for word in rest)
        self.snake = self.snake or name

    @overload
    def __get__(self, record: None, owner: type) -> Self: ...
    @overload
    def __get__(self, record: Record, owner: type) -> _T_co: ...
    def __get__(self, record: Record | None, owner: type) -> Self | _T_co:
        if record is None:
            return self
        value = record.data.get(self.camel)
        return self.read(record.data.get(self.snake) if value is None else value)


class Record:
    """A decoded object, seen through its fields."""

    __slots__ = ("_raw",)

    texts: ClassVar[tuple[tuple[str, str], ...]] = ()
    others: ClassVar[tuple[tuple[str, str, Callable[[Any], object]], ...]] = ()

    def __init_subclass__(cls) -> None:
        own: list[Field[Any]] = [value for value in vars(cls).values() if isinstance(value, Field)]
        cls.texts += tuple((f.camel, f.snake) for f in own if f.read is text)
        cls.others += tuple((f.camel, f.snake, f.read) for f in own if f.read is not text)

    def __init__(self, raw: dict[str, Any]) -> None:
        self._raw = raw

    @property
    def raw(self) -> dict[str, Any]:
        """The decoded object with everything in it; its numbers with a point are `Decimal`."""
        return self._raw

    @property
    def data(self) -> dict[str, Any]:
        """The part of it that the fields are read from."""
        return self._raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and type(other) is type(self) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self._raw["id"])


def check(kind: type[Record], data: dict[str, Any]) -> None:
    """Raise `EventError`, naming the field, unless `kind` can be read from `data`."""
    get = data.get
    camel = ""
    try:
        for camel, snake in kind.texts:
            value = get(camel)
            # Nearly every field ends at this line: it is why texts have a table of their own.
            if type(value) is not str:
                text(get(snake) if value is None else value)
        for camel, snake, read in kind.others:
            value = get(camel)
            read(get(snake) if value is None else value)
    except MISFITS:
        raise EventError(f"data.{camel} is missing, or not what it must be") from None
