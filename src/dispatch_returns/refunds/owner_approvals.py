"""What a person was asked, and has approved, where a ticket's customer is not the order's.

An approval is for one ticket and one ``subject``: an order and a customer together, as a digest. It
does not cover another order or another address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, select, update

from dispatch_returns.emails import email_key
from dispatch_returns.store import keys, queue
from dispatch_returns.store.schema import owners

_PROOFS = "proofs"


@dataclass(frozen=True, slots=True)
class Question:
    """Whether the customer of a ticket may have an order that is not theirs."""

    workspace_id: str
    ticket_id: str
    subject: str


def subject_of(order_id: str, customer_email: str | None) -> str:
    """Return a digest that stands for an order and a customer, and reveals neither."""
    text = "\n".join(("owner", order_id, email_key(customer_email) or ""))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def ask(conn: Connection, question: Question, now: datetime) -> None:
    """Record that a person is asked. Once is enough."""
    values = {"workspace_id": question.workspace_id, "ticket_id": question.ticket_id}
    queue.insert_new(conn, owners, values | {"subject": question.subject, "asked_at": now})


def was_asked(conn: Connection, question: Question) -> bool:
    """Whether a person was asked exactly this."""
    return conn.execute(select(owners.c.asked_at).where(*_of(question))).first() is not None


def unanswered(conn: Connection, workspace_id: str, tickets: Sequence[str]) -> frozenset[str]:
    """Return those of `tickets` for which a person was asked, and has approved nothing yet."""
    if not tickets:
        return frozenset()
    query = select(owners.c.ticket_id, owners.c.approved_at).where(
        owners.c.workspace_id == workspace_id, owners.c.ticket_id.in_(tickets)
    )
    found = [(row[0], row[1] is not None) for row in conn.execute(query)]
    return frozenset(it for it, _ in found) - {it for it, agreed in found if agreed}


def approve(conn: Connection, question: Question, now: datetime, *, who: str) -> None:
    """Record that a person has approved what they were asked."""
    answered = update(owners).where(*_of(question), owners.c.approved_at.is_(None))
    conn.execute(answered.values(approved_at=now, who=who))


def is_approved(conn: Connection, question: Question) -> bool:
    """Whether a person has approved exactly this."""
    found = conn.execute(select(owners.c.approved_at).where(*_of(question)))
    return found.scalar_one_or_none() is not None


def _of(question: Question) -> tuple[ColumnElement[bool], ...]:
    return (
        owners.c.workspace_id == question.workspace_id,
        owners.c.ticket_id == question.ticket_id,
        owners.c.subject == question.subject,
    )


def proof_key(conn: Connection) -> bytes | None:
    """Return this installation's signing key, or None if it has none yet."""
    return keys.get(conn, _PROOFS)


def make_proof_key(conn: Connection, now: datetime) -> bytes:
    """Return this installation's signing key; make it now if there is none."""
    return keys.make(conn, _PROOFS, now)
