"""What is wrong in a file, said by key and path, with the key that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dispatch_returns.returns.policy.keys import CheckName
from dispatch_returns.returns.policy.model import Check, EarlierReturns, PolicyKeys, Rule

Models = Mapping[str, type[BaseModel]]
"""Which keys are known in the tables under a key; "" is the top."""

POLICY: Models = {
    "": PolicyKeys,
    "rules": Rule,
    "checks": Check,
    "earlier_returns": EarlierReturns,
}


def explain(error: ValidationError, place: str = "", models: Models = POLICY) -> str:
    """Say which keys are wrong, each with its path, what is wrong with it, and what was meant."""
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{place}{_problem(problem, models)}" for problem in problems)


def _problem(problem: Any, models: Models) -> str:
    location = [part for part in problem["loc"] if part not in _NOISE]
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    if problem["type"] == "extra_forbidden":
        meant = _meant(str(location[-1]), _keys_at(location, models))
        return f"{path}: there is no such key{meant}"
    if "[key]" in problem["loc"]:
        return f"{path}: there is no such check{_meant(str(location[-1]), get_args(CheckName))}"
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path or 'policy'}: {said[:1].lower()}{said[1:]}"


# What pydantic adds to a path, and nobody has written.
_NOISE = frozenset({"[key]", "date", "datetime", "is-instance[date]"})


def _keys_at(location: Sequence[Any], models: Models) -> list[str]:
    """Return the keys that are known where an unknown one was found."""
    inner = [part for part in location[:-1] if part in models]
    return list(models[inner[-1] if inner else ""].model_fields)


def _meant(written: str, known: Iterable[str]) -> str:
    close = get_close_matches(written, list(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]}?" if close else ""
