"""The input of a policy: plain values without customers' data, stored with the verdict.

Deciding again from the stored values gives the same verdict, so a policy may decide from
nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from dispatch_returns.emails import email_key
from dispatch_returns.errors import WorkflowError
from dispatch_returns.money import Money
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.orders.records import in_steps
from dispatch_returns.returns.policy.keys import rule_of, word
from dispatch_returns.returns.policy.verdict import History, Item, ReturnRequest

Listed = Literal["block", "allow"]
_Count = Annotated[int, Field(ge=0)]
_NOTHING: Mapping[str, int] = {}


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Article(_Plain):
    """All pieces of one SKU in an order, and what was paid for all of them, in minor units.

    ``removed`` counts those that the shop took out of the order or has paid back.
    """

    sku: str
    quantity: Annotated[int, Field(ge=1)]
    paid: _Count
    removed: _Count = 0
    category: str | None = None
    final_sale: bool = False


class OrderFacts(_Plain):
    """An order as a policy sees it. Amounts are in minor units, multiples of the currency's step.

    ``problem`` is why a person must review it before anything is refunded (`Order.problem`).
    """

    id: str
    currency: str
    decimals: _Count
    shipping: _Count
    fees: _Count = 0
    articles: tuple[Article, ...]
    placed_at: AwareDatetime
    shipped_at: AwareDatetime | None = None
    delivered_at: AwareDatetime | None = None
    country: str | None = None
    problem: str | None = None

    @classmethod
    def of(cls, order: Order, returned: Mapping[str, int] = _NOTHING) -> Self:
        """Return what a policy sees of `order`. Lines with the same SKU become one article.

        ``returned`` counts the pieces, by SKU, that came back in our own returns.
        """
        skus = list(dict.fromkeys(line.sku for line in order.lines))
        by_sku = {sku: [line for line in order.lines if line.sku == sku] for sku in skus}
        paid = [sum(order.paid(line).minor for line in by_sku[sku]) for sku in skus]
        charges = [order.shipping.minor, 0 if order.fees is None else order.fees.minor]
        *paid, shipping, fees = in_steps([*paid, *charges], rule_of(order.shipping).step)
        return cls(
            id=order.number or order.id,
            currency=order.currency,
            decimals=order.shipping.decimals,
            shipping=shipping,
            fees=fees,
            articles=tuple(
                Article(
                    sku=sku,
                    quantity=sum(line.quantity for line in by_sku[sku]),
                    paid=amount,
                    removed=sum(line.removed for line in by_sku[sku]),
                    category=next((word(x.category) for x in by_sku[sku] if x.category), None),
                    final_sale=any(line.final_sale for line in by_sku[sku]),
                )
                for sku, amount in zip(skus, paid, strict=True)
            ),
            placed_at=order.placed_at,
            shipped_at=order.shipped_at,
            delivered_at=order.delivered_at,
            country=order.country,
            problem=order.problem(returned),
        )

    def article(self, sku: str) -> Article | None:
        """Return an article by its SKU."""
        return next((article for article in self.articles if article.sku == sku), None)

    def money(self, minor: int) -> Money:
        """Return an amount of the order's currency."""
        return Money(minor, self.currency, self.decimals)


class FactItem(_Plain):
    """A quantity of one article, in a condition."""

    sku: str
    quantity: Annotated[int, Field(ge=1)]
    condition: str | None = None


class PolicyFacts(_Plain):
    """Everything that a verdict depends on, besides the policy.

    ``listed`` is the list of the policy that the customer is on. Who they are is not stored.
    """

    order: OrderFacts | None
    items: tuple[FactItem, ...]
    reason: str | None
    requested_at: AwareDatetime
    listed: Listed | None = None
    earlier_returns: tuple[AwareDatetime, ...] = ()
    returned: dict[str, _Count] = Field(default_factory=dict)
    unclear: str | None = None

    @classmethod
    def of(
        cls,
        request: ReturnRequest,
        order: Order | None,
        history: History,
        listed: Listed | None = None,
    ) -> Self:
        """Return the input for a decision on `request`."""
        return cls(
            order=None if order is None else OrderFacts.of(order, history.returned),
            items=merged(request.items),
            reason=None if request.reason is None else word(request.reason),
            requested_at=request.requested_at,
            listed=listed,
            earlier_returns=tuple(sorted(history.returns_by_age)),
            returned={sku: count for sku, count in sorted(history.returned.items()) if count},
            unclear=request.unclear,
        )

    @classmethod
    def kept(cls, values: Mapping[str, Any]) -> Self:
        """Read the input of a stored verdict. Raises `WorkflowError` if it can't be read."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            where = ".".join(str(step) for step in error.errors()[0]["loc"])
            raise WorkflowError(
                f"the stored input of the verdict can't be read ({where}): it was written by"
                " another version of dispatch-returns. Decide again instead."
            ) from None


def merged(items: Sequence[Item]) -> tuple[FactItem, ...]:
    """Return `items` with equal ones added up, in their order, without those of zero pieces."""
    counts: dict[tuple[str, str | None], int] = {}
    for item in items:
        key = (item.sku, None if item.condition is None else word(item.condition))
        counts[key] = counts.get(key, 0) + item.quantity
    return tuple(
        FactItem(sku=sku, quantity=count, condition=condition)
        for (sku, condition), count in counts.items()
        if count > 0
    )


def list_entries(customer: str) -> frozenset[str]:
    """Return how a policy's lists can name `customer`: in plain text or by a hash.

    The hash is ``sha256:`` and the hexadecimal SHA-256 of the id or address in lower case.
    """
    plain = email_key(customer) or ""
    digest = hashlib.sha256(plain.encode(errors="replace")).hexdigest()
    return frozenset({plain, f"sha256:{digest}"})
