"""A merchant's policy, orders, labels and notifications, as simple as they can be, for tests.

They keep to the protocols and do as they are told; what the real ones do is tested elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from dispatch_returns.client import Ticket
from dispatch_returns.errors import LabelError
from dispatch_returns.money import Money
from dispatch_returns.returns.labels.provider import Address, Label, LabelRequest
from dispatch_returns.returns.notifications.notification import Notification
from dispatch_returns.returns.orders.model import Order, OrderLine
from dispatch_returns.returns.policy.model import ReasonChoice
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
from dispatch_returns.returns.steps.workflow import Workflow

PLACED = datetime(2024, 1, 2, tzinfo=UTC)
WAREHOUSE = Address("Returns", "Dock 3", "Springfield", "12345", "US")


def usd(amount: str) -> Money:
    """An amount in US dollars."""
    return Money.from_decimal(Decimal(amount), "USD")


def order(order_id: str = "1234", **skus: str) -> Order:
    """An order of one piece of each SKU, at its price; by default the guide's."""
    prices = {sku.replace("_", "-"): price for sku, price in skus.items()} or {"SKU-001": "149.00"}
    lines = tuple(
        OrderLine(sku, sku, 1, usd(price), usd("0.00"), usd("0.00"))
        for sku, price in prices.items()
    )
    return Order(order_id, "USD", lines, PLACED, usd("0.00"))


@dataclass
class Orders:
    """Knows its orders; fails when it is told to."""

    known: dict[str, Order] = field(default_factory=dict[str, Order])
    error: Exception | None = None
    name: str = "fake"

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        if self.error is not None:
            raise self.error
        return self.known.get(order_id)


