"""`ReturnPolicy`: one version of the merchant's rules, and what can be asked of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import ValidationError

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.policy.facts import (
    FactItem,
    Facts,
    Listed,
    OrderFacts,
    list_entries,
    merged,
)
from dispatch_returns.returns.policy.judge import decide
from dispatch_returns.returns.policy.keys import word
from dispatch_returns.returns.policy.mistakes import explain
from dispatch_returns.returns.policy.model import PolicyKeys
from dispatch_returns.returns.policy.settle import Settling
from dispatch_returns.returns.policy.terms import case_of, terms_of
from dispatch_returns.returns.policy.verdict import (
    Breakdown,
    History,
    Inspection,
    Item,
    Outcome,
    ReturnRequest,
    ShippingPaid,
    Spoken,
    Verdict,
)

_NOTHING: Mapping[str, int] = {}


class ReturnPolicy(PolicyKeys):
    """One version of a policy. Pure: the same questions always get the same answers.

    Every key is described in ``docs/policy.md``. Example::

        policy = ReturnPolicy.of(version="2026", window_days=14, restocking_fee="10%")
        verdict = policy.judge(request, order, History(), now)
    """

    @classmethod
    def of(cls, **keys: Any) -> Self:
        """Build one in Python, its keys written as in TOML. Raises `ConfigurationError`."""
        return cls.read(keys)

    @classmethod
    def read(cls, table: Mapping[str, Any], place: str = "") -> Self:
        """Read one from a TOML table, which stands at `place`.

        Raises `ConfigurationError` that names each wrong key, and what was probably meant.
        """
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise ConfigurationError(explain(error, place)) from None

    def judge(
        self, request: ReturnRequest, order: Order | None, history: History, now: datetime
    ) -> Verdict:
        """Say whether `request` may come back, and why.

        The window is judged at ``request.requested_at``, however late this is asked; `now` is
        only noted. ``order`` is None where nobody knows it.
        """
        return decide(self, Facts.of(request, order, history, self._listed(request, order)), now)

    def replay(self, verdict: Verdict) -> Verdict:
        """Judge again from the facts of `verdict` alone: the same policy says the same."""
        return decide(self, Facts.kept(verdict.facts), verdict.at)

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
        """Return what is paid back for `accepted`, in the condition the warehouse has found.

        ``announced`` is what the customer asked for (default: what was settled and accepted);
        ``settled`` is what earlier parcels of this return have brought; ``elsewhere`` counts
        the pieces of this order, by SKU, that other returns have settled. ``shipping`` is what
        of the way out was paid back before (default: what this return's own rule gives for
        what came before). However a return is split into parcels, they pay the same in all.
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
        """Return what a receipt pays back, and whether it may at once or a person must look.

        Whatever the policy says of the check ``unclear_order``, an order with a problem pays
        nothing by itself.

        Fewer items than announced pay for those that came. Others, more, an item in a
        condition that the policy has no word for, or nothing to pay: a person looks.
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
        spoken = [
            *([] if problem is None else [_look("unclear_order", problem)]),
            *self._not_as_announced(accepted, announced, settled),
            *self._conditions(settling, merged(accepted)),
        ]
        if settling.whole.unpriced:
            keys = " and no ".join(settling.whole.unpriced)
            spoken.append(_look("currency", f"The policy says no {keys} in {order.currency}."))
        if not breakdown.total.minor:
            spoken.append(_look("nothing", "Nothing of the price is left to pay back."))
        outcome = Outcome.REVIEW if spoken else Outcome.APPROVE
        return Inspection(
            outcome=outcome,
            spoken=tuple(spoken),
            breakdown=breakdown,
            pays=not spoken and settling.whole.refund_on_receipt,
            assignee=self._assignee(spoken),
        )

    def _listed(self, request: ReturnRequest, order: Order | None) -> Listed | None:
        """Return on which list the customer is, by the ticket or the order. Both is blocked."""
        named = [request.customer, *((order.customer_email, order.customer_id) if order else ())]
        entries = frozenset[str]().union(*(list_entries(it) for it in named if it))
        if entries.intersection(self.block or ()):
            return "block"
        return "allow" if entries.intersection(self.allow or ()) else None

    def _not_as_announced(
        self, accepted: Sequence[Item], announced: Sequence[Item], settled: Sequence[Item]
    ) -> list[Spoken]:
        left: dict[str, int] = {}
        for items, sign in ((announced, 1), (settled, -1), (accepted, -1)):
            for item in items:
                left[item.sku] = left.get(item.sku, 0) + sign * item.quantity
        wrong = sorted({item.sku for item in accepted if left[item.sku] < 0})
        return [_look("too_many", f"More of {sku} arrived than was announced.") for sku in wrong]

    def _conditions(self, settling: Settling, accepted: Sequence[FactItem]) -> list[Spoken]:
        spoken: list[Spoken] = []
        for item in accepted:
            terms = terms_of(self, case_of(item.sku, settling.order, settling.reason))
            if "condition" in terms.waive or item.condition in {
                *terms.conditions,
                *self.condition_fees,
            }:
                continue
            found = "in no condition that was named" if item.condition is None else item.condition
            spoken.append(_look("condition", f"{item.sku} arrived {found.replace('_', ' ')}."))
        return spoken

    def _assignee(self, spoken: Sequence[Spoken]) -> str | None:
        named = (self.assignee_of(it.rule) for it in spoken)
        return next((name for name in named if name), None)


def _look(rule: str, why: str) -> Spoken:
    return Spoken(rule, Outcome.REVIEW, why)
