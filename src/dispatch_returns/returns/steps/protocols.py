"""What the six steps are made of: the merchant's policy, orders, labels and notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from dispatch_returns.returns.labels.provider import Address, LabelProvider
from dispatch_returns.returns.notifications.notice import Notifier
from dispatch_returns.returns.orders.model import Order, OrderSource
from dispatch_returns.returns.policy.verdict import (
    Breakdown,
    History,
    Item,
    Outcome,
    ReturnRequest,
    ShippingPaid,
    Spoken,
    Verdict,
)

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket


class Inspection(Protocol):
    """What the policy says of a receipt."""

    @property
    def outcome(self) -> Outcome:
        """Whether a person must look."""
        ...

    @property
    def spoken(self) -> Sequence[Spoken]:
        """Why."""
        ...

    @property
    def breakdown(self) -> Breakdown:
        """What it pays back."""
        ...

    @property
    def pays(self) -> bool:
        """Whether it is paid back at once."""
        ...

    @property
    def assignee(self) -> str | None:
        """Who looks at it."""
        ...


class Policy(Protocol):
    """The rules that count for one order."""

    @property
    def id(self) -> str:
        """Its name and version."""
        ...

    @property
    def refund_on_receipt(self) -> bool:
        """Whether an accepted receipt is paid back at once."""
        ...

    @property
    def review_reminder_days(self) -> int | None:
        """After how many days people are reminded of a return they have to decide."""
        ...

    @property
    def reminder_days(self) -> int | None:
        """After how many days with a label the customer is reminded."""
        ...

    @property
    def expiry_days(self) -> int:
        """After how many days with a label a return expires."""
        ...

    @property
    def label_days(self) -> int:
        """For how many days a label is good."""
        ...

    def judge(
        self, request: ReturnRequest, order: Order | None, history: History, now: datetime
    ) -> Verdict:
        """Say whether it may come back, and why."""
        ...

    def settle(
        self,
        order: Order,
        accepted: Sequence[Item],
        reason: str | None = None,
        *,
        elsewhere: Mapping[str, int],
        shipping: ShippingPaid | None,
        returnless: bool,
    ) -> Breakdown:
        """Say what is paid back for what was accepted, or need not be sent.

        ``elsewhere`` and ``shipping`` are as for `inspect`.
        """
        ...

    def inspect(
        self,
        order: Order,
        accepted: Sequence[Item],
        reason: str | None = None,
        *,
        announced: Sequence[Item],
        settled: Sequence[Item],
        elsewhere: Mapping[str, int],
        shipping: ShippingPaid | None,
    ) -> Inspection:
        """Say what a receipt pays back, and whether a person must look first.

        ``settled`` came in earlier parcels of this return, ``elsewhere`` in other returns.
        ``shipping`` was paid back for these; None where a person settled them, and nobody knows.
        """
        ...


class PolicyBook(Protocol):
    """All versions of a policy."""

    def in_force(self, placed_at: datetime) -> Policy:
        """Return the version that counts for an order of that moment."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a merchant has configured. Without `labels` people send them, without `notifier` the
    customer is told of the refund alone.
    """

    book: PolicyBook
    orders: OrderSource
    labels: LabelProvider | None = None
    recipient: Address | None = None
    notifier: Notifier | None = None
    language: str = "en"

    def close(self) -> None:
        """Close what has connections. May be called twice."""
        for part in (self.orders, self.labels, self.notifier):
            close = getattr(part, "close", None)
            if close is not None:
                close()

    def order(self, order_id: str | None, ticket: Ticket) -> Order | None:
        """Return the ticket's order, None if nobody knows it. Raises `OrderError`."""
        return None if order_id is None else self.orders.order(order_id, ticket)
