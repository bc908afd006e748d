"""The two wire styles: the same objects under the names of ``workspaces`` or ``brands``.

Inside the sandbox every name is the ``brands`` style's (``title``, ``customerEmail``). The
``workspaces`` style writes them in snake_case, and calls a title a subject and a brand a
workspace. Keys inside custom fields, metadata and event payloads belong to others: they are
never renamed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

from dispatch_sandbox.wire import Record

_NOT_IN_BRANDS = "customerEmail"
"""The guide's flat field of a ticket; in the newer style the customer is only an object."""

_NESTED = frozenset({"customer", "ticket"})
"""Fields that hold objects of the API, whose names follow the style too."""

_RENAMED = {"title": "subject", "brandId": "workspace_id"}
_RENAMED_BACK = {wire_name: name for name, wire_name in _RENAMED.items()}


@lru_cache(maxsize=1024)
def _snake(name: str) -> str:
    return _RENAMED.get(name) or re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


@lru_cache(maxsize=1024)
def _camel(name: str) -> str:
    return _RENAMED_BACK.get(name) or re.sub("_([a-z])", lambda found: found[1].upper(), name)


def _same(name: str) -> str:
    return name


class Style:
    """One way to spell the API: the first word of its paths and the names of its fields."""

    def __init__(self, word: str, spell: Callable[[str], str], unspell: Callable[[str], str]):
        self.word = word
        self._spell = spell
        self._unspell = unspell

    def spell(self, name: str) -> str:
        """Return the wire's name of a field."""
        return self._spell(name)

    def name(self, wire_name: str) -> str | None:
        """Return our name of a field, or None if this style spells it differently."""
        name = self._unspell(wire_name)
        return name if self._spell(name) == wire_name else None

    def read(self, values: Mapping[str, Any]) -> Record:
        """Rename the fields of a request, and drop those that this style spells differently."""
        return {
            name: value for wire_name, value in values.items() if (name := self.name(wire_name))
        }

    def write(self, record: Record) -> Record:
        """Rename an object for the answer."""
        if self is BRANDS:
            return {name: record[name] for name in record if name != _NOT_IN_BRANDS}
        return {
            self._spell(name): self._write_nested(value) if name in _NESTED and value else value
            for name, value in record.items()
        }

    def _write_nested(self, value: Any) -> Any:
        if not isinstance(value, list):
            return self.write(value)
        return [self.write(item) for item in cast("list[Record]", value)]


WORKSPACES = Style("workspaces", _snake, _camel)
BRANDS = Style("brands", _same, _same)
