"""What agents and the customer are told of a return: messages for the outbox, each kept once.

Two kinds: ``note`` (only agents read it) and ``notice`` (the notifier tells the customer). A
notice carries no address: who the customer is, is read from the ticket when it is told.
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
from dispatch_returns.returns.notifications.notice import Attachment, Item, Notice, NoticeKind
from dispatch_returns.returns.records import Return
from dispatch_returns.returns.steps.documents import language_of
from dispatch_returns.returns.steps.labelling import file_name
from dispatch_returns.returns.steps.plan import Move, Told, money_json, money_of
from dispatch_returns.returns.steps.request import text_of
from dispatch_returns.returns.steps.terms import Terms
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import Store, outbox
from dispatch_returns.store.outbox import Message

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

ON_ARRIVAL: Mapping[Step, NoticeKind] = {
    Step.REQUESTED: NoticeKind.REQUESTED,
    Step.APPROVED: NoticeKind.APPROVED,
    Step.LABEL_SENT: NoticeKind.LABEL_SENT,
    Step.RECEIVED: NoticeKind.RECEIVED,
    Step.REJECTED: NoticeKind.REJECTED,
    Step.EXPIRED: NoticeKind.EXPIRED,
}
"""What the customer is told when a return comes to a step. Of the money the refund path tells."""

BEFORE_PROOF = frozenset({NoticeKind.REQUESTED, NoticeKind.IN_REVIEW, NoticeKind.REJECTED})
"""Notices that go out before it is known whose order it is, to whatever address the request has.

They repeat nothing that was written into the request (order, articles, name): else a stranger's
words, a link among them, would reach anybody's mailbox as the shop's.
"""


def tell_agents(conn: Connection, row: Return, body: str, now: datetime) -> None:
    """Leave an internal note: once for what it says, for each stay at a step."""
    what = f"{row.entered_at.isoformat()}:{body}"
    _add(conn, row, what, now, "note", body=body)


def tell_customer(conn: Connection, row: Return, told: Told, now: datetime) -> None:
    """Have the notifier tell the customer: once of each kind, for each stay at a step."""
    what = f"{told.kind}:{row.entered_at.isoformat()}"
    _add(conn, row, what, now, "notice", notice=str(told.kind), facts=_facts(row, told))


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


def told_on_arrival(row: Return, terms: Terms, move: Move | None = None) -> Told | None:
    """Return what the customer is told of a return that has just come to `row.step`.

    `move` is ours, where it was our move; what it says to people is not for the customer.
    """
    kind = ON_ARRIVAL.get(row.step)
    if kind is None:
        return None
    facts: dict[str, Any] = {}
    if move is not None:
        facts["reason"] = move.said
        facts["amount"] = None if move.amount is None else money_json(move.amount)
        facts["received_on"] = move.fields.get("received_date")
    if kind is NoticeKind.APPROVED:
        facts["keep_items"] = terms.returnless or None
    if kind is NoticeKind.LABEL_SENT:
        facts["expires_on"] = terms.expiry(row.entered_at).date().isoformat()
    return Told(kind, facts)


def _facts(row: Return, told: Told) -> dict[str, Any]:
    """Return what the notice may use, as JSON values: what is not known is left out."""
    facts: dict[str, Any] = {"return_number": row.number, **told.facts}
    if told.kind not in BEFORE_PROOF:
        facts |= {"order_id": row.order_id, "items": [dict(item) for item in row.items]}
    return {name: value for name, value in facts.items() if value is not None}


def notice_of(
    store: Store, message: Message, row: Return, ticket: Ticket, language: str, *, attached: bool
) -> Notice:
    """Return the notice that `message` asks for, with the label where one goes with it.

    `attached`: the notifier carries files; where it does not, the label may be on the ticket.
    """
    kind = NoticeKind(message.payload["notice"])
    facts = {name: _fact(name, value) for name, value in message.payload["facts"].items()}
    attachments: tuple[Attachment, ...] = ()
    if kind is NoticeKind.LABEL_SENT:
        more, attachments = _label(store, row, attached=attached)
        facts |= more
    return Notice(
        key=message.dedupe_key,
        kind=kind,
        ticket_id=row.ticket_id,
        language=language_of(ticket, language),
        facts=facts,
        email=ticket.customer_email,
        name=None if kind in BEFORE_PROOF else ticket.customer_name,
        attachments=attachments,
    )


def refund_notice(
    message: Message, refund: Refund, row: Return | None, ticket: Ticket, language: str
) -> Notice:
    """Return the notice that a refund was paid."""
    facts: dict[str, Any] = {}
    if row is not None:
        told = Told(NoticeKind.REFUNDED)
        facts = {name: _fact(name, value) for name, value in _facts(row, told).items()}
    # The ledger has the shop's own id; a customer knows the number that the ticket says.
    order_id = text_of(ticket.custom_fields.get("order_id")) or refund.order_id
    if order_id is not None:
        facts["order_id"] = order_id
    return Notice(
        key=message.dedupe_key,
        kind=NoticeKind.REFUNDED,
        ticket_id=refund.ticket_id,
        language=language_of(ticket, language),
        facts=facts | {"amount": refund.amount},
        email=ticket.customer_email,
        name=ticket.customer_name,
    )


def _label(
    store: Store, row: Return, *, attached: bool
) -> tuple[dict[str, Any], tuple[Attachment, ...]]:
    with store.read() as conn:
        usable = [
            it for it in label_records.of_return(conn, row.id) if it.state is LabelState.BOUGHT
        ]
    label = usable[-1] if usable else None
    if label is None or label.pdf is None:
        return {}, ()
    facts = {
        "carrier": label.carrier,
        "tracking_number": label.tracking_number,
        "tracking_url": label.tracking_url,
        "label_attached": attached or label.attachment_id is not None or None,
    }
    attachment = Attachment(file_name(row, label), "application/pdf", label.pdf)
    return {name: value for name, value in facts.items() if value is not None}, (attachment,)


def _fact(name: str, value: Any) -> Any:
    """Return a fact as the templates know it; the outbox keeps JSON."""
    if name in {"amount", "deduction"}:
        return money_of(value)
    if name == "items":
        return [Item(it["sku"], it["quantity"], it["sku"]) for it in value]
    if name in {"expires_on", "received_on"}:
        return _date(value)
    return value


def _date(text: str) -> date | None:
    """A warehouse writes its dates as it likes; the guide's are ISO."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None
