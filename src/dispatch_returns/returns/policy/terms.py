"""The terms that apply to one article of a return, and to the return as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, get_args

from dispatch_returns.money import Money
from dispatch_returns.returns.policy.facts import FactItem, OrderFacts
from dispatch_returns.returns.policy.keys import Shipping, fits, in_minor
from dispatch_returns.returns.policy.model import SETTINGS, PolicyKeys, Rule

AmountTable = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class RuleSubject:
    """What rules match on: one article, from a country, returned for a reason."""

    sku: str
    reason: str | None = None
    country: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class ItemTerms:
    """The terms of one article: each key from the first matching rule that sets it, or the policy.

    Amounts are in major units by currency.
    """

    waive: frozenset[str]
    window_days: int
    grace_days: int
    conditions: tuple[str, ...]
    restocking_fee: Fraction | None
    return_shipping: AmountTable | None
    shipping: Shipping
    max_value: AmountTable | None
    returnless_under: AmountTable | None
    refund_on_receipt: bool


def fitting(policy: PolicyKeys, case: RuleSubject) -> list[Rule]:
    """Return the rules that match `case`, in the policy's order."""
    return [rule for rule in policy.rules if fits_case(rule, case)]


def fits_case(rule: Rule, case: RuleSubject) -> bool:
    """Return whether `case` matches everything that `rule` names."""
    return (
        (rule.reasons is None or case.reason in rule.reasons)
        and (rule.countries is None or case.country in rule.countries)
        and (rule.categories is None or case.category in rule.categories)
        and (rule.skus is None or fits(case.sku, rule.skus))
    )


def terms_of(policy: PolicyKeys, case: RuleSubject) -> ItemTerms:
    """Return the terms that apply to `case`."""
    layers: list[object] = [*fitting(policy, case), policy]
    values: dict[str, Any] = {}
    for key in SETTINGS:
        found = (getattr(layer, key, None) for layer in layers)
        values[key] = next((value for value in found if value is not None), None)
    values["waive"] = values["waive"] or frozenset[str]()
    return ItemTerms(**values)


def cases_of(
    items: Sequence[FactItem], order: OrderFacts | None, reason: str | None
) -> dict[str, RuleSubject]:
    """Return the case of each SKU in `items`."""
    return {item.sku: case_of(item.sku, order, reason) for item in items}


def case_of(sku: str, order: OrderFacts | None, reason: str | None) -> RuleSubject:
    """Return the case of an SKU."""
    if order is None:
        return RuleSubject(sku, reason)
    article = order.article(sku)
    return RuleSubject(sku, reason, order.country, None if article is None else article.category)


@dataclass(frozen=True, slots=True)
class Whole:
    """The terms of a return as a whole: the strictest of its articles' terms.

    Amounts are in minor units. ``unpriced`` are the keys without an amount in the currency.
    """

    return_shipping: int
    shipping: Shipping
    max_value: int | None
    returnless_under: int
    refund_on_receipt: bool
    waive: frozenset[str]
    unpriced: tuple[str, ...]


def whole(terms: Sequence[ItemTerms], like: Money) -> Whole:
    """Return the terms of a return whose articles have `terms`, in the currency of `like`."""
    unpriced = list[str]()

    def amounts(key: str) -> list[int]:
        tables = [table for it in terms if (table := getattr(it, key)) is not None]
        known = [minor for table in tables if (minor := in_minor(table, like)) is not None]
        # A threshold below which something is given needs no amount in every currency.
        if len(known) < len(tables) and key != "returnless_under":
            unpriced.append(key)
        return known

    returnless = amounts("returnless_under")
    order: tuple[Shipping, ...] = get_args(Shipping)
    return Whole(
        return_shipping=max(amounts("return_shipping"), default=0),
        shipping=order[min((order.index(it.shipping) for it in terms), default=0)],
        max_value=min(amounts("max_value"), default=None),
        returnless_under=min(returnless) if returnless and len(returnless) == len(terms) else 0,
        refund_on_receipt=all(it.refund_on_receipt for it in terms),
        waive=frozenset[str].intersection(*(it.waive for it in terms)) if terms else frozenset(),
        unpriced=tuple(dict.fromkeys(unpriced)),
    )
