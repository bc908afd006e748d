"""JSON in which an amount is a `Decimal`, both ways, and never a float.

The standard encoder can't write a `Decimal` as a number, so we have our own writer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring_ascii as _quote
from typing import Any, NoReturn, TypeAlias, cast

from dispatch_returns.errors import InvalidArgumentError

JsonValue: TypeAlias = (
    "str | int | bool | Decimal | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
"""What can be sent: JSON's own types, with `Decimal` where others have floats."""


def dumps(value: object, name: str = "value") -> str:
    """Return `value` as JSON, each `Decimal` with exactly the digits it has.

    `name` is the value's name in an error. Raises `InvalidArgumentError` for a float,
    a number that is not finite, a key that is not a string, and any type JSON does not have;
    the error names the place with a dotted path.
    """
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, (list, tuple)):
        items = enumerate(cast("Sequence[object]", value))
        return f"[{','.join([dumps(item, f'{name}.{index}') for index, item in items])}]"
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value).items()
        return f"{{{','.join([_entry(key, item, name) for key, item in entries])}}}"
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    raise InvalidArgumentError(name, _problem(value))


def loads(content: bytes) -> Any:
    """Return the JSON text `content` as Python values, each number with a point a `Decimal`.

    Half of a surrogate pair, which no text has and JavaScript writes when it cuts an emoji in two,
    becomes U+FFFD. A number that Python can't read stays text. Raises `ValueError`, without
    the content, for anything that is not JSON.
    """
    try:
        # RFC 8259, 8.1, lets a reader pass over a byte order mark, and some servers send one.
        text = content.decode("utf-8-sig")
        try:
            value = _DECODER.decode(text)
        except (ValueError, ArithmeticError):
            # 4,300 digits, or an exponent no Decimal can hold: only the one number is odd.
            value = _ODD_NUMBERS.decode(text)
        return _whole(value) if _HALVES.search(text) else value
    except (ValueError, RecursionError):  # nested too deep
        raise ValueError("not JSON") from None


def loads_shallow(content: bytes) -> Any:
    """Like `loads`, with `TOO_DEEP` in place of what is nested deeper than `MAX_DEPTH`.

    For a list of which one item is nested too deep to be read, and which would hide the others.
    """
    try:
        return _SHALLOW.decode(_cut(content.decode("utf-8-sig")))
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None


def is_too_deep(value: Any) -> bool:
    """Whether a value of `loads_shallow`'s holds something that was nested too deep."""
    if isinstance(value, list):
        return any(is_too_deep(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return any(map(is_too_deep, cast("dict[str, Any]", value).values()))
    return value is TOO_DEEP


def _cut(text: str) -> str:
    """Return a JSON text with ``NaN``, which JSON lacks, for what is nested too deep."""
    kept: list[str] = []
    depth = end = 0
    for token in _BRACKETS.finditer(text):
        bracket = token.group()[0]
        if bracket in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += [text[end : token.start()], "NaN"]
        elif bracket in "]}":
            if depth == MAX_DEPTH + 1:
                end = token.end()
            depth -= 1
    return "".join([*kept, text[end:]])


def _whole(value: Any) -> Any:
    """Return a decoded value whose texts have no halves of surrogate pairs."""
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value).items()
        return {_HALF.sub("\ufffd", key): _whole(item) for key, item in entries}
    return value


def _odd_integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _odd_decimal(number: str) -> Decimal | str:
    try:
        return Decimal(number)
    except ArithmeticError:
        return number


def _entry(key: object, item: object, name: str) -> str:
    if not isinstance(key, str):
        raise InvalidArgumentError(name, f"a key must be a string, not {type(key).__name__}")
    return f"{_quote(key)}:{dumps(item, f'{name}.{key}')}"


def _problem(value: object) -> str:
    if isinstance(value, float):
        return 'a float is not exact: write Decimal("149.00")'
    if isinstance(value, Decimal):
        return "must be a finite number"
    return f"{type(value).__name__} is not a JSON type; convert it, for example to a string"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_CONSTANTS: Mapping[bool | None, str] = {None: "null", True: "true", False: "false"}
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)
_MOST_DIGITS = 640
"""Digits of a whole number that Python reads whatever its settings are."""
_ODD_NUMBERS = json.JSONDecoder(
    parse_float=_odd_decimal, parse_int=_odd_integer, parse_constant=_no_constant
)
MAX_DEPTH = 64
"""Levels of lists and objects, the page and its list counted."""
TOO_DEEP = object()
_SHALLOW = json.JSONDecoder(
    parse_float=_odd_decimal, parse_int=_odd_integer, parse_constant=lambda _: TOO_DEEP
)
_BRACKETS = re.compile(r'[][{}]|"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
"""Brackets, and texts, in which a bracket is none."""
_HALVES = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
