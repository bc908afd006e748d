"""What a processor can do. The service decides by it; `docs/processors.md` is made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from dispatch_returns.money import CurrencyRule, stripe_rule


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the processor can do.

    ``partial``: it refunds a part of a payment. ``void``: a payment of which nothing was settled
    yet is voided instead, as a whole. ``asynchronous``: the outcome may arrive after the answer.
    ``manual``: a person pays and confirms.

    ``key_lifetime``: how long it certainly remembers an idempotency key; None if it ignores keys.
    ``longest_key``: characters.

    ``lookup``: `find` finds a refund by our own id. ``lookup_by_id``: it finds one by the id that
    the processor gave it, so an answer that was lost stays lost. ``lookup_after``: how long after
    a call `find` may still miss its refund. With neither, the webhook is the only outcome, matched
    by our reference.

    ``refund_within``: the age at which a payment can no longer be refunded; None if there is no
    limit, or none is known. ``most_refunds``: how many refunds one payment takes.

    ``currency_rule``: how it counts each currency. A copied table pays a hundred times too much.

    ``unverified`` names the fields above that were neither read in the vendor's documentation nor
    tried against its test mode.
    """

    partial: bool = True
    void: bool = False
    asynchronous: bool = False
    manual: bool = False
    key_lifetime: timedelta | None = None
    longest_key: int = 255
    lookup: bool = False
    lookup_by_id: bool = False
    lookup_after: timedelta = timedelta()
    refund_within: timedelta | None = None
    most_refunds: int | None = None
    currency_rule: Callable[[str], CurrencyRule] = stripe_rule
    unverified: frozenset[str] = frozenset()

    @property
    def follows(self) -> bool:
        """Whether it can say how a refund stands that it has accepted."""
        return self.lookup or self.lookup_by_id
