"""The owner of a ticket's order: by the order's source, a proof, or a person's decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns.clock import Clock
from dispatch_returns.emails import same_email
from dispatch_returns.refunds import owner_approvals
from dispatch_returns.refunds.orders import NOT_ASKED, OrderRecord
from dispatch_returns.refunds.owner import NOT_KNOWN, PROOF, Owner, Standing, proves, sign
from dispatch_returns.refunds.owner_approvals import Question
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.returns.orders.model import Order, OrderSource
from dispatch_returns.returns.orders.registry import is_shop
from dispatch_returns.store import Store

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket


class Owners:
    """Compares the customer of a ticket with that of its order. Safe to use in many threads."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def proof(self, order_id: str) -> str:
        """Return the proof that a ticket for this order has in its field `PROOF`."""
        with self._store.read() as conn:
            key = owner_approvals.proof_key(conn)
        if key is None:
            now = self._clock()
            key = self._store.write(
                "owner.key", lambda conn: owner_approvals.make_proof_key(conn, now)
            )
        return sign(key, order_id)

    def of(
        self, order: Order | None, ticket: Ticket, workspace_id: str, order_id: str | None
    ) -> Owner:
        """Return the owner of `order`, as it concerns `ticket`.

        `order_id` is the order's id as the ticket spells it.
        """
        if order is None:
            return NOT_KNOWN
        subject = owner_approvals.subject_of(order.id, ticket.customer_email)
        email = order.customer_email
        if same_email(email, ticket.customer_email):
            return Owner(Standing.OWNER, subject, email)
        proof = ticket.custom_fields.get(PROOF)
        with self._store.read() as conn:
            key = owner_approvals.proof_key(conn) if proof else None
            if key is not None and proves(key, proof, (order_id, order.id, order.number)):
                standing = Standing.PROVEN
            elif email is None:
                standing = Standing.UNKNOWN
            elif owner_approvals.is_approved(conn, Question(workspace_id, ticket.id, subject)):
                standing = Standing.APPROVED
            else:
                standing = Standing.DIFFERS
        return Owner(standing, subject, email)


class OrderRecords:
    """What the order sources know about a refund's order; `orders` is None without a source.

    Safe to use in many threads.
    """

    def __init__(self, orders: OrderSource | None, owners: Owners) -> None:
        self._orders = orders
        self._owners = owners

    def of_facts(self, facts: TicketFacts) -> OrderRecord:
        """Return what is known about the order that a ticket names. Raises `OrderError`."""
        if self._orders is None:
            return NOT_ASKED
        order: Order | None = None
        if facts.order_id is not None:
            order = self._orders.order(facts.order_id, facts.ticket)
        owner = self._owners.of(order, facts.ticket, facts.workspace_id, facts.order_id)
        if order is None or order.from_ticket:
            # An order that only the ticket describes is no record of the shop.
            return OrderRecord(missing=is_shop(self._orders), owner=owner)
        names = (order.id, order.number, facts.order_id)
        known = tuple(name for name in names if name is not None)
        return OrderRecord(known, order.payment, owner=owner)
