"""What other returns of an order have settled, and that nothing is decided from what is no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.policy.verdict import SHIPPING, ShippingPaid
from dispatch_returns.returns.receipts import Receipt
from dispatch_returns.returns.records import Return
from dispatch_returns.returns.steps.plan import OutdatedError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Others:
    """What other returns of the order have settled: pieces by SKU, and of the way out so much.

    ``shipping`` is in minor units, and None where a person settled, and nobody knows.
    """

    pieces: Mapping[str, int]
    shipping: int | None

    def stored(self) -> dict[str, Any]:
        """Return it as the store keeps it."""
        return {"pieces": dict(self.pieces), "shipping": self.shipping}

    def shipping_paid(self, earlier: Iterable[Receipt]) -> ShippingPaid | None:
        """Return what of the way out was paid back before, with the `earlier` parcels' share."""
        here = _shipping(earlier)
        if here is None or self.shipping is None:
            return None
        return ShippingPaid(here, self.shipping)


def of_others(conn: Connection, row: Return) -> Others:
    """Return what other returns of this order have settled."""
    found = receipts.of_others(conn, row)
    return Others(pieces_of(found), _shipping(found))


def pieces_of(found: Iterable[Receipt]) -> dict[str, int]:
    """Return how many pieces of each SKU `found` have brought."""
    pieces = Counter[str]()
    for receipt in found:
        for line in receipt.lines:
            pieces[line["sku"]] += line["quantity"]
    return dict(pieces)


def unless_changed(
    row: Return, seen: T, look: Callable[[Connection, Return], T]
) -> Callable[[Connection], None]:
    """Return the work of a commit that raises `OutdatedError` where `look` sees more than `seen`.

    A decision is made before it is committed, and another worker's may come in between. Of two
    at once the second one is made again.
    """

    def check(conn: Connection) -> None:
        if row.order_key is None:
            return
        records.look_alone(conn, row)
        if look(conn, row) != seen:
            raise OutdatedError

    return check


def _shipping(found: Iterable[Receipt]) -> int | None:
    paid = 0
    for receipt in found:
        if receipt.breakdown is None:
            return None
        paid += sum(
            money["minor"] for name, money in receipt.breakdown["parts"] if name == SHIPPING
        )
    return paid
