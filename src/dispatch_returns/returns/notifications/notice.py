"""What is told to a customer, and who tells it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class NoticeKind(enum.StrEnum):
    """Which step is told of: each has its own template."""

    REQUESTED = "requested"
    APPROVED = "approved"
    IN_REVIEW = "in_review"
    REJECTED = "rejected"
    LABEL_SENT = "label_sent"
    REMINDER = "reminder"
    """The parcel has not arrived, and the time for it runs out."""
    EXPIRED = "expired"
    RECEIVED = "received"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a notice."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Item:
    """An article of a return, as a customer knows it."""

    title: str
    quantity: int = 1
    sku: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one customer. The same ``key`` is told once by each notifier.

    ``facts`` are what the templates may use: see `FACTS`; one that is unknown is left out.
    ``language`` is a code such as ``en`` or ``de-AT``.
    """

    key: str
    kind: NoticeKind
    ticket_id: str
    language: str
    facts: Mapping[str, Any] = field(repr=False)
    email: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    attachments: tuple[Attachment, ...] = ()


FACTS: Mapping[str, str] = {
    "order_id": "text: the order's number",
    "return_number": "text: what stands on the label",
    "items": "list of Item: what comes back",
    "amount": "Money: what is paid back, or was",
    "deduction": "Money: what was kept back of the price",
    "reason": "text for the customer: why it was refused, or why it is looked at",
    "keep_items": "true where nothing needs to be sent back",
    "expires_on": "date: the last day to send the parcel",
    "received_on": "date: when the parcel arrived",
    "carrier": "text: who carries the parcel",
    "tracking_number": "text",
    "tracking_url": "text: a page that shows where the parcel is",
    "label_url": "text: where the label can be fetched",
    "label_attached": "true where the label is attached to this message or to the ticket",
}
"""Each fact and its type. A template finds None for one that a notice does not have."""


class Notifier(Protocol):
    """Tells customers. It may be asked again with the same notice after a crash.

    Raises `NoticeError`: ``retryable`` when it cannot be told now.
    """

    @property
    def name(self) -> str:
        """A word for people and records, such as ``smtp``."""
        ...

    def send(self, notice: Notice, *, again: bool = False) -> None:
        """Tell `notice`. With `again` it may have been told: look first, where that is possible."""
        ...

    def close(self) -> None:
        """Close its connections. May be called twice."""
        ...
