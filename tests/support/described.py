"""Holds requests and answers to a vendor's published description (tests/data/specs)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

SPECS = Path(__file__).parents[1] / "data" / "specs"


class Description:
    """One vendor's schemas."""

    def __init__(self, name: str) -> None:
        self._content = json.loads((SPECS / f"{name}.json").read_text(encoding="utf-8"))

    def check(self, value: Any, *schemas: str) -> None:
        """Raise where `value` is not as each of the `schemas` says."""
        for schema in schemas:
            self._validator(schema).validate(value)

    @cache  # noqa: B019 - a description lives as long as the tests
    def _validator(self, schema: str) -> Any:
        reference = {"$ref": f"#/components/schemas/{schema}"}
        return jsonschema_rs.Draft7Validator({**self._content, **reference})

    def schema(self, name: str) -> Any:
        """One schema."""
        return self._content["components"]["schemas"][name]

    def properties(self, schema: str) -> set[str]:
        """The fields of an object."""
        return set(self._content["components"]["schemas"][schema]["properties"])


def only_known(value: Mapping[str, Any], known: set[str]) -> None:
    """Raise where an object has a field that the description does not know."""
    assert set(value) <= known, f"not described: {set(value) - known}"
