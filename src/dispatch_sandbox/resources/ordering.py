"""Putting objects into another order, the same for all that have a ``sortOrder``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatch_sandbox import checks
from dispatch_sandbox.answers import Problem, invalid
from dispatch_sandbox.endpoints import Call
from dispatch_sandbox.wire import Record


def form(name: str) -> checks.Form:
    """What a call for another order takes."""
    return checks.Form({name: checks.texts}, (name,))


def reorder(call: Call, kind: str, name: str, known: Mapping[Any, Record]) -> list[Record]:
    """Return `known` in the order in which the body's field `name` lists its keys.

    What is not listed comes after it, in the order it had.
    """
    wanted = call.accept()[name]
    if not set(wanted) <= known.keys():
        raise invalid(Problem(name, f"holds what is no {kind} here"))
    listed = list(dict.fromkeys(wanted))
    rest = (
        key
        for key, _record in sorted(known.items(), key=lambda item: item[1]["sortOrder"])
        if key not in listed
    )
    ordered = [known[key] for key in (*listed, *rest)]
    for place, record in enumerate(ordered):
        record.update(sortOrder=place, updatedAt=call.state.now())
        call.state.save(kind, record, call.workspace)
    return ordered
