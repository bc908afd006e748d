"""Messages to customers, and the protocol of those who send them."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from dispatch_returns.money import Money


class NotificationKind(enum.StrEnum):
    """The step that a message is about. Each has its own template."""

    REQUESTED = "requested"
    APPROVED = "approved"
    IN_REVIEW = "in_review"
    REJECTED = "rejected"
    LABEL_SENT = "label_sent"
    REMINDER = "reminder"
    """The package has not arrived, and its deadline is near."""
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    RECEIVED = "received"
    REFUNDED = "refunded"
    ACCESS_CODE = "access_code"
    """A customer wants to open the portal for their order. It belongs to no ticket."""


@dataclass(frozen=True, slots=True)
class NotificationAttachment:
    """A file sent with a notification."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotificationItem:
    """An article of a return, as the customer knows it."""

    title: str
    quantity: int = 1
    sku: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one customer. Each notifier sends the same ``key`` once.

    ``ticket_id`` is empty where there is no ticket yet: such a notification can only be mailed.

    ``facts`` are the values for the templates: see `FACTS`; unknown ones are left out.
    ``language`` is a code such as ``en`` or ``de-AT``.
    """

    key: str
    kind: NotificationKind
    ticket_id: str
    language: str
    facts: Mapping[str, Any] = field(repr=False)
    email: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    attachments: tuple[NotificationAttachment, ...] = ()


FACTS: Mapping[str, str] = {
    "order_id": "text: the order's number",
    "return_number": "text: the number on the label",
    "items": "list of Item: the articles of the return",
    "amount": "Money: the refund",
    "deduction": "Money: what was kept of the price",
    "reason": "text for the customer: why it was refused, or why it is reviewed",
    "keep_items": "true if the customer keeps the articles",
    "expires_on": "date: the last day to send the package",
    "received_on": "date: when the package arrived",
    "carrier": "text: who carries the package",
    "tracking_number": "text",
    "tracking_url": "text: a page that shows where the package is",
    "label_url": "text: where the label can be downloaded",
    "label_attached": "true if the label is attached to this message or to the ticket",
    "code": "text: the code that opens the portal",
    "portal_link": "text: a link that opens the portal once",
}
"""Each value and its type. In a template, one that a notification does not have is None."""


class Notifier(Protocol):
    """Sends messages to customers. After a crash it may get the same notification again.

    Raises `NotificationError`, ``retryable`` if the notification can't be sent now.
    """

    @property
    def name(self) -> str:
        """A name for people and records, such as ``smtp``."""
        ...

    def send(self, notification: Notification, *, again: bool = False) -> None:
        """Send it. With `again` it may have been sent already: look it up if possible."""
        ...

    def close(self) -> None:
        """Close the connections. May be called twice."""
        ...


# Samples of a made-up return, to show templates with.

_ALL: dict[str, object] = {
    "order_id": "1234",
    "return_number": "RET-2026-001234",
    "items": [
        NotificationItem("Wool jumper, navy", 2, "SKU-001"),
        NotificationItem("Leather belt", 1, "SKU-002"),
    ],
    "amount": Money(14900, "EUR"),
    "expires_on": date(2026, 2, 14),
    "received_on": date(2026, 1, 21),
    "label_attached": True,
    "carrier": "DHL",
    "tracking_number": "00340434161094021501",
    "tracking_url": "https://example.com/track/00340434161094021501",
    "label_url": "https://example.com/labels/RET-2026-001234.pdf",
    "deduction": Money(490, "EUR"),
    "reason": "The article is on sale & cannot be returned <final sale>.",
    "keep_items": False,
    "code": "493025",
    "portal_link": "https://example.com/returns/open?k=sample",
}
assert _ALL.keys() == FACTS.keys()

_OF_KIND = {
    NotificationKind.REQUESTED: ("items",),
    NotificationKind.APPROVED: ("items", "amount", "deduction"),
    NotificationKind.IN_REVIEW: ("reason",),
    NotificationKind.REJECTED: ("reason",),
    NotificationKind.LABEL_SENT: (
        "items",
        "expires_on",
        "label_attached",
        "carrier",
        "tracking_number",
        "tracking_url",
    ),
    NotificationKind.REMINDER: ("expires_on", "label_url"),
    NotificationKind.EXPIRED: (),
    NotificationKind.CANCELLED: (),
    NotificationKind.RECEIVED: ("items", "amount", "received_on"),
    NotificationKind.REFUNDED: ("amount", "deduction"),
    NotificationKind.ACCESS_CODE: ("code", "portal_link"),
}


def sample(kind: NotificationKind, language: str) -> Notification:
    """Return a notification with the values that its step usually has."""
    names = ("order_id", "return_number", *_OF_KIND[kind])
    return _notification(kind, language, {name: _ALL[name] for name in names}, "Jane Doe")


def every_case(kind: NotificationKind, language: str) -> Iterator[Notification]:
    """Yield notifications with the usual values, with all, with none, and with items to keep."""
    yield sample(kind, language)
    yield _notification(kind, language, _ALL, "Jane Doe")
    yield _notification(kind, language, {}, None)
    yield _notification(kind, language, {**_ALL, "keep_items": True}, "Jane Doe")


def _notification(
    kind: NotificationKind, language: str, facts: Mapping[str, object], name: str | None
) -> Notification:
    return Notification(
        key=f"sample:{kind}",
        kind=kind,
        ticket_id="tkt_sample",
        language=language,
        facts=facts,
        email="jane@example.com",
        name=name,
    )
