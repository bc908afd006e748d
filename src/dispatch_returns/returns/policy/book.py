"""`PolicyBook`: all versions of a policy, and which one applies to an order."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, cast

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.verdict import Verdict

VERSIONS = "versions"
_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """The versions of a policy, oldest first. The one in force when the order was placed applies.

    The oldest version has no ``valid_from``: it applies to all older orders. Raises
    `ConfigurationError` if it has one, or if two versions share a name or a beginning.
    """

    versions: tuple[ReturnPolicy, ...]

    def __init__(self, versions: Iterable[ReturnPolicy]) -> None:
        ordered = tuple(sorted(versions, key=lambda it: it.since or _EVER))
        if not ordered:
            raise ConfigurationError("a policy needs at least one version")
        if ordered[0].since is not None:
            raise ConfigurationError(
                f"valid_from: the oldest version, {ordered[0].version}, must not have one, as it"
                " applies to all older orders: remove it"
            )
        for older, newer in itertools.pairwise(ordered):
            if newer.since == older.since:
                raise ConfigurationError(
                    f"valid_from: {older.version} and {newer.version} begin at the same moment"
                )
        names = [it.version for it in ordered]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigurationError(f"version: two are called {twice!r}")
        object.__setattr__(self, "versions", ordered)

    @classmethod
    def from_toml(cls, *paths: str | Path) -> Self:
        """Read versions from files: each holds one, or several as ``[[versions]]``.

        Raises `ConfigurationError` with the file and the key or the line.
        """
        found = [policy for path in paths for policy in _versions_in(Path(path))]
        try:
            return cls(found)
        except ConfigurationError as error:
            raise ConfigurationError(f"{', '.join(map(str, paths))}: {error}") from None

    def in_force(self, placed_at: datetime) -> ReturnPolicy:
        """Return the version that applies to an order placed at that moment."""
        begun = [it for it in self.versions if it.since is None or it.since <= placed_at]
        return begun[-1]

    @property
    def queues(self) -> tuple[str, ...]:
        """The names of all review queues that any version uses, sorted."""
        return tuple(sorted({queue for it in self.versions for queue in it.queues}))

    def by_id(self, policy_id: str) -> ReturnPolicy | None:
        """Return the version that a verdict names; None if it is missing or has changed since."""
        return next((it for it in self.versions if it.id == policy_id), None)

    def replay(self, verdict: Verdict) -> Verdict | None:
        """Decide again by the version that `verdict` names; None if that version is gone."""
        policy = self.by_id(verdict.policy)
        return None if policy is None else policy.replay(verdict)


def _versions_in(path: Path) -> list[ReturnPolicy]:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None
    if VERSIONS not in content:
        return [ReturnPolicy.read(content, f"{path}: ")]
    if others := sorted(set(content) - {VERSIONS}):
        raise ConfigurationError(
            f"{path}: {others[0]}: not allowed outside of [[{VERSIONS}]]: move it into a version"
        )
    tables: object = content[VERSIONS]
    entries = cast("Sequence[object]", tables) if isinstance(tables, list) else ()
    if not isinstance(tables, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigurationError(f"{path}: {VERSIONS}: write each as [[{VERSIONS}]]")
    return [
        ReturnPolicy.read(table, f"{path}: {VERSIONS}[{number}].")
        for number, table in enumerate(cast("Sequence[Mapping[str, Any]]", entries))
    ]
