"""The ticket read once more before a refund is sent that has waited."""

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
from dispatch_returns.returns.tickets import Tickets
from dispatch_returns.store import Store, outbox


class Rereading:
    """Says whether people still want a refund that waits, as its ticket is now."""

    def __init__(
        self, store: Store, tickets: Tickets, *, refunded_status: str, review_status: str
    ) -> None:
        self._store = store
        self._tickets = tickets
        self._refunded_status = refunded_status
        self._review_status = review_status

    def __call__(self, refund: Refund) -> Hold | None:
        """Return why `refund` must not be sent any more, if so. Raises `APIError`."""
        try:
            ticket = self._tickets.get(refund.ticket_id)
        except TicketDeletedError:
            return deleted(refund)
        with self._store.read() as conn:
            return taken_back(
                refund,
                facts_of(conn, ticket, refund.workspace_id, refund),
                status_is_ours=self._is_ours(conn, refund, ticket.status),
                amount_is_its=not _speaks_of_a_later_parcel(conn, refund),
            )

    def _is_ours(self, conn: Connection, refund: Refund, status: str) -> bool:
        """Whether the status stood when the refund was entered, or we have set it since."""
        if status in {self._refunded_status, refund.ticket_status}:
            return True
        if status == self._review_status and _took_it_back(conn, refund):
            return True
        # The engine goes on with the next parcel while this one's refund waits.
        return_id = records.return_id(refund.workspace_id, refund.ticket_id)
        moves = [it for it in records.decisions_of(conn, return_id) if it.kind == "status"]
        return bool(moves) and (moves[-1].outcome, moves[-1].who) == (status, US)


def _took_it_back(conn: Connection, refund: Refund) -> bool:
    """Whether we have set the review status, or may have, for what this refund waited for."""
    if refund.ticket_status is None:
        return True  # a person let it go on without a look at the ticket
    return any(
        it.payload.get("review") and (it.finished_at is None or it.finished_at >= refund.entered_at)
        for it in outbox.of_refund(conn, refund.id)
    )


def _speaks_of_a_later_parcel(conn: Connection, refund: Refund) -> bool:
    """Whether the ticket's amount is a later parcel's, which was counted meanwhile."""
    return_id = records.return_id(refund.workspace_id, refund.ticket_id)
    return any(
        it.ordinal > refund.ordinal and it.state is not ReceiptState.NOTED
        for it in receipts.of_return(conn, return_id)
    )