@dataclass
class Rules:
    """A policy that says what it is told to, and pays the price of what arrives in order."""

    outcome: Outcome = Outcome.APPROVE
    why: str = "All is well."
    rule: str = "window"
    assignee: str | None = None
    returnless: bool = False
    id: str = "test@1"
    refund_on_receipt: bool = True
    review_reminder_days: int | None = 2
    reminder_days: int | None = 7
    expiry_days: int = 30
    label_days: int = 30
    asked: list[tuple[ReturnRequest, Order | None, History, datetime]] = field(
        default_factory=list[tuple[ReturnRequest, Order | None, History, datetime]]
    )
    error: Exception | None = None
    in_force_at: list[datetime] = field(default_factory=list[datetime])
    elsewhere: list[Mapping[str, int]] = field(default_factory=list[Mapping[str, int]])
    """What was said to be settled in other returns of the order, each time."""

    reasons: tuple[ReasonChoice, ...] = ()

    def return_by(self, order: Order, sku: str, reason: str | None = None) -> date | None:
        return date(2024, 2, 1)

    def in_force(self, placed_at: datetime) -> Rules:
        self.in_force_at.append(placed_at)
        return self

    def evaluate(
        self, request: ReturnRequest, order: Order | None, history: History, now: datetime
    ) -> Verdict:
        self.asked.append((request, order, history, now))
        if self.error is not None:
            raise self.error
        expected = None if order is None else self.settle(order, request.items, request.reason)
        return Verdict(
            outcome=self.outcome,
            results=(RuleResult(self.rule, self.outcome, self.why),),
            facts={"order": request.order_id},
            policy=self.id,
            at=now,
            assignee=self.assignee,
            expected=expected,
            returnless=self.returnless,
        )

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
        self.elsewhere.append(elsewhere)
        left = Counter({item.sku: item.quantity for item in announced})
        for item in (*settled, *accepted):
            left[item.sku] -= item.quantity
        more = [sku for sku, count in left.items() if count < 0]
        results = tuple(
            RuleResult("too_many", Outcome.REVIEW, f"More of {sku} arrived than was announced.")
            for sku in more
        )
        return Inspection(
            Outcome.REVIEW if more else Outcome.APPROVE,
            results,
            self.settle(order, accepted, reason),
            pays=self.refund_on_receipt and not more,
        )

    def settle(
        self,
        order: Order,
        accepted: Sequence[Item],
        reason: str | None = None,
        *,
        elsewhere: Mapping[str, int] | None = None,
        shipping: ShippingPaid | None = None,
        returnless: bool = False,
    ) -> Breakdown:
        if returnless and elsewhere is not None:
            self.elsewhere.append(elsewhere)
        prices = {line.sku: line.price for line in order.lines}
        parts: list[tuple[str, Money]] = []
        fees: list[tuple[str, Money]] = []
        for item in accepted:
            price = prices.get(item.sku, usd("0.00"))
            whole = replace(price, minor=price.minor * item.quantity)
            parts.append((item.sku, whole))
            if item.condition == "damaged":
                fees.append(("condition", replace(whole, minor=whole.minor // 2)))
        total = sum(m.minor for _, m in parts) - sum(m.minor for _, m in fees)
        return Breakdown(Money(total, order.currency, 2), tuple(parts), tuple(fees))


@dataclass
class Labels:
    """Sells labels and remembers them; loses its answer, refuses or is away when told to."""

    name: str = "fake"
    bought: list[LabelRequest] = field(default_factory=list[LabelRequest])
    looked_for: list[LabelRequest] = field(default_factory=list[LabelRequest])
    voided: list[str] = field(default_factory=list[str])
    error: LabelError | None = None
    loses_answers: bool = False
    comes_back: bool = True
    expires_at: datetime | None = None
    on_buy: Callable[[], None] | None = None

    def buy(self, request: LabelRequest) -> Label:
        if self.on_buy is not None:
            self.on_buy()
        if self.error is not None:
            raise self.error
        self.bought.append(request)
        if self.loses_answers:
            raise LabelError("no answer arrived", unknown=True, retryable=True)
        return self._label(len(self.bought))

    def find(self, request: LabelRequest) -> Label | None:
        self.looked_for.append(request)
        keys = [it.key for it in self.bought]
        return self._label(keys.index(request.key) + 1) if request.key in keys else None

    def void(self, label_id: str) -> bool:
        if self.error is not None:
            raise self.error
        self.voided.append(label_id)
        return self.comes_back

    def _label(self, number: int) -> Label:
        return Label(
            self.name,
            f"label_{number}",
            b"%PDF-1.4 a label",
            tracking_number=f"TRACK{number}",
            tracking_url=f"https://track.example/{number}",
            carrier="Post",
            cost=usd("4.95"),
            expires_at=self.expires_at,
        )

    def close(self) -> None:
        pass


@dataclass
class Notifier:
    """Keeps what it is told to tell."""

    name: str = "fake"
    told: list[Notification] = field(default_factory=list[Notification])
    again: list[bool] = field(default_factory=list[bool])
    error: Exception | None = None

    def send(self, notification: Notification, *, again: bool = False) -> None:
        if self.error is not None:
            raise self.error
        self.told.append(notification)
        self.again.append(again)

    @property
    def kinds(self) -> list[str]:
        """What was told, in order."""
        return [str(notification.kind) for notification in self.told]

    def close(self) -> None:
        pass


class CarefulNotifier(Notifier):
    """Tells nothing again that it has told, as a look into the ticket's comments shows."""

    def send(self, notification: Notification, *, again: bool = False) -> None:
        if not (again and notification.key in {it.key for it in self.told}):
            super().send(notification, again=again)


@dataclass
class Merchant:
    """All parts of a merchant's workflow, for a test to set and look at."""

    rules: Rules = field(default_factory=Rules)
    orders: Orders = field(default_factory=lambda: Orders({"1234": order()}))
    labels: Labels = field(default_factory=Labels)
    notifier: Notifier = field(default_factory=Notifier)

    def parts(self, **changed: Any) -> Workflow:
        """What a connector is given."""
        return replace(
            Workflow(
                book=self.rules,
                orders=self.orders,
                labels=self.labels,
                recipient=WAREHOUSE,
                notifier=self.notifier,
            ),
            **changed,
        )
