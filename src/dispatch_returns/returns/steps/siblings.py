"""What the other returns of an order have settled, and the check that it has not changed since."""

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
    """What the other returns of the order have settled: pieces by SKU, and outbound shipping.

    ``shipping`` is in minor units; None if a person settled one of them, so it is not known.
    """

    pieces: Mapping[str, int]
    shipping: int | None

    def stored(self) -> dict[str, Any]:
        """Return it as JSON values for the store."""
        return {"pieces": dict(self.pieces), "shipping": self.shipping}

    def shipping_paid(self, earlier: Iterable[Receipt]) -> ShippingPaid | None:
        """Return the outbound shipping paid back before, with that of the `earlier` packages."""
        here = _shipping(earlier)
        if here is None or self.shipping is None:
            return None
        return ShippingPaid(here, self.shipping)


def of_others(conn: Connection, row: Return) -> Others:
    """Return what the other returns of this order have settled."""
    found = receipts.of_others(conn, row)
    return Others(pieces_of(found), _shipping(found))


def pieces_of(found: Iterable[Receipt]) -> dict[str, int]:
    """Return the number of pieces in the receipts `found`, by SKU."""
    pieces = Counter[str]()
    for receipt in found:
        for line in receipt.lines:
            pieces[line["sku"]] += line["quantity"]
    return dict(pieces)


def unless_changed(
    row: Return, seen: T, look: Callable[[Connection, Return], T]
) -> Callable[[Connection], None]:
    """Return a write that raises `OutdatedError` if `look` no longer returns `seen`.

    A decision is made before it is committed, and another worker's may come in between. Of two
    at the same time the second is made again.
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
