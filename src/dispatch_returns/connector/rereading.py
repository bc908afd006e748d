"""Reads the ticket again before a refund is sent that has waited."""

from __future__ import annotations

from sqlalchemy import Connection

from dispatch_returns.errors import TicketDeletedError
from dispatch_returns.refunds.guard import Hold
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.taken_back import deleted, taken_back
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.receipts import ReceiptState
from dispatch_returns.returns.steps.plan import US
from dispatch_returns.returns.steps.receiving import facts_of
from dispatch_returns.returns.tickets import TicketReader
from dispatch_returns.store import Store, outbox


class Rereading:
    """Decides from its ticket, as it is now, whether a waiting refund is still wanted."""

    def __init__(
        self, store: Store, tickets: TicketReader, *, refunded_status: str, review_status: str
    ) -> None:
        self._store = store
        self._tickets = tickets
        self._refunded_status = refunded_status
        self._review_status = review_status

    def __call__(self, refund: Refund) -> Hold | None:
        """Return why `refund` must not be sent, None if it may be. Raises `APIError`."""
        try:
            ticket = self._tickets.get(refund.ticket_id)
        except TicketDeletedError:
            return deleted(refund)
        return_id = records.return_id(refund.workspace_id, refund.ticket_id)
        with self._store.read() as conn:
            # A later parcel, received meanwhile, has changed the amount on the ticket.
            later = any(
                it.ordinal > refund.ordinal and it.state is not ReceiptState.NOTED
                for it in receipts.of_return(conn, return_id)
            )
            return taken_back(
                refund,
                facts_of(conn, ticket, refund.workspace_id, refund),
                status_is_ours=self._is_ours(conn, refund, ticket.status),
                amount_is_its=not later,
            )

    def _is_ours(self, conn: Connection, refund: Refund, status: str) -> bool:
        """Return whether the status is as when the refund was entered, or was set by us since."""
        if status in {self._refunded_status, refund.ticket_status}:
            return True
        if status == self._review_status and (
            refund.ticket_status is None  # a person released it without reading the ticket
            # We have set the review status, or may have, for what this refund waited for.
            or any(
                it.payload.get("review")
                and (it.finished_at is None or it.finished_at >= refund.entered_at)
                for it in outbox.of_refund(conn, refund.id)
            )
        ):
            return True
        # The engine continues with the next parcel while this one's refund waits.
        return_id = records.return_id(refund.workspace_id, refund.ticket_id)
        moves = [it for it in records.decisions_of(conn, return_id) if it.kind == "status"]
        return bool(moves) and (moves[-1].outcome, moves[-1].who) == (status, US)
