"""What the steps need from the merchant: policy, orders, labels and notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from dispatch_returns.returns.labels.provider import Address, LabelProvider
from dispatch_returns.returns.notifications.notification import Notifier
from dispatch_returns.returns.orders.model import Order, OrderSource
from dispatch_returns.returns.policy.model import ReasonChoice
from dispatch_returns.returns.policy.verdict import (
    Breakdown,
    History,
    Inspection,
    Item,
    ReturnRequest,
    ShippingPaid,
    Verdict,
)

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket


class Policy(Protocol):
    """The policy version that applies to one order."""

    @property
    def id(self) -> str:
        """Its name and version."""
        ...

    @property
    def refund_on_receipt(self) -> bool:
        """Whether an accepted receipt is refunded at once."""
        ...

    @property
    def review_reminder_days(self) -> int | None:
        """After how many days in review the agents are reminded; None for never."""
        ...

    @property
    def reminder_days(self) -> int | None:
        """After how many days with a label the customer is reminded; None for never."""
        ...

    @property
    def expiry_days(self) -> int:
        """After how many days with a label a return expires."""
        ...

    @property
    def label_days(self) -> int:
        """For how many days a label can be used."""
        ...

    @property
    def reasons(self) -> Sequence[ReasonChoice]:
        """The reasons that customers can choose; empty for the usual ones."""
        ...

    def evaluate(
        self, request: ReturnRequest, order: Order | None, history: History, now: datetime
    ) -> Verdict:
        """Return whether the items can be returned, and why."""
        ...

    def return_by(self, order: Order, sku: str, reason: str | None = None) -> date | None:
        """Return the last day on which an article can be returned; None if it was not shipped."""
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
        """Return the refund for accepted items, or for items that the customer keeps.

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
        """Return the refund for a receipt, and whether a person must review it first.

        ``settled`` arrived in earlier packages of this return, ``elsewhere`` in other returns.
        ``shipping`` was paid back with them; None if a person settled them, so it is not known.
        """
        ...


class Policies(Protocol):
    """All versions of a policy."""

    def in_force(self, placed_at: datetime) -> Policy:
        """Return the version that applies to an order placed at that moment."""
        ...


@dataclass(frozen=True, slots=True)
class Workflow:
    """What a merchant has configured.

    Without `labels` agents send them by hand; without `notifier` the customer gets only the comment
    about the refund. `mailer` sends the portal's codes: they belong to no ticket, so only e-mail
    can bring them.
    """

    book: Policies
    orders: OrderSource
    labels: LabelProvider | None = None
    recipient: Address | None = None
    notifier: Notifier | None = None
    language: str = "en"
    mailer: Notifier | None = None

    def close(self) -> None:
        """Close all connections. May be called twice."""
        for each in (self.orders, self.labels, self.notifier, self.mailer):
            close = getattr(each, "close", None)
            if close is not None:
                close()

    def order(self, order_id: str | None, ticket: Ticket) -> Order | None:
        """Return the ticket's order, None if it is not found. Raises `OrderError`."""
        return None if order_id is None else self.orders.order(order_id, ticket)
