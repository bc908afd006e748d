"""Checks of arguments before anything is sent. Each error names the argument."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from dispatch_returns.errors import InvalidArgumentError


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET
"""Leave this field as it is. In an update ``None`` is a value: it clears the field."""

# RFC 3986's unreserved characters: nothing that a path would have to escape.
_SEGMENT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~-]+")
_VISIBLE_ASCII = re.compile(r"[!-~]+")


def segment(name: str, value: object) -> str:
    """Return `value` if it needs no escaping in a path; ids and keys need none."""
    if not isinstance(value, str) or not _SEGMENT.fullmatch(value):
        raise InvalidArgumentError(
            name, "must be an id of letters, digits, '-', '_', '.' or '~', and not empty"
        )
    return value


def token(name: str, value: object) -> str:
    """Return `value` if it is valid in a header: visible ASCII, no spaces. Never shown."""
    if not isinstance(value, str) or not _VISIBLE_ASCII.fullmatch(value):
        raise InvalidArgumentError(
            name, "must not be empty, and must be ASCII without spaces or line breaks"
        )
    return value


def text(name: str, value: object) -> str:
    """Return `value` if it is a string and not blank."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgumentError(name, "must be a string and not empty")
    return value


def strings(name: str, values: Sequence[str]) -> list[str]:
    """Return `values` as a list; a single string is refused, because it is a sequence too."""
    if isinstance(values, str):
        raise InvalidArgumentError(name, "must be a list of strings, not one string")
    return [text(f"{name}.{index}", value) for index, value in enumerate(values)]


def moment(name: str, value: object) -> str:
    """Return `value` in UTC as ISO 8601; a datetime without a time zone is refused."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidArgumentError(
            name, "must be a datetime with a time zone, such as datetime.now(UTC)"
        )
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def page_limit(value: object, most: int = 100) -> int:
    """Return `value` if the API accepts it as a page size."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidArgumentError("limit", f"must be a whole number from 1 to {most}")
    return value


def web_address(name: str, value: str) -> str:
    """Return the http(s) address `value` without a trailing slash."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    else:
        usable = usable and not (parts.query or parts.fragment or "@" in parts.netloc)
    if not usable or not _VISIBLE_ASCII.fullmatch(value):
        raise InvalidArgumentError(
            name, "must be an http or https address, without credentials, query or fragment"
        )
    return value.rstrip("/")


def is_private_way(url: str) -> bool:
    """Return whether the way to `url` is private: https, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in _LOOPBACK


_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
