"""The processor's events: what each is about is looked up first, then written in one commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    InvalidArgumentError,
    LeaseLostError,
    NotShownError,
    TicketDeletedError,
)
from dispatch_returns.refunds import external
from dispatch_returns.refunds.adapter import KnownRefund, SupportsWebhooks
from dispatch_returns.refunds.decision import RefundDecision
from dispatch_returns.refunds.service import RefundService
from dispatch_returns.refunds.sync import PaymentRefunds, Reconciled, RefundSync, moves
from dispatch_returns.returns.steps.receiving import facts_of
from dispatch_returns.returns.tickets import TicketReader
from dispatch_returns.store import go_live
from dispatch_returns.store.inbox import StoredEvent


@dataclass(frozen=True, slots=True)
class Found:
    """What an event of an adapter's processor is about.

    Refunds as they are now, and tickets without a row. ``claims``: see `PaymentRefunds`.
    """

    adapter: str
    refunds: list[KnownRefund]
    entries: list[RefundDecision]
    claims: Mapping[str, int] | None = None


class ProcessorEvents:
    """Looks up what a processor's event is about, and writes what follows."""

    def __init__(
        self,
        tickets: TicketReader,
        refunds: RefundService,
        *,
        workspace: Callable[[], str],
        refunded_status: str,
    ) -> None:
        self._tickets = tickets
        self._refunds = refunds
        self.adapters = refunds.adapters
        self._workspace = workspace
        self._refunded_status = refunded_status
        self.sync = {name: RefundSync(refunds, name, workspace) for name in refunds.adapters}

    def look_up(self, stored: StoredEvent, *, patient: bool = True) -> Found:
        """Return what an event is about. Raises `EventError`, `APIError`, `AdapterError`.

        `patient`: a ticket that the API does not show raises `NotShownError`. Otherwise it is
        skipped, and what the event says about other tickets still counts.
        """
        name = stored.source
        adapter: object = self.adapters.get(name)
        if not isinstance(adapter, SupportsWebhooks):
            raise AdapterError(ErrorKind.CONFIG, f"waits for the adapter {name}")
        update = adapter.parse_event(stored.body)
        if update is None:
            return Found(name, [], [])
        return self.found(name, self.sync[name].ask(update), patient=patient)

    def found(self, name: str, answer: PaymentRefunds, *, patient: bool = True) -> Found:
        """Return what to write for the answer of an adapter's processor. `patient`: see `look_up`.

        Raises `APIError`, `AdapterError`.
        """
        entries: list[RefundDecision] = []
        for ticket_id in sorted(self.sync[name].missing(answer.refunds)):
            try:
                decision = self.decide(ticket_id)
            except NotShownError:
                if patient:
                    raise
                continue
            if decision is not None:
                entries.append(decision)
        return Found(name, answer.refunds, entries, answer.claims)

    def write(self, conn: Connection, found: Found) -> list[Reconciled]:
        """Write what follows, inside a transaction; return the result for each refund.

        Raises `LeaseLostError` if a call is running, whose outcome must be written first, or if
        the processor must be asked again.
        """
        # All payments are locked before any row, as when a refund is entered or approved.
        payments = {found.adapter: {ref.id for it in found.refunds for ref in it.payments}}
        for it in found.entries:
            payments.setdefault(it.adapter or found.adapter, set()).update(it.payment_ids)
        for name in sorted(payments):
            external.look_alone(conn, name, payments[name])
        for decision in found.entries:
            self._refunds.intake.enter(conn, decision)
        # Failed refunds come first, so that an attempt made after one stands. External refunds
        # come last, when the rows already show the state of ours.
        refunds = sorted(found.refunds, key=lambda it: (moves(it), it.refund_id is None))
        sync = self.sync[found.adapter]
        reconciled = [sync.reconcile(conn, known, found.claims) for known in refunds]
        if Reconciled.BUSY in reconciled:
            raise LeaseLostError("a call for this payment is running, or its row has just changed")
        return reconciled

    def decide(self, ticket_id: str) -> RefundDecision | None:
        """Decide about a ticket as its own event would, because the store may have lost its row.

        Raises `NotShownError` while the API does not show the ticket's latest change.
        """
        try:
            ticket = self._tickets.get(ticket_id)
        except (TicketDeletedError, InvalidArgumentError):
            return None
        if ticket.status != self._refunded_status:
            return None
        with self._refunds.store.read() as conn:
            if not go_live.is_complete(conn, self._workspace()):
                return None  # it is not known yet whether it was settled before
            facts = facts_of(conn, ticket, self._workspace())
        return self._refunds.intake.evaluate(facts)
