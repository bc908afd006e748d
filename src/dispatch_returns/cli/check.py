"""The result of one of ``doctor``'s checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from dispatch_returns.cli.errors import explain
from dispatch_returns.errors import DispatchReturnsError

Outcome = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """What one check found; `remedy` says what to do about it."""

    name: str
    status: Outcome
    detail: str
    remedy: str | None = None


@runtime_checkable
class Checkable(Protocol):
    """An adapter or notifier that can try its access to its service, without changing anything."""

    def check(self) -> str:
        """Return what it found. Raises `DispatchReturnsError`."""
        ...


def attempt(name: str, check: Callable[[], DoctorCheck], remedy: str | None = None) -> DoctorCheck:
    """Return what `check` finds; one of our own errors is a failed check with `remedy`."""
    try:
        return check()
    except DispatchReturnsError as error:
        return DoctorCheck(name, "failed", explain(error)[1], remedy)
