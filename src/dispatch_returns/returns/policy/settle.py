"""What is paid back, to the last minor unit.

Everything is a difference of two sums: what would be paid for all that has come so far, less
what would be for all that had come before. Each sum depends on what has come and not on how it
was packed, so parcels add up to what one parcel would have paid; and none shrinks when more
comes, so nothing is ever taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from dispatch_returns.returns.policy.facts import Article, FactItem, OrderFacts
from dispatch_returns.returns.policy.keys import rule_of
from dispatch_returns.returns.policy.model import PolicyKeys
from dispatch_returns.returns.policy.terms import Whole, case_of, terms_of, whole
from dispatch_returns.returns.policy.verdict import SHIPPING, Breakdown, ShippingPaid, part_of

_NO_FEE = Fraction(0)


@dataclass(frozen=True, slots=True)
class Settling:
    """The sums of one return. `elsewhere` counts the pieces that other returns have settled.

    `shipping` is what was paid back of it before; None where all went by this return's rule.
    """

    policy: PolicyKeys
    order: OrderFacts
    reason: str | None
    announced: tuple[FactItem, ...]
    elsewhere: Mapping[str, int]
    shipping: ShippingPaid | None = None
    free: bool = False
    """Nothing is kept: nothing need be sent back."""

    def between(self, before: Sequence[FactItem], after: Sequence[FactItem]) -> Breakdown:
        """Return what is paid when `before` has become `after`."""
        earlier, later = self._counted(before), self._counted(after)
        parts: list[tuple[str, int]] = []
        fees = {"restocking": 0, "condition": 0, "return_shipping": 0}
        for article in self.order.articles:
            given, paid, worn = (
                now - then
                for now, then in zip(
                    self._sums(article, later), self._sums(article, earlier), strict=True
                )
            )
            # Two roundings may fall apart by one step; what is paid is the exact one.
            part = max(given, paid)
            kept = part - paid
            condition = min(kept, max(0, worn)) if self._restocks(article) else kept
            fees["condition"] += condition
            fees["restocking"] += kept - condition
            parts.append((part_of(article.sku), part))
        before_it, with_it = self._shipping(earlier, later)
        parts.append((SHIPPING, with_it - before_it))
        fees["return_shipping"] = self._kept(later, with_it) - self._kept(earlier, before_it)
        total = sum(amount for _, amount in parts) - sum(fees.values())
        money = self.order.money
        return Breakdown(
            total=money(total),
            parts=tuple((name, money(amount)) for name, amount in parts if amount),
            fees=tuple((name, money(amount)) for name, amount in fees.items() if amount),
        )

    @property
    def whole(self) -> Whole:
        """What holds for the return, by what was announced."""
        terms = [
            terms_of(self.policy, case_of(item.sku, self.order, self.reason))
            for item in self.announced
        ]
        return whole(terms, self.order.money(0))

    def _counted(self, items: Sequence[FactItem]) -> Mapping[str, dict[str | None, int]]:
        """Return how many pieces of each SKU have come in each condition, and no more than are."""
        counts: dict[str, dict[str | None, int]] = {}
        for article in self.order.articles:
            left = article.quantity - self._others(article)
            of_sku = counts.setdefault(article.sku, {})
            for item in items:
                if item.sku == article.sku and left > 0:
                    taken = min(left, item.quantity)
                    of_sku[item.condition] = of_sku.get(item.condition, 0) + taken
                    left -= taken
        return counts

    def _others(self, article: Article) -> int:
        """Return how many pieces are settled elsewhere: by other returns, or by the shop."""
        return min(article.quantity, article.removed + self.elsewhere.get(article.sku, 0))

    def _sums(
        self, article: Article, counts: Mapping[str, dict[str | None, int]]
    ) -> tuple[int, int, int]:
        """Return what the pieces cost, what is paid for them, and what their condition takes."""
        piece = Fraction(article.paid, article.quantity)
        restocking = self._restocking(article)
        base = self._others(article)
        cost = paid = Fraction(base)
        worn = Fraction(0)
        for condition, count in counts[article.sku].items():
            wear = self._wear(condition)
            cost += count
            paid += count * (1 - wear) * (1 - restocking)
            worn += count * wear
        return self._down(cost * piece), self._down(paid * piece), self._down(worn * piece)

    def _restocks(self, article: Article) -> bool:
        return self._restocking(article) > 0

    def _restocking(self, article: Article) -> Fraction:
        if self.free:
            return _NO_FEE
        case = case_of(article.sku, self.order, self.reason)
        return terms_of(self.policy, case).restocking_fee or _NO_FEE

    def _wear(self, condition: str | None) -> Fraction:
        if self.free or condition is None:
            return _NO_FEE
        return self.policy.condition_fees.get(condition, _NO_FEE)

    def _shipping(
        self,
        earlier: Mapping[str, dict[str | None, int]],
        later: Mapping[str, dict[str | None, int]],
    ) -> tuple[int, int]:
        """Return what of the outward shipping this return has got by then: before, and now.

        Other returns may have gone by other rules: in all it is paid back once.
        """
        was, becomes = self._by_rule(earlier), self._by_rule(later)
        if self.shipping is None:
            return was, becomes
        got = self.shipping.here
        charged = self.order.shipping + self._fees_for(self._back(later))
        left = max(0, charged - got - self.shipping.elsewhere)
        anything = any(sum(of_sku.values()) for of_sku in later.values())
        always = self.whole.shipping == "always" and anything
        return got, got + min(left, left if always else becomes - was)

    def _by_rule(self, counts: Mapping[str, dict[str | None, int]]) -> int:
        """Return what of it this return's rule gives, beyond what it gives for other returns."""
        back = self._back(counts)
        others = {article.sku: self._others(article) for article in self.order.articles}
        return self._charges_for(back) - self._charges_for(others)

    def _back(self, counts: Mapping[str, dict[str | None, int]]) -> Mapping[str, int]:
        """Return how many pieces of each SKU are back, with those of other returns."""
        return {
            article.sku: self._others(article) + sum(counts[article.sku].values())
            for article in self.order.articles
        }

    def _charges_for(self, back: Mapping[str, int]) -> int:
        return self._shipping_for(back) + self._fees_for(back)

    def _fees_for(self, back: Mapping[str, int]) -> int:
        """Fees on top of the lines go back with the whole order, where its shipping does."""
        whole = self.whole.shipping != "never" and self._is_all(back)
        return self.order.fees if whole else 0

    def _is_all(self, back: Mapping[str, int]) -> bool:
        return bool(back) and all(back[it.sku] == it.quantity for it in self.order.articles)

    def _shipping_for(self, back: Mapping[str, int]) -> int:
        rule = self.whole.shipping
        if rule == "always":
            return self.order.shipping if any(back.values()) else 0
        if rule == "full_return":
            return self.order.shipping if self._is_all(back) else 0
        if rule == "share":
            return self._down(self.order.shipping * self._share(back))
        return 0

    def _share(self, back: Mapping[str, int]) -> Fraction:
        """Return which share of the order's value has come back."""
        priced = any(it.paid for it in self.order.articles)
        weights = [it.paid if priced else it.quantity for it in self.order.articles]
        came = (
            Fraction(weight * back[it.sku], it.quantity)
            for weight, it in zip(weights, self.order.articles, strict=True)
        )
        return sum(came, Fraction(0)) / (sum(weights) or 1)

    def _kept(self, counts: Mapping[str, dict[str | None, int]], shipping: int) -> int:
        """Return what is kept for the way back: once, and no more than there is."""
        if self.free:
            return 0
        nothing = self._counted(())
        paid = sum(
            self._sums(article, counts)[1] - self._sums(article, nothing)[1]
            for article in self.order.articles
        )
        return min(self.whole.return_shipping, paid + shipping)

    def _down(self, amount: Fraction) -> int:
        step = rule_of(self.order.money(0)).step
        return floor(amount / step) * step
