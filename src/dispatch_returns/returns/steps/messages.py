"""Messages about a return, to agents and to the customer, each put into the outbox once.

There are two kinds: a ``note``, which only agents read, and a ``notification``, which the notifier
sends to the customer. A notification has no address: the customer is read from the ticket when it
is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.returns import label_records
from dispatch_returns.returns.label_records import LabelState
from dispatch_returns.returns.notifications.notification import (
    Notification,
    NotificationAttachment,
    NotificationItem,
    NotificationKind,
)
from dispatch_returns.returns.records import Return
from dispatch_returns.returns.steps.labelling import file_name, language_of
from dispatch_returns.returns.steps.plan import CustomerNotification, Move, money_json, money_of
from dispatch_returns.returns.steps.request import text_of
from dispatch_returns.returns.steps.terms import ReturnTerms
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import Store, outbox
from dispatch_returns.store.outbox import Message

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

ON_ARRIVAL: Mapping[Step, NotificationKind] = {
    Step.REQUESTED: NotificationKind.REQUESTED,
    Step.APPROVED: NotificationKind.APPROVED,
    Step.LABEL_SENT: NotificationKind.LABEL_SENT,
    Step.RECEIVED: NotificationKind.RECEIVED,
    Step.REJECTED: NotificationKind.REJECTED,
    Step.EXPIRED: NotificationKind.EXPIRED,
    Step.CANCELLED: NotificationKind.CANCELLED,
}
"""The notification for each step that a return comes to; the refund has its own."""

BEFORE_PROOF = frozenset(
    {NotificationKind.REQUESTED, NotificationKind.IN_REVIEW, NotificationKind.REJECTED}
)
"""Notifications that go to the request's address before the owner of the order is known.

They repeat nothing from the request (order, articles, name). Otherwise a stranger could send any
text, even a link, to any mailbox in the shop's name.
"""


def add_note(conn: Connection, row: Return, body: str, now: datetime) -> None:
    """Leave an internal note for agents: the same text once for each stay at a step."""
    what = f"{row.entered_at.isoformat()}:{body}"
    _add(conn, row, what, now, "note", body=body)


def add_notification(
    conn: Connection, row: Return, notification: CustomerNotification, now: datetime
) -> None:
    """Have a notification sent to the customer: one of each kind for each stay at a step."""
    what = f"{notification.kind}:{row.entered_at.isoformat()}"
    _add(
        conn,
        row,
        what,
        now,
        "notification",
        notification=str(notification.kind),
        facts=_facts(row, notification),
    )


def _add(
    conn: Connection, row: Return, what: str, now: datetime, kind: str, **payload: Any
) -> None:
    digest = hashlib.sha256(what.encode()).hexdigest()[:16]
    message = outbox.NewMessage(
        dedupe_key=f"{row.id}-{kind}-{digest}",
        kind=kind,
        workspace_id=row.workspace_id,
        ticket_id=row.ticket_id,
        payload=payload,
    )
    outbox.add(conn, message, now)


def notification_on_arrival(
    row: Return, terms: ReturnTerms, move: Move | None = None
) -> CustomerNotification | None:
    """Return the customer's notification about a return that has just come to `row.step`, if any.

    `move` is our own move, if it was one; its `reason` is not for the customer.
    """
    kind = ON_ARRIVAL.get(row.step)
    if kind is None:
        return None
    facts: dict[str, Any] = {}
    if move is not None:
        facts["reason"] = move.for_customer
        facts["amount"] = None if move.amount is None else money_json(move.amount)
        facts["received_on"] = move.fields.get("received_date")
    if kind is NotificationKind.APPROVED:
        facts["keep_items"] = terms.returnless or None
    if kind is NotificationKind.LABEL_SENT:
        facts["expires_on"] = terms.expiry(row.entered_at).date().isoformat()
    return CustomerNotification(kind, facts)


def _facts(row: Return, notification: CustomerNotification) -> dict[str, Any]:
    """Return the values for a notification's template, as JSON values, without unknown ones."""
    facts: dict[str, Any] = {"return_number": row.number, **notification.facts}
    if notification.kind not in BEFORE_PROOF:
        facts |= {"order_id": row.order_id, "items": [dict(item) for item in row.items]}
    return {name: value for name, value in facts.items() if value is not None}


def notification_of(
    store: Store, message: Message, row: Return, ticket: Ticket, language: str, *, attached: bool
) -> Notification:
    """Return the notification of `message`, with the label if it is about one.

    `attached`: the notifier sends files. If it does not, the label may be on the ticket.
    """
    kind = NotificationKind(message.payload["notification"])
    facts = {name: _fact(name, value) for name, value in message.payload["facts"].items()}
    attachments: tuple[NotificationAttachment, ...] = ()
    if kind is NotificationKind.LABEL_SENT:
        with store.read() as conn:
            known = label_records.of_return(conn, row.id)
        usable = [label for label in known if label.state is LabelState.BOUGHT]
        label = usable[-1] if usable else None
        if label is not None and label.pdf is not None:
            of_label = {
                "carrier": label.carrier,
                "tracking_number": label.tracking_number,
                "tracking_url": label.tracking_url,
                "label_attached": attached or label.attachment_id is not None or None,
            }
            facts |= {name: value for name, value in of_label.items() if value is not None}
            attachments = (
                NotificationAttachment(file_name(row, label), "application/pdf", label.pdf),
            )
    return Notification(
        key=message.dedupe_key,
        kind=kind,
        ticket_id=row.ticket_id,
        language=language_of(ticket, language),
        facts=facts,
        email=ticket.customer_email,
        name=None if kind in BEFORE_PROOF else ticket.customer_name,
        attachments=attachments,
    )


def refund_notification(
    message: Message, refund: Refund, row: Return | None, ticket: Ticket, language: str
) -> Notification:
    """Return the notification that a refund was paid."""
    facts: dict[str, Any] = {}
    if row is not None:
        notification = CustomerNotification(NotificationKind.REFUNDED)
        facts = {name: _fact(name, value) for name, value in _facts(row, notification).items()}
    # The ledger has the shop's own id; the customer knows the number on the ticket.
    order_id = text_of(ticket.custom_fields.get("order_id")) or refund.order_id
    if order_id is not None:
        facts["order_id"] = order_id
    return Notification(
        key=message.dedupe_key,
        kind=NotificationKind.REFUNDED,
        ticket_id=refund.ticket_id,
        language=language_of(ticket, language),
        facts=facts | {"amount": refund.amount},
        email=ticket.customer_email,
        name=ticket.customer_name,
    )


def _fact(name: str, value: Any) -> Any:
    """Return a value in the type that templates expect; the outbox stores JSON."""
    if name in {"amount", "deduction"}:
        return money_of(value)
    if name == "items":
        return [NotificationItem(it["sku"], it["quantity"], it["sku"]) for it in value]
    if name in {"expires_on", "received_on"}:
        try:
            return date.fromisoformat(value[:10])
        except ValueError:  # a warehouse may write a date in any form
            return None
    return value
