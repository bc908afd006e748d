"""Whose order a ticket is about: the order's source, a proof, or a person says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns.clock import Clock
from dispatch_returns.emails import same_email
from dispatch_returns.refunds import owners
from dispatch_returns.refunds.owner import NOT_KNOWN, PROOF, Owner, Standing, proves, sign
from dispatch_returns.refunds.owners import Question
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.store import Store

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket


class Owners:
    """Compares a ticket's customer with the order's. Safe to use in many threads."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def proof(self, order_id: str) -> str:
        """Return what a ticket for this order carries in the field `PROOF`."""
        with self._store.read() as conn:
            key = owners.proof_key(conn)
        if key is None:
            now = self._clock()
            key = self._store.write("owner.key", lambda conn: owners.make_proof_key(conn, now))
        return sign(key, order_id)

    def of(
        self, order: Order | None, ticket: Ticket, workspace_id: str, order_id: str | None
    ) -> Owner:
        """Return whose `order` it is; `order_id` is what the ticket calls it."""
        if order is None:
            return NOT_KNOWN
        subject = owners.subject_of(order.id, ticket.customer_email)
        question = Question(workspace_id, ticket.id, subject)
        return Owner(
            self._standing(order, ticket, order_id, question), subject, order.customer_email
        )

    def _standing(
        self, order: Order, ticket: Ticket, order_id: str | None, question: Question
    ) -> Standing:
        if same_email(order.customer_email, ticket.customer_email):
            return Standing.OWNER
        proof = ticket.custom_fields.get(PROOF)
        with self._store.read() as conn:
            key = owners.proof_key(conn) if proof else None
            if key is not None and proves(key, proof, (order_id, order.id, order.number)):
                return Standing.PROVEN
            if order.customer_email is None:
                return Standing.UNKNOWN
            approved = owners.is_approved(conn, question)
        return Standing.APPROVED if approved else Standing.DIFFERS
