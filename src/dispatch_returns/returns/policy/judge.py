"""May this come back? A verdict from facts, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property

from dispatch_returns.returns.policy.facts import Article, FactItem, Facts, OrderFacts
from dispatch_returns.returns.policy.keys import CheckName, fits
from dispatch_returns.returns.policy.model import FOR_ALLOWED, PolicyKeys
from dispatch_returns.returns.policy.settle import Settling
from dispatch_returns.returns.policy.terms import Case, Terms, Whole, cases_of, fitting, terms_of
from dispatch_returns.returns.policy.verdict import SHIPPING, Breakdown, Outcome, Spoken, Verdict

_BY_STRICTNESS = (Outcome.APPROVE, Outcome.REVIEW, Outcome.REJECT)


def strictest(spoken: tuple[Spoken, ...]) -> Outcome:
    """Return the outcome that counts."""
    return max((it.outcome for it in spoken), key=_BY_STRICTNESS.index, default=Outcome.APPROVE)


def last_day(policy: PolicyKeys, order: OrderFacts, days: int) -> date | None:
    """Return the last day on which a return may be asked for, None for what was never sent.

    Calendar days in the store's time zone, whatever their hours. The day of delivery is day 0.
    """
    if order.delivered_at is not None:
        return _local(policy, order.delivered_at) + timedelta(days=days)
    if order.shipped_at is None:
        return None
    return _local(policy, order.shipped_at) + timedelta(days=policy.transit_days + days)


def _local(policy: PolicyKeys, moment: datetime) -> date:
    return moment.astimezone(policy.zone).date()


def decide(policy: PolicyKeys, facts: Facts, now: datetime) -> Verdict:
    """Return the verdict on `facts`. The same facts always give the same one."""
    judging = Judging(policy, facts)
    spoken = tuple(judging.speak())
    outcome = strictest(spoken)
    return Verdict(
        outcome=outcome,
        spoken=spoken,
        facts=facts.model_dump(mode="json"),
        policy=policy.id,
        at=now,
        assignee=_assignee(policy, spoken) if outcome is Outcome.REVIEW else None,
        expected=judging.expected,
        returnless=outcome is not Outcome.REJECT and judging.returnless,
    )


def _assignee(policy: PolicyKeys, spoken: tuple[Spoken, ...]) -> str | None:
    """The first that wanted a review says who; one that names nobody leaves it to the next."""
    asking = [it.rule for it in spoken if it.outcome is Outcome.REVIEW]
    named = (policy.assignee_of(rule) for rule in asking)
    return next((name for name in named if name and name != policy.assignee), policy.assignee)


@dataclass(frozen=True)
class Judging:
    """One request under one policy: which rules speak, and what they say."""

    policy: PolicyKeys
    facts: Facts

    @cached_property
    def cases(self) -> Mapping[str, Case]:
        """What the rules fit by, for each SKU that is asked for."""
        return cases_of(self.facts.items, self.facts.order, self.facts.reason)

    @cached_property
    def terms(self) -> Mapping[str, Terms]:
        """What holds for each SKU."""
        return {sku: terms_of(self.policy, case) for sku, case in self.cases.items()}

    @cached_property
    def settling(self) -> Settling | None:
        """The sums of this return; None where no order is known."""
        facts = self.facts
        if facts.order is None:
            return None
        return Settling(self.policy, facts.order, facts.reason, facts.items, facts.returned)

    @cached_property
    def whole(self) -> Whole | None:
        """What holds for the return as a whole."""
        return None if self.settling is None else self.settling.whole

    @cached_property
    def value(self) -> int:
        """What was paid for all that is asked for, without shipping, in minor units."""
        if self.settling is None:
            return 0
        breakdown = replace(self.settling, free=True).between((), _unworn(self.facts.items))
        return sum(amount.minor for name, amount in breakdown.parts if name != SHIPPING)

    @property
    def returnless(self) -> bool:
        """Whether so little is asked for that nothing need be sent back."""
        return self.whole is not None and 0 < self.value < self.whole.returnless_under

    @property
    def expected(self) -> Breakdown | None:
        """What would be paid back if all arrives as announced."""
        if self.settling is None:
            return None
        return replace(self.settling, free=self.returnless).between((), self.facts.items)

    def speak(self) -> Iterator[Spoken]:
        """Give every rule that speaks, in the order in which they are asked."""
        if self.facts.listed == "block":
            yield self._objects("blocked", "The customer is on the block list.")
        if self.facts.unclear is not None:
            # Whatever the policy says: what can't be read is not let through.
            outcome = max(
                Outcome.REVIEW, self.policy.outcome_of("unclear_request"), key=_BY_STRICTNESS.index
            )
            yield Spoken("unclear_request", outcome, self.facts.unclear)
        if not self.facts.items:
            yield self._objects("no_items", "The request names no items.")
        if self.facts.order is None:
            yield self._objects("unknown_order", "Nobody knows this order.")
        else:
            if self.facts.order.problem is not None:
                yield self._objects("unclear_order", self.facts.order.problem)
            for item in self._by_sku():
                yield from self._item(item, self.facts.order)
        yield from self._rules()
        yield from self._earlier()
        yield from self._value()

    def _objects(self, check: CheckName, why: str) -> Spoken:
        return Spoken(check, self.policy.outcome_of(check), why)

    def _by_sku(self) -> list[FactItem]:
        counts: dict[str, int] = {}
        for item in self.facts.items:
            counts[item.sku] = counts.get(item.sku, 0) + item.quantity
        return [FactItem(sku=sku, quantity=count) for sku, count in counts.items()]

    def _item(self, item: FactItem, order: OrderFacts) -> Iterator[Spoken]:
        article = order.article(item.sku)
        if article is None:
            yield self._objects("unknown_item", f"{item.sku} is not in order {order.id}.")
            return
        kept = article.quantity - article.removed
        left = max(0, kept - self.facts.returned.get(item.sku, 0))
        if item.quantity > left:
            gone = f", of which the shop removed {article.removed}" if article.removed else ""
            yield self._objects(
                "too_many",
                f"{item.quantity} of {item.sku} are asked for; of {article.quantity} bought{gone},"
                f" {left} are not in another return.",
            )
        waived = self.terms[item.sku].waive
        yield from (it for it in self._of_article(article, order) if it.rule not in waived)

    def _of_article(self, article: Article, order: OrderFacts) -> Iterator[Spoken]:
        sku, policy = article.sku, self.policy
        if article.final_sale or fits(sku, policy.final_sale or ()):
            yield self._objects("final_sale", f"{sku} was a final sale.")
        if fits(sku, policy.excluded or ()):
            yield self._objects("excluded", f"{sku} is excluded from returns.")
        yield self._window(sku, order)
        accepted = {*self.terms[sku].conditions, *policy.condition_fees}
        for item in self.facts.items:
            if item.sku == sku and item.condition is not None and item.condition not in accepted:
                yield self._objects("condition", f"{sku} is {item.condition.replace('_', ' ')}.")

    def _window(self, sku: str, order: OrderFacts) -> Spoken:
        """The window always speaks: how long it was is what people ask about first."""
        terms = self.terms[sku]
        end = last_day(self.policy, order, terms.window_days)
        if end is None:
            return self._objects("not_delivered", f"{sku} was not sent yet, as far as is known.")
        asked = _local(self.policy, self.facts.requested_at)
        if asked <= end:
            why = f"{sku} may come back until {end}; asked for on {asked}."
            return Spoken("window", Outcome.APPROVE, why)
        why = f"{sku} could come back until {end}; asked for on {asked}."
        if asked <= end + timedelta(days=terms.grace_days):
            outcome = min(
                Outcome.REVIEW, self.policy.outcome_of("window"), key=_BY_STRICTNESS.index
            )
            return Spoken("window", outcome, f"{why} These are days of grace.")
        return self._objects("window", why)

    def _rules(self) -> Iterator[Spoken]:
        """Every rule of the policy that fits one of the articles and has an outcome, once."""
        fit = {r.name for case in self.cases.values() for r in fitting(self.policy, case)}
        for rule in self.policy.rules:
            if rule.name in fit and rule.outcome is not None:
                yield Spoken(rule.name, rule.outcome, rule.why or f"The rule {rule.name} fits.")

    def _earlier(self) -> Iterator[Spoken]:
        limit = self.policy.earlier_returns
        if limit is None or self._waives("earlier_returns"):
            return
        since = self.facts.requested_at - timedelta(days=limit.days)
        count = sum(since <= it <= self.facts.requested_at for it in self.facts.earlier_returns)
        if count > limit.count:
            yield self._objects(
                "earlier_returns",
                f"{count} earlier returns in {limit.days} days; {limit.count} are usual.",
            )

    def _value(self) -> Iterator[Spoken]:
        if self.whole is None or self.facts.order is None:
            return
        limit, money = self.whole.max_value, self.facts.order.money
        missing = [k for k in self.whole.unpriced if k != "max_value" or not self._waives(k)]
        if missing:
            yield self._objects(
                "currency",
                f"The policy says no {' and no '.join(missing)} in {self.facts.order.currency}.",
            )
        if limit is not None and self.value > limit and not self._waives("max_value"):
            yield self._objects(
                "max_value",
                f"{money(self.value)} is asked for, more than {money(limit)}.",
            )

    def _waives(self, check: str) -> bool:
        if self.facts.listed == "allow" and check in FOR_ALLOWED:
            return True
        if self.whole is not None:
            return check in self.whole.waive
        return bool(self.terms) and all(check in it.waive for it in self.terms.values())


def _unworn(items: tuple[FactItem, ...]) -> tuple[FactItem, ...]:
    return tuple(FactItem(sku=item.sku, quantity=item.quantity) for item in items)
