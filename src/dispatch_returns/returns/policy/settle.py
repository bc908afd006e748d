"""The refund amount, to the last minor unit.

Every amount is a difference of two sums: what is due for everything that has arrived so far,
less what was due for everything that had arrived before. A sum depends on what has arrived and
not on how it was packed, so several packages add up to what one package would have paid. No sum
shrinks when more arrives, so nothing is ever taken back.
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
    """The sums of one return. `elsewhere` counts, by SKU, the pieces that other returns settled.

    `shipping` is the outbound shipping paid back before; None if it all followed this return's
    own rule.
    """

    policy: PolicyKeys
    order: OrderFacts
    reason: str | None
    announced: tuple[FactItem, ...]
    elsewhere: Mapping[str, int]
    shipping: ShippingPaid | None = None
    free: bool = False
    """No fee is kept: the customer keeps the items."""

    def between(self, before: Sequence[FactItem], after: Sequence[FactItem]) -> Breakdown:
        """Return the refund when the items that have arrived go from `before` to `after`."""
        earlier, later = self._counted(before), self._counted(after)
        lines: list[tuple[str, int]] = []
        fees = {"restocking": 0, "condition": 0, "return_shipping": 0}
        for article in self.order.articles:
            price, paid, wear = (
                now - then
                for now, then in zip(
                    self._sums(article, later), self._sums(article, earlier), strict=True
                )
            )
            # The two roundings can differ by one step; what is paid is the exact one.
            amount = max(price, paid)
            kept = amount - paid
            condition = min(kept, max(0, wear)) if self._restocking(article) else kept
            fees["condition"] += condition
            fees["restocking"] += kept - condition
            lines.append((part_of(article.sku), amount))
        shipping_before, shipping_now = self._shipping(earlier, later)
        lines.append((SHIPPING, shipping_now - shipping_before))
        fees["return_shipping"] = self._kept(later, shipping_now) - self._kept(
            earlier, shipping_before
        )
        total = sum(amount for _, amount in lines) - sum(fees.values())
        money = self.order.money
        return Breakdown(
            total=money(total),
            parts=tuple((name, money(amount)) for name, amount in lines if amount),
            fees=tuple((name, money(amount)) for name, amount in fees.items() if amount),
        )

    @property
    def whole(self) -> Whole:
        """The terms of the return as a whole, by what the customer announced."""
        terms = [
            terms_of(self.policy, case_of(item.sku, self.order, self.reason))
            for item in self.announced
        ]
        return whole(terms, self.order.money(0))

    def _counted(self, items: Sequence[FactItem]) -> Mapping[str, dict[str | None, int]]:
        """Return the pieces that have arrived, by SKU and condition: no more than were bought."""
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
        """Return how many pieces other returns or the shop itself have settled."""
        return min(article.quantity, article.removed + self.elsewhere.get(article.sku, 0))

    def _sums(
        self, article: Article, counts: Mapping[str, dict[str | None, int]]
    ) -> tuple[int, int, int]:
        """Return the price of the pieces, what is paid back for them, and the condition fees."""
        piece = Fraction(article.paid, article.quantity)
        restocking = self._restocking(article)
        price = paid = Fraction(self._others(article))
        wear = Fraction(0)
        for condition, count in counts[article.sku].items():
            fee = _NO_FEE
            if condition is not None and not self.free:
                fee = self.policy.condition_fees.get(condition, _NO_FEE)
            price += count
            paid += count * (1 - fee) * (1 - restocking)
            wear += count * fee
        return self._down(price * piece), self._down(paid * piece), self._down(wear * piece)

    def _restocking(self, article: Article) -> Fraction:
        if self.free:
            return _NO_FEE
        case = case_of(article.sku, self.order, self.reason)
        return terms_of(self.policy, case).restocking_fee or _NO_FEE

    def _shipping(
        self,
        earlier: Mapping[str, dict[str | None, int]],
        later: Mapping[str, dict[str | None, int]],
    ) -> tuple[int, int]:
        """Return the outbound shipping that this return has paid back: before, and now.

        Other returns may have followed other rules; all together pay it back once.
        """
        was, becomes = self._by_rule(earlier), self._by_rule(later)
        if self.shipping is None:
            return was, becomes
        paid = self.shipping.here
        charged = self.order.shipping + self._fees_for(self._back(later))
        left = max(0, charged - paid - self.shipping.elsewhere)
        anything = any(sum(of_sku.values()) for of_sku in later.values())
        always = self.whole.shipping == "always" and anything
        return paid, paid + min(left, left if always else becomes - was)

    def _by_rule(self, counts: Mapping[str, dict[str | None, int]]) -> int:
        """Return the shipping by this return's rule, less what the rule gives for other returns."""
        others = {article.sku: self._others(article) for article in self.order.articles}
        now, without = (
            self._shipping_for(back) + self._fees_for(back) for back in (self._back(counts), others)
        )
        return now - without

    def _back(self, counts: Mapping[str, dict[str | None, int]]) -> Mapping[str, int]:
        """Return how many pieces of each SKU have come back, with those of other returns."""
        return {
            article.sku: self._others(article) + sum(counts[article.sku].values())
            for article in self.order.articles
        }

    def _fees_for(self, back: Mapping[str, int]) -> int:
        """Return the order's fees: paid back with the whole order, if its shipping is."""
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
            # The share of the order's value that has come back; of its pieces, if all was free.
            priced = any(it.paid for it in self.order.articles)
            weights = [it.paid if priced else it.quantity for it in self.order.articles]
            came = (
                Fraction(weight * back[it.sku], it.quantity)
                for weight, it in zip(weights, self.order.articles, strict=True)
            )
            share = sum(came, Fraction(0)) / (sum(weights) or 1)
            return self._down(self.order.shipping * share)
        return 0

    def _kept(self, counts: Mapping[str, dict[str | None, int]], shipping: int) -> int:
        """Return what is kept for the return shipping: once, and never more than is paid."""
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
