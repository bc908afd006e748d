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
class Notice:
    """One message to one customer. The same ``key`` is told once.

    ``facts`` are what the templates may use: ``order_id``, ``return_number``, ``items``,
    ``amount``, ``reason``, ``expires_on``, ``tracking_url`` ...; ``language`` is a code such
    as ``en``.
    """

    key: str
    kind: NoticeKind
    ticket_id: str
    language: str
    facts: Mapping[str, Any] = field(repr=False)
    email: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    attachments: tuple[Attachment, ...] = ()


class Notifier(Protocol):
    """Tells customers. It may be asked again with the same notice after a crash.

    Raises `NoticeError`: ``retryable`` when it cannot be told now.
    """

    @property
    def name(self) -> str:
        """A word for people and records, such as ``smtp``."""
        ...

    def send(self, notice: Notice) -> None:
        """Tell `notice`, or do nothing where this key was certainly told before."""
        ...
