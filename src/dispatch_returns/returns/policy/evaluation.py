"""Decide whether something may come back: from its facts and the policy alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property

from dispatch_returns.returns.policy.facts import FactItem, OrderFacts, PolicyFacts
from dispatch_returns.returns.policy.keys import CheckName, fits
from dispatch_returns.returns.policy.model import FOR_ALLOWED, PolicyKeys
from dispatch_returns.returns.policy.settle import Settling
from dispatch_returns.returns.policy.terms import (
    ItemTerms,
    RuleSubject,
    Whole,
    cases_of,
    fitting,
    terms_of,
)
from dispatch_returns.returns.policy.verdict import (
    SHIPPING,
    Breakdown,
    Outcome,
    RuleResult,
    Verdict,
)

_BY_STRICTNESS = (Outcome.APPROVE, Outcome.REVIEW, Outcome.REJECT)


def strictest(results: tuple[RuleResult, ...]) -> Outcome:
    """Return the outcome that counts."""
    return max((it.outcome for it in results), key=_BY_STRICTNESS.index, default=Outcome.APPROVE)


def last_day(policy: PolicyKeys, order: OrderFacts, days: int) -> date | None:
    """Return the last day on which a return can be requested, None if nothing was shipped.

    `days` are calendar days in the store's time zone. The day of delivery is day 0.
    """
    if order.delivered_at is not None:
        return _local(policy, order.delivered_at) + timedelta(days=days)
    if order.shipped_at is None:
        return None
    return _local(policy, order.shipped_at) + timedelta(days=policy.transit_days + days)


def _local(policy: PolicyKeys, moment: datetime) -> date:
    return moment.astimezone(policy.zone).date()


def decide(policy: PolicyKeys, facts: PolicyFacts, now: datetime) -> Verdict:
    """Return the verdict on `facts`. The same facts always give the same verdict."""
    evaluator = Evaluator(policy, facts)
    results = tuple(evaluator.results())
    outcome = strictest(results)
    assignee = None
    if outcome is Outcome.REVIEW:
        # The first result that wants a review and names an assignee decides who reviews.
        wanting = (policy.assignee_of(it.rule) for it in results if it.outcome is Outcome.REVIEW)
        named = (name for name in wanting if name and name != policy.assignee)
        assignee = next(named, policy.assignee)
    return Verdict(
        outcome=outcome,
        results=results,
        facts=facts.model_dump(mode="json"),
        policy=policy.id,
        at=now,
        assignee=assignee,
        expected=evaluator.expected,
        returnless=outcome is not Outcome.REJECT and evaluator.returnless,
    )


@dataclass(frozen=True)
class Evaluator:
    """One request under one policy: the result of each check and rule that applies."""

    policy: PolicyKeys
    facts: PolicyFacts

    @cached_property
    def cases(self) -> Mapping[str, RuleSubject]:
        """What the rules match on, for each SKU of the request."""
        return cases_of(self.facts.items, self.facts.order, self.facts.reason)

    @cached_property
    def terms(self) -> Mapping[str, ItemTerms]:
        """The terms that apply to each SKU."""
        return {sku: terms_of(self.policy, case) for sku, case in self.cases.items()}

    @cached_property
    def settling(self) -> Settling | None:
        """The sums of this return; None if the order is not known."""
        facts = self.facts
        if facts.order is None:
            return None
        return Settling(self.policy, facts.order, facts.reason, facts.items, facts.returned)

    @cached_property
    def whole(self) -> Whole | None:
        """The terms of the return as a whole; None if the order is not known."""
        return None if self.settling is None else self.settling.whole

    @cached_property
    def value(self) -> int:
        """What was paid for all the items of the request, without shipping, in minor units."""
        if self.settling is None:
            return 0
        # Without their conditions: what is worn was paid for in full.
        items = [FactItem(sku=item.sku, quantity=item.quantity) for item in self.facts.items]
        breakdown = replace(self.settling, free=True).between((), items)
        return sum(amount.minor for name, amount in breakdown.parts if name != SHIPPING)

    @property
    def returnless(self) -> bool:
        """Whether the items cost so little that the customer keeps them."""
        return self.whole is not None and 0 < self.value < self.whole.returnless_under

    @property
    def expected(self) -> Breakdown | None:
        """The refund if everything arrives as announced."""
        if self.settling is None:
            return None
        return replace(self.settling, free=self.returnless).between((), self.facts.items)

    def results(self) -> Iterator[RuleResult]:
        """Return every result, in the order in which the checks and rules are applied."""
        if self.facts.listed == "block":
            yield self._objects("blocked", "The customer is on the block list.")
        if self.facts.unclear is not None:
            # Whatever the policy says: a request that can't be read is never approved.
            outcome = max(
                Outcome.REVIEW, self.policy.outcome_of("unclear_request"), key=_BY_STRICTNESS.index
            )
            yield RuleResult("unclear_request", outcome, self.facts.unclear)
        if not self.facts.items:
            yield self._objects("no_items", "The request names no items.")
        if self.facts.order is None:
            yield self._objects("unknown_order", "Order not found.")
        else:
            if self.facts.order.problem is not None:
                yield self._objects("unclear_order", self.facts.order.problem)
            for sku in self.cases:
                yield from self._item(sku, self.facts.order)
        fit = {rule.name for case in self.cases.values() for rule in fitting(self.policy, case)}
        for rule in self.policy.rules:
            if rule.name in fit and rule.outcome is not None:
                yield RuleResult(
                    rule.name, rule.outcome, rule.why or f"The rule {rule.name} applies."
                )
        yield from self._of_the_whole()

    def _objects(self, check: CheckName, why: str) -> RuleResult:
        return RuleResult(check, self.policy.outcome_of(check), why)

    def _item(self, sku: str, order: OrderFacts) -> Iterator[RuleResult]:
        article, policy, terms = order.article(sku), self.policy, self.terms[sku]
        if article is None:
            yield self._objects("unknown_item", f"{sku} is not in order {order.id}.")
            return
        items = [item for item in self.facts.items if item.sku == sku]
        requested = sum(item.quantity for item in items)
        kept = article.quantity - article.removed
        left = max(0, kept - self.facts.returned.get(sku, 0))
        if requested > left:
            gone = f" (the shop removed {article.removed})" if article.removed else ""
            yield self._objects(
                "too_many",
                f"{requested} of {sku} requested; of {article.quantity} bought{gone},"
                f" {left} are not in another return.",
            )
        if "final_sale" not in terms.waive and (
            article.final_sale or fits(sku, policy.final_sale or ())
        ):
            yield self._objects("final_sale", f"{sku} was a final sale.")
        if "excluded" not in terms.waive and fits(sku, policy.excluded or ()):
            yield self._objects("excluded", f"{sku} is excluded from returns.")
        window = self._window(sku, order)
        if window.rule not in terms.waive:
            yield window
        accepted = {*terms.conditions, *policy.condition_fees}
        if "condition" not in terms.waive:
            for condition in (item.condition for item in items):
                if condition is not None and condition not in accepted:
                    yield self._objects("condition", f"{sku} is {condition.replace('_', ' ')}.")

    def _window(self, sku: str, order: OrderFacts) -> RuleResult:
        """Return the result of the window: always one, as agents ask for it first."""
        terms = self.terms[sku]
        end = last_day(self.policy, order, terms.window_days)
        if end is None:
            return self._objects("not_delivered", f"{sku} has not been shipped, as far as we know.")
        day = _local(self.policy, self.facts.requested_at)
        if day <= end:
            why = f"{sku} can be returned until {end}; requested on {day}."
            return RuleResult("window", Outcome.APPROVE, why)
        why = f"{sku} could be returned until {end}; requested on {day}."
        if day <= end + timedelta(days=terms.grace_days):
            outcome = min(
                Outcome.REVIEW, self.policy.outcome_of("window"), key=_BY_STRICTNESS.index
            )
            return RuleResult("window", outcome, f"{why} This is within the grace period.")
        return self._objects("window", why)

    def _of_the_whole(self) -> Iterator[RuleResult]:
        """Return the results for the return as a whole: earlier returns, currency, value."""
        often = self.policy.earlier_returns
        if often is not None and not self._waives("earlier_returns"):
            since = self.facts.requested_at - timedelta(days=often.days)
            count = sum(since <= it <= self.facts.requested_at for it in self.facts.earlier_returns)
            if count > often.count:
                why = f"{count} earlier returns in {often.days} days; the limit is {often.count}."
                yield self._objects("earlier_returns", why)
        if self.whole is None or self.facts.order is None:
            return
        limit, money = self.whole.max_value, self.facts.order.money
        missing = [k for k in self.whole.unpriced if k != "max_value" or not self._waives(k)]
        if missing:
            keys = " and no ".join(missing)
            why = f"The policy has no {keys} in {self.facts.order.currency}."
            yield self._objects("currency", why)
        if limit is not None and self.value > limit and not self._waives("max_value"):
            why = f"{money(self.value)} requested, more than the limit of {money(limit)}."
            yield self._objects("max_value", why)

    def _waives(self, check: str) -> bool:
        if self.facts.listed == "allow" and check in FOR_ALLOWED:
            return True
        if self.whole is not None:
            return check in self.whole.waive
        return bool(self.terms) and all(check in it.waive for it in self.terms.values())
