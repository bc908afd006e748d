"""What is wrong with a policy, said by key and path, with the key that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dispatch_returns.workflow.policy.keys import CheckName
from dispatch_returns.workflow.policy.model import Check, EarlierReturns, PolicyKeys, Rule


def explain(error: ValidationError, place: str = "") -> str:
    """Say which keys are wrong, each with its path, what is wrong with it, and what was meant."""
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{place}{_problem(problem)}" for problem in problems)


def _problem(problem: Any) -> str:
    location = [part for part in problem["loc"] if part not in _NOISE]
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    if problem["type"] == "extra_forbidden":
        return f"{path}: there is no such key{_meant(str(location[-1]), _keys_at(location))}"
    if "[key]" in problem["loc"]:
        return f"{path}: there is no such check{_meant(str(location[-1]), get_args(CheckName))}"
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path or 'policy'}: {said[:1].lower()}{said[1:]}"


# What pydantic adds to a path, and nobody has written.
_NOISE = frozenset({"[key]", "date", "datetime", "function-before", "is-instance[date]"})


def _keys_at(location: Sequence[Any]) -> list[str]:
    """Return the keys that are known where an unknown one was found."""
    model: type[BaseModel] = PolicyKeys
    if location[0] == "rules" and len(location) > 1:
        model = Rule
    elif location[0] == "checks" and len(location) > 1:
        model = Check
    elif location[0] == "earlier_returns" and len(location) > 1:
        model = EarlierReturns
    return list(model.model_fields)


def _meant(written: str, known: Iterable[str]) -> str:
    close = get_close_matches(written, list(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]}?" if close else ""
