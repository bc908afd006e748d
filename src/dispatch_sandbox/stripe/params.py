"""The parameters' kinds. A wrong one is refused before the endpoint does any work.

That matters to idempotency: Stripe stores no answer for a request that fails here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from dispatch_sandbox.stripe.forms import Node
from dispatch_sandbox.stripe.problems import StripeRequestError, invalid

Kind: TypeAlias = Callable[[str, Node], Any]

MAX_METADATA_KEYS = 50
_MAX_AMOUNT = 99_999_999
_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_EXPAND_DEPTH = 4

# What can be expanded: the fields of an object, and the kind of object behind each.
EXPANDABLE: Mapping[str, Mapping[str, str]] = {
    "refund": {"charge": "charge", "payment_intent": "payment_intent"},
    "charge": {"payment_intent": "payment_intent"},
    "payment_intent": {"latest_charge": "charge"},
}


def read(
    form: Mapping[str, Node], kinds: Mapping[str, Kind], required: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the checked values; raise `StripeRequestError` for the first that is wrong."""
    unknown = [name for name in form if name not in kinds]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise invalid(
            f"Received unknown parameter{plural}: {', '.join(unknown)}",
            code="parameter_unknown",
            param=unknown[0],
        )
    for name in required:
        if name not in form:
            raise invalid(f"Missing required param: {name}.", code="parameter_missing", param=name)
    return {name: kinds[name](name, value) for name, value in form.items()}


def text(name: str, value: Node) -> str:
    """A string that is not empty."""
    if isinstance(value, dict):
        raise invalid(f"Invalid string: {name}", param=name)
    if not value:
        raise invalid(
            f"You passed an empty string for '{name}'. We assume empty values are an attempt to "
            f"unset a parameter; however '{name}' cannot be unset.",
            code="parameter_invalid_empty",
            param=name,
        )
    return value


def integer(name: str, value: Node) -> int:
    """A whole number."""
    digits = text(name, value)
    if not _INTEGER.fullmatch(digits):
        raise invalid(
            f"Invalid integer: {digits[:40]}", code="parameter_invalid_integer", param=name
        )
    return int(digits)


def amount(name: str, value: Node) -> int:
    """A positive amount in minor units, of at most eight digits."""
    number = integer(name, value)
    if number < 1:
        raise invalid("Invalid positive integer", code="parameter_invalid_integer", param=name)
    if number > _MAX_AMOUNT:
        raise invalid(
            "Amount must be no more than $999,999.99", code="amount_too_large", param=name
        )
    return number


def limit(name: str, value: Node) -> int:
    """A page's size: 1 to 100."""
    number = integer(name, value)
    if not 1 <= number <= 100:
        bound = "greater than or equal to 1" if number < 1 else "less than or equal to 100"
        raise invalid(f"This value must be {bound}.", code="parameter_invalid_integer", param=name)
    return number


def boolean(name: str, value: Node) -> bool:
    """``true`` or ``false``."""
    word = text(name, value)
    if word not in {"true", "false"}:
        raise invalid(f"Invalid boolean: {word[:40]}", param=name)
    return word == "true"


def currency(name: str, value: Node) -> str:
    """A three-letter currency; answers have it in lower case."""
    code = text(name, value)
    if not _CURRENCY.fullmatch(code):
        raise invalid(f"Invalid currency: {code[:40]}", param=name)
    return code.lower()


def email(name: str, value: Node) -> str:
    """A text that looks like an e-mail address."""
    address = text(name, value)
    if not _EMAIL.fullmatch(address):
        raise invalid("Invalid email address", code="email_invalid", param=name)
    return address


def choice(*allowed: str) -> Kind:
    """Return the kind that is one of these words."""

    def check(name: str, value: Node) -> str:
        word = text(name, value)
        if word not in allowed:
            raise invalid(
                f"Invalid {name}: must be one of {', '.join(allowed[:-1])}, or {allowed[-1]}",
                param=name,
            )
        return word

    return check


def nested(kinds: Mapping[str, Kind]) -> Kind:
    """Return the kind that is an object of these."""

    def check(name: str, value: Node) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise invalid("Invalid object", param=name)
        try:
            return read(value, kinds)
        except StripeRequestError as problem:
            problem.param = f"{name}[{problem.param}]"
            raise

    return check


def anything(_name: str, value: Node) -> Node:
    """A parameter that is accepted and has no effect here."""
    return value


def token(name: str, value: Node) -> str:
    """A card: its token, or an object with its ``number``."""
    if isinstance(value, dict):
        return text(f"{name}[number]", value.get("number", ""))
    return text(name, value)


def created(name: str, value: Node) -> dict[str, int]:
    """A time in Unix seconds, or bounds (``gt``, ``gte``, ``lt``, ``lte``)."""
    if isinstance(value, str):
        moment = integer(name, value)
        return {"gte": moment, "lte": moment}
    bounds: dict[str, int] = nested(dict.fromkeys(("gt", "gte", "lt", "lte"), integer))(name, value)
    return bounds


def metadata(name: str, value: Node) -> dict[str, str] | None:
    """Keys of up to 40 characters and values of up to 500; None unsets all of them."""
    if value == "":
        return None
    if isinstance(value, str):
        raise invalid("Invalid object", param=name)
    found: dict[str, str] = {}
    for key, entry in value.items():
        if len(key) > 40:
            raise invalid(
                "Metadata keys have a limit of 40 characters. You passed in a key that is "
                f"{len(key)} characters.",
                param="metadata",
            )
        if isinstance(entry, dict):
            raise invalid("Metadata values must be strings.", param=f"metadata[{key}]")
        if len(entry) > 500:
            raise invalid(
                "Metadata values can have up to 500 characters, but you passed in a value that is "
                f"{len(entry)} characters.",
                param=f"metadata[{key}]",
            )
        found[key] = entry
    return found


def expand(kind: str, *, listed: bool = False) -> Kind:
    """Return the kind that names fields of ``kind`` (below ``data`` in a list) to expand."""

    def check(name: str, value: Node) -> tuple[tuple[str, ...], ...]:
        if not isinstance(value, dict):
            raise invalid("Invalid array", param=name)
        return tuple(_expand_path(text(name, path), kind, listed) for path in value.values())

    return check


def _expand_path(path: str, kind: str, listed: bool) -> tuple[str, ...]:
    fields = path.split(".")
    if len(fields) > _EXPAND_DEPTH:
        raise invalid(
            f"You cannot expand more than {_EXPAND_DEPTH} levels of a property. Property: {path}",
            param="expand",
        )
    if listed and fields.pop(0) != "data":
        raise _cannot_expand(path)
    for field in fields:
        if field not in EXPANDABLE[kind]:
            raise _cannot_expand(path)
        kind = EXPANDABLE[kind][field]
    return tuple(fields)


def _cannot_expand(path: str) -> StripeRequestError:
    return invalid(f"This property cannot be expanded ({path[:80]}).", param="expand")
