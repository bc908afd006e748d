"""A merchant's own test cases for a policy: what it should decide, and what it decides."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dispatch_returns.errors import ConfigurationError, MoneyError, OrderError
from dispatch_returns.money import Money
from dispatch_returns.returns.orders.records import Reader, order_of
from dispatch_returns.returns.policy.book import PolicyBook
from dispatch_returns.returns.policy.keys import Reviewer
from dispatch_returns.returns.policy.policy import explain
from dispatch_returns.returns.policy.verdict import History, Item, Outcome, ReturnRequest, Verdict

_CASE = "case"


class _Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, strict=True)


class CaseItem(_Keys):
    """So many of one article."""

    sku: str
    quantity: Annotated[int, Field(ge=1)] = 1
    condition: str | None = None


class Expected(_Keys):
    """The expected result. What is left out is not compared."""

    outcome: Annotated[Outcome, Field(strict=False)] | None = None
    returnless: bool | None = None
    total: str | None = None
    assignee: Reviewer | None = None
    version: str | None = None
    results: Annotated[frozenset[str], Field(strict=False)] | None = None


class PolicyCase(_Keys):
    """One return and its expected result. Without ``order``, no source knows the order."""

    name: str
    requested_at: datetime | date
    items: Annotated[tuple[CaseItem, ...], Field(strict=False)] = ()
    reason: str | None = None
    customer: str | None = Field(default=None, repr=False)
    earlier_returns: Annotated[tuple[datetime | date, ...], Field(strict=False)] = ()
    returned: dict[str, int] = Field(default_factory=dict[str, int])
    order: dict[str, Any] | None = None
    expect: Expected


class _Table(_Keys):
    cases: Annotated[tuple[PolicyCase, ...], Field(strict=False, min_length=1)]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A result that is not as expected."""

    what: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Result:
    """One case, tried. Without differences, the policy decides as expected."""

    name: str
    verdict: Verdict
    differences: tuple[Mismatch, ...]


def load_cases(path: str | Path) -> tuple[PolicyCase, ...]:
    """Read a file of cases. Raises `ConfigurationError` with the key or the line."""
    try:
        with Path(path).open("rb") as file:
            content = tomllib.load(file, parse_float=Decimal)
        return _Table.model_validate(content).cases
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(explain(error, f"{path}: ", _MODELS)) from None


_MODELS: Mapping[str, type[BaseModel]] = {
    "": _Table,
    "cases": PolicyCase,
    "items": CaseItem,
    "expect": Expected,
}


def try_case(book: PolicyBook, case: PolicyCase) -> Result:
    """Decide one case and compare. Raises `ConfigurationError` if its order can't be read."""
    zone = book.versions[-1].zone
    read = Reader(_CASE, "XXX", zone)
    requested_at = read.time("requested_at", case.requested_at)
    order = None
    if case.order is not None:
        try:
            order = order_of(_CASE, case.order, case.order.get("lines", []), zone)
        except (OrderError, AttributeError, TypeError) as error:
            said = str(error) if isinstance(error, OrderError) else "lines need sku and price"
            raise ConfigurationError(f"case {case.name!r}: {said}") from None
    policy = book.in_force(requested_at if order is None else order.placed_at)
    request = ReturnRequest(
        ticket_id=_CASE,
        order_id=None if order is None else order.id,
        items=tuple(Item(it.sku, it.quantity, it.condition) for it in case.items),
        reason=case.reason,
        requested_at=requested_at,
        customer=case.customer,
    )
    history = History(
        returns_by_age=tuple(read.time("earlier_returns", it) for it in case.earlier_returns),
        returned=case.returned,
    )
    verdict = policy.evaluate(request, order, history, requested_at)
    return Result(case.name, verdict, tuple(_differences(case, verdict, policy.version)))


def _differences(case: PolicyCase, verdict: Verdict, version: str) -> list[Mismatch]:
    expect = case.expect
    rules = frozenset(it.rule for it in verdict.results)
    total: Money | str | None = expect.total
    if total is not None and verdict.expected is not None:
        try:
            total = Reader(_CASE, verdict.expected.total.currency).money("expect.total", total)
        except (OrderError, MoneyError) as error:
            raise ConfigurationError(f"case {case.name!r}: {error}") from None
    pairs: list[tuple[str, Any, Any]] = [
        ("outcome", expect.outcome, verdict.outcome),
        ("returnless", expect.returnless, verdict.returnless),
        ("assignee", expect.assignee, verdict.assignee),
        ("version", expect.version, version),
        ("results", _listed(expect.results), _listed(rules)),
        ("total", total, verdict.expected and verdict.expected.total),
    ]
    return [
        Mismatch(what, _shown(wanted), _shown(got))
        for what, wanted, got in pairs
        if wanted is not None and wanted != got
    ]


def _listed(rules: frozenset[str] | None) -> str | None:
    return None if rules is None else ", ".join(sorted(rules))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None else str(value)
