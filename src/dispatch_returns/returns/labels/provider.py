"""Return labels, and the protocol of those who sell or print them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from dispatch_returns.money import Money


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address. As it is a customer's data, its ``repr`` shows only the country."""

    name: str = field(repr=False)
    street: str = field(repr=False)
    city: str = field(repr=False)
    postal_code: str = field(repr=False)
    country: str
    """ISO 3166-1, two letters."""
    street2: str | None = field(default=None, repr=False)
    state: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PackingLine:
    """A line of the packing slip."""

    sku: str
    quantity: int
    title: str | None = None


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """A request for the label of one package. The same ``key`` always means the same label.

    ``created_at`` (UTC) is when the key was first stored. No label with this key is older, so a
    look-up goes back to that moment and no further. When the request is repeated it stays the
    same, and so does everything else except ``sender``, which is read from the order each time.

    ``return_number`` is printed as barcode and QR code; without a ``sender`` the customer writes
    the address by hand. ``weight`` is in grams. ``send_by`` is the last day on which the customer
    can send the package.
    """

    key: str
    ticket_id: str
    return_number: str
    recipient: Address
    sender: Address | None
    lines: tuple[PackingLine, ...]
    created_at: datetime
    order_id: str | None = None
    reason: str | None = field(default=None, repr=False)
    weight: int | None = None
    send_by: date | None = None
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Label:
    """A label. ``id`` is the provider's own; ``cost`` is what the provider charges for it."""

    provider: str
    id: str
    pdf: bytes = field(repr=False)
    tracking_number: str | None = None
    tracking_url: str | None = None
    carrier: str | None = None
    cost: Money | None = None
    expires_at: datetime | None = None


class LabelProvider(Protocol):
    """Sells or prints return labels. Each method makes one attempt and never retries.

    All of them raise `LabelError`: ``retryable``, ``unknown`` (the label may have been bought), or
    refused. After an unknown outcome `find` is called, and `buy` only if `find` returns None.
    """

    @property
    def name(self) -> str:
        """A name for people and records, such as ``easypost``."""
        ...

    def buy(self, request: LabelRequest) -> Label:
        """Buy (or print) the label of this request, or return the one bought for its key."""
        ...

    def find(self, request: LabelRequest) -> Label | None:
        """Return the label bought for ``request.key`` earlier, None if there certainly is none.

        If that is not certain, it raises `LabelError` with ``unknown``.
        """
        ...

    def void(self, label_id: str) -> bool:
        """Void an unused label; return whether its cost is refunded.

        Voiding it again returns the same.
        """
        ...

    def close(self) -> None:
        """Close the connections. May be called twice."""
        ...
