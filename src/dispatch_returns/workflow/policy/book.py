"""`PolicyBook`: all versions of a policy, and which of them counts."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, cast, get_args

from pydantic import BaseModel, ValidationError

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.workflow.policy.keys import CheckName
from dispatch_returns.workflow.policy.model import Check, EarlierReturns, Rule, WaivableName
from dispatch_returns.workflow.policy.policy import ReturnPolicy
from dispatch_returns.workflow.policy.verdict import Verdict

VERSIONS = "versions"
_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """The versions of a policy, the oldest first: the one in force at the order counts.

    The oldest has no ``valid_from``: it counts for all older orders. Raises
    `ConfigurationError` where it has one, and where two have the same name or beginning.
    """

    versions: tuple[ReturnPolicy, ...]

    def __init__(self, versions: Iterable[ReturnPolicy]) -> None:
        ordered = tuple(sorted(versions, key=lambda it: it.since or _EVER))
        if wrong := _disorder(ordered):
            raise ConfigurationError(wrong)
        object.__setattr__(self, "versions", ordered)

    @classmethod
    def from_toml(cls, *paths: str | Path) -> Self:
        """Read versions from files: each holds one, or a table ``[[versions]]`` for each.

        Raises `ConfigurationError` that names the file, and the key or the line.
        """
        found = [policy for path in paths for policy in _read(Path(path))]
        try:
            return cls(found)
        except ConfigurationError as error:
            raise ConfigurationError(f"{', '.join(map(str, paths))}: {error}") from None

    def in_force(self, placed_at: datetime) -> ReturnPolicy:
        """Return the version that counts for an order of that moment."""
        begun = [it for it in self.versions if it.since is None or it.since <= placed_at]
        return begun[-1]

    def by_id(self, policy_id: str) -> ReturnPolicy | None:
        """Return the version that a verdict names, None where it is not, or not so, in here."""
        return next((it for it in self.versions if it.id == policy_id), None)

    def replay(self, verdict: Verdict) -> Verdict | None:
        """Judge again under the version that `verdict` names; None where that is gone."""
        policy = self.by_id(verdict.policy)
        return None if policy is None else policy.replay(verdict)


def _disorder(versions: Sequence[ReturnPolicy]) -> str | None:
    if not versions:
        return "a policy needs at least one version"
    if versions[0].since is not None:
        return (
            f"valid_from: the oldest version, {versions[0].version}, must not have one, so that"
            " it counts for all older orders"
        )
    for older, newer in itertools.pairwise(versions):
        if newer.since == older.since:
            return f"valid_from: {older.version} and {newer.version} begin at the same moment"
    names = [it.version for it in versions]
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else f"version: two are called {twice!r}"


def _read(path: Path) -> list[ReturnPolicy]:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None
    if VERSIONS not in content:
        return [_policy(content, f"{path}: ")]
    if others := sorted(set(content) - {VERSIONS}):
        raise ConfigurationError(
            f"{path}: {others[0]}: beside [[{VERSIONS}]] nothing may stand: move it into one"
        )
    tables: Any = content[VERSIONS]
    if not isinstance(tables, list):
        raise ConfigurationError(f"{path}: {VERSIONS}: write each as [[{VERSIONS}]]")
    return [_policy(table, f"{path}: {VERSIONS}[{number}].") for number, table in enumerate(tables)]


def _policy(table: Mapping[str, Any], place: str) -> ReturnPolicy:
    try:
        return ReturnPolicy.model_validate(table)
    except ValidationError as error:
        raise ConfigurationError(explain(error, place)) from None


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
    if problem["type"] == "literal_error":
        wanted = get_args(CheckName) if "[key]" in problem["loc"] else get_args(WaivableName)
        if "checks" in location:
            return f"{path}: there is no such check{_meant(str(location[-1]), wanted)}"
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path or 'policy'}: {said[:1].lower()}{said[1:]}"


# What pydantic adds to a path, and nobody has written.
_NOISE = frozenset({"[key]", "date", "datetime", "function-before", "is-instance[date]"})


def _keys_at(location: Sequence[Any]) -> list[str]:
    """Return the keys that are known where an unknown one was found."""
    model: type[BaseModel] = ReturnPolicy
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
