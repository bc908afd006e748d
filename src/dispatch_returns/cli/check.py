"""What one look of ``doctor`` found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from dispatch_returns.cli.errors import explain
from dispatch_returns.errors import DispatchReturnsError

Outcome = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """What one look found; `remedy` says what to do about it."""

    name: str
    status: Outcome
    detail: str
    remedy: str | None = None


@runtime_checkable
class Checkable(Protocol):
    """A part that can say whether it is let in where it belongs, and changes nothing there."""

    def check(self) -> str:
        """Return what it has found. Raises `DispatchReturnsError`."""
        ...


def look(name: str, check: Callable[[], Check], remedy: str | None = None) -> Check:
    """Return what `check` finds; an error of ours is a failure, with `remedy`."""
    try:
        return check()
    except DispatchReturnsError as error:
        return Check(name, "failed", explain(error)[1], remedy)
