"""`ReturnPolicy`: one version of the merchant's rules, and the questions it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any, Self, get_args

from pydantic import BaseModel, ValidationError

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.policy.evaluation import decide, last_day
from dispatch_returns.returns.policy.facts import (
    FactItem,
    Listed,
    OrderFacts,
    PolicyFacts,
    list_entries,
    merged,
)
from dispatch_returns.returns.policy.keys import CheckName, word
from dispatch_returns.returns.policy.model import (
    Check,
    EarlierReturns,
    PolicyKeys,
    ReasonChoice,
    ReasonDetail,
    Rule,
)
from dispatch_returns.returns.policy.settle import Settling
from dispatch_returns.returns.policy.terms import case_of, terms_of
from dispatch_returns.returns.policy.verdict import (
    Breakdown,
    History,
    Inspection,
    Item,
    Outcome,
    ReturnRequest,
    RuleResult,
    ShippingPaid,
    Verdict,
)

_NOTHING: Mapping[str, int] = {}

Models = Mapping[str, type[BaseModel]]
"""Which keys are known in the tables under a key; "" is the top."""

POLICY: Models = {
    "": PolicyKeys,
    "rules": Rule,
    "checks": Check,
    "earlier_returns": EarlierReturns,
    "reasons": ReasonChoice,
    "details": ReasonDetail,
}

# What pydantic adds to a path, and the merchant has not written.
_NOISE = frozenset({"[key]", "date", "datetime", "is-instance[date]"})


def explain(error: ValidationError, place: str = "", models: Models = POLICY) -> str:
    """Return what is wrong in a file: each key with its path, the mistake, and what was meant."""
    return "; ".join(
        place + _problem(problem, models)
        for problem in error.errors(include_url=False, include_input=False)
    )


def _problem(problem: Any, models: Models) -> str:
    location = [step for step in problem["loc"] if step not in _NOISE]
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    known: list[str]
    if problem["type"] == "extra_forbidden":
        kind, tables = "key", [step for step in location[:-1] if step in models]
        known = list(models[tables[-1] if tables else ""].model_fields)
    elif "[key]" in problem["loc"]:
        kind, known = "check", list(get_args(CheckName))
    else:
        said = str(problem["msg"]).removeprefix("Value error, ")
        return f"{path or 'policy'}: {said[:1].lower()}{said[1:]}"
    close = get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    return f"{path}: there is no such {kind}{f': did you mean {close[0]}?' if close else ''}"


class ReturnPolicy(PolicyKeys):
    """One version of a policy. Pure: the same question always gets the same answer.

    Every key is described in ``docs/policy.md``. Example::

        policy = ReturnPolicy.of(version="2026", window_days=14, restocking_fee="10%")
        verdict = policy.evaluate(request, order, History(), now)
    """

    @classmethod
    def of(cls, **keys: Any) -> Self:
        """Build one in Python, its keys written as in TOML. Raises `ConfigurationError`."""
        return cls.read(keys)

    @classmethod
    def read(cls, table: Mapping[str, Any], place: str = "") -> Self:
        """Read one from a TOML table; `place` is where the table is, for messages.

        Raises `ConfigurationError` with each wrong key and what was probably meant.
        """
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise ConfigurationError(explain(error, place)) from None

    def evaluate(
        self, request: ReturnRequest, order: Order | None, history: History, now: datetime
    ) -> Verdict:
        """Return whether the items of `request` can be returned, and why.

        The window is checked at ``request.requested_at``, however late the call; `now` is only
        recorded. ``order`` is None if no source knows it.
        """
        # The customer is whom the ticket names or whom the order names. On both lists: blocked.
        named = [request.customer, *((order.customer_email, order.customer_id) if order else ())]
        entries = frozenset[str]().union(*(list_entries(it) for it in named if it))
        listed: Listed | None = "allow" if entries.intersection(self.allow or ()) else None
        if entries.intersection(self.block or ()):
            listed = "block"
        return decide(self, PolicyFacts.of(request, order, history, listed), now)

    def return_by(self, order: Order, sku: str, reason: str | None = None) -> date | None:
        """Return the last day on which `sku` can be returned; None if nothing was shipped.

        It is a day in the policy's time zone, without the grace period.
        """
        facts = OrderFacts.of(order)
        terms = terms_of(self, case_of(sku, facts, None if reason is None else word(reason)))
        return last_day(self, facts, terms.window_days)

    def replay(self, verdict: Verdict) -> Verdict:
        """Decide again from the facts of `verdict` alone: the same policy gives the same."""
        return decide(self, PolicyFacts.kept(verdict.facts), verdict.at)

    def settle(
        self,
        order: Order,
        accepted: Sequence[Item],
        reason: str | None = None,
        *,
        announced: Sequence[Item] | None = None,
        settled: Sequence[Item] = (),
        elsewhere: Mapping[str, int] = _NOTHING,
        shipping: ShippingPaid | None = None,
        returnless: bool = False,
    ) -> Breakdown:
        """Return the refund for the `accepted` items, in the condition that the warehouse found.

        ``announced`` is what the customer asked to return (default: what was settled and
        accepted); ``settled`` is what earlier packages of this return brought; ``elsewhere``
        counts the pieces of this order, by SKU, that other returns have settled. ``shipping``
        is the outbound shipping paid back before (default: what this return's own rule gives
        for what came before). However a return is split into packages, the total is the same.
        Pieces beyond those bought pay nothing.
        """
        all_of_it = merged([*settled, *accepted])
        settling = Settling(
            policy=self,
            order=OrderFacts.of(order),
            reason=None if reason is None else word(reason),
            announced=all_of_it if announced is None else merged(announced),
            elsewhere=elsewhere,
            shipping=shipping,
            free=returnless,
        )
        return settling.between(merged(settled), all_of_it)

    def inspect(
        self,
        order: Order,
        accepted: Sequence[Item],
        reason: str | None = None,
        *,
        announced: Sequence[Item],
        settled: Sequence[Item] = (),
        elsewhere: Mapping[str, int] = _NOTHING,
        shipping: ShippingPaid | None = None,
    ) -> Inspection:
        """Return what a receipt pays back, and whether it does so at once or after a review.

        The arguments are those of `settle`. Fewer items than announced pay for those that came.
        Other items, more items, an item in a condition that the policy does not name, nothing to
        pay, or an order with a problem need a review, whatever the policy's ``unclear_order``.
        """
        breakdown = self.settle(
            order,
            accepted,
            reason,
            announced=announced,
            settled=settled,
            elsewhere=elsewhere,
            shipping=shipping,
        )
        settling = Settling(
            self, OrderFacts.of(order), reason and word(reason), merged(announced), {}
        )
        returned = Counter(elsewhere)
        for item in settled:
            returned[item.sku] += item.quantity
        problem = order.problem(returned)
        found = [
            *([] if problem is None else [("unclear_order", problem)]),
            *_beyond_announced(accepted, announced, settled),
            *self._conditions(settling, merged(accepted)),
        ]
        if settling.whole.unpriced:
            keys = " and no ".join(settling.whole.unpriced)
            found.append(("currency", f"The policy has no {keys} in {order.currency}."))
        if not breakdown.total.minor:
            found.append(("nothing", "Nothing of the price is left to pay back."))
        assignees = (self.assignee_of(rule) for rule, _ in found)
        return Inspection(
            outcome=Outcome.REVIEW if found else Outcome.APPROVE,
            results=tuple(RuleResult(rule, Outcome.REVIEW, why) for rule, why in found),
            breakdown=breakdown,
            pays=not found and settling.whole.refund_on_receipt,
            assignee=next((name for name in assignees if name), None),
        )

    def _conditions(
        self, settling: Settling, accepted: Sequence[FactItem]
    ) -> Iterator[tuple[str, str]]:
        for item in accepted:
            terms = terms_of(self, case_of(item.sku, settling.order, settling.reason))
            known = {*terms.conditions, *self.condition_fees}
            if "condition" not in terms.waive and item.condition not in known:
                found = item.condition or "without a condition"
                yield "condition", f"{item.sku} arrived {found.replace('_', ' ')}."


def _beyond_announced(
    accepted: Sequence[Item], announced: Sequence[Item], settled: Sequence[Item]
) -> Iterator[tuple[str, str]]:
    left: Counter[str] = Counter()
    for items, sign in ((announced, 1), (settled, -1), (accepted, -1)):
        for item in items:
            left[item.sku] += sign * item.quantity
    for sku in sorted({item.sku for item in accepted if left[item.sku] < 0}):
        yield "too_many", f"More of {sku} arrived than was announced."
