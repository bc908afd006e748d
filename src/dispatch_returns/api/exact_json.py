"""JSON in which an amount is a `Decimal` on both sides and never a float.

The standard encoder cannot write a `Decimal` as a number, so the writer is our own.
"""

from __future__ import annotations

import json
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

    `name` is what the value is called in an error. Raises `InvalidArgumentError` for a float,
    a number that is not finite, a key that is not a string, and anything JSON does not have;
    it names the place with a dotted path.
    """
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, (list, tuple)):
        items = enumerate(cast("Sequence[object]", value))
        return f"[{','.join([dumps(item, f'{name}.{index}') for index, item in items])}]"
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value).items()
        return f"{{{','.join([_entry(key, item, name) for key, item in entries])}}}"
    return _atom(value, name)


def loads(content: bytes) -> Any:
    """Return the JSON text `content` as Python values, each number with a point a `Decimal`.

    Raises `ValueError`, without the content, for whatever is not JSON.
    """
    try:
        # RFC 8259, 8.1, lets a reader pass over a byte order mark, and some servers send one.
        return _DECODER.decode(content.decode("utf-8-sig"))
    except (ValueError, ArithmeticError, RecursionError):
        # ArithmeticError: an exponent no Decimal can hold. RecursionError: nested too deep.
        raise ValueError("not JSON") from None


def _entry(key: object, item: object, name: str) -> str:
    if not isinstance(key, str):
        raise InvalidArgumentError(name, f"a key must be a string, not {type(key).__name__}")
    return f"{_quote(key)}:{dumps(item, f'{name}.{key}')}"


def _atom(value: object, name: str) -> str:
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    raise InvalidArgumentError(name, _problem(value))


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
