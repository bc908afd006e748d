"""Faults on demand: a list of rules; each call or delivery uses up at most one, the oldest."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal

from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox.wire import new_id

Scope = Literal["api", "delivery"]

ACTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "api": ("status", "slow"),
        "delivery": ("duplicate", "reorder", "delay", "drop"),
    }
)
MATCHES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"api": ("method", "path"), "delivery": ("event", "webhook_id", "ticket_id")}
)


@dataclass(slots=True)
class FaultRule:
    """One fault, for the next ``times`` calls or deliveries that fit (``None``: for all).

    For API calls (``scope="api"``; ``match`` may hold patterns for ``method`` and ``path``):

    - ``status``: the call is not carried out and is answered with ``status`` (and
      ``retry-after`` where ``seconds`` is set).
    - ``slow``: the call is carried out, and its answer comes ``seconds`` later; a client that
      gives up before does not know it.

    For deliveries (``scope="delivery"``; ``match``: ``event``, ``webhook_id``, ``ticket_id``):

    - ``duplicate``: the same event is delivered twice.
    - ``reorder``: held back until a later delivery to the same webhook was sent, ``seconds`` at
      the most (5 when it is 0).
    - ``delay``: the first attempt is made ``seconds`` later.
    - ``drop``: the first attempt is not sent; the retry is.

    Patterns are shell-style (``*/tickets/*``), upper and lower case distinguished. Raises
    ``InvalidArgumentError`` for an action or a match that its scope does not have.
    """

    scope: Scope
    action: str
    times: int | None = 1
    match: Mapping[str, str] = field(default_factory=dict[str, str])
    status: int = 500
    seconds: float = 0.0
    id: str = field(default_factory=lambda: new_id("flt"))

    def __post_init__(self) -> None:
        if self.action not in ACTIONS.get(self.scope, ()):
            raise InvalidArgumentError("action", f"{self.scope} has no {self.action}")
        if not self.match.keys() <= set(MATCHES[self.scope]):
            raise InvalidArgumentError("match", f"may hold {', '.join(MATCHES[self.scope])}")

    def as_record(self) -> dict[str, Any]:
        """Return the rule as the control API shows it; ``times`` is how many are left."""
        return asdict(self)

    def fits(self, scope: Scope, facts: Mapping[str, str]) -> bool:
        """Return whether this rule applies to a call or a delivery."""
        return self.scope == scope and all(
            fnmatchcase(facts.get(name, ""), pattern) for name, pattern in self.match.items()
        )


class Faults:
    """The active rules. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> FaultRule:
        """Add a rule at the end."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def rules(self) -> list[FaultRule]:
        """Return the rules that are not used up."""
        with self._lock:
            return list(self._rules)

    def take(self, scope: Scope, **facts: str) -> FaultRule | None:
        """Use up one turn of the first rule that fits, if there is one."""
        if not self._rules:
            return None
        with self._lock:
            for rule in self._rules:
                if rule.fits(scope, facts):
                    if rule.times is not None:
                        rule.times -= 1
                        if rule.times <= 0:
                            self._rules.remove(rule)
                    return rule
        return None
