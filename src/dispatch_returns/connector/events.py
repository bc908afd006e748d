"""From an accepted event to what follows from it, in one commit.

The event says only that something happened to a ticket. What follows is decided from the ticket
as the API returns it now, so late, repeated and reordered events are harmless.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.client import Ticket
from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.connector.handlers import Handlers
from dispatch_returns.connector.installation import Installation
from dispatch_returns.connector.processor_events import ProcessorEvents
from dispatch_returns.errors import (
    AdapterError,
    APIError,
    APIResponseError,
    EventError,
    InvalidArgumentError,
    LeaseLostError,
    NotShownError,
    TicketDeletedError,
)
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.decision import RefundDecision
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.service import RefundService
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.returns.steps.engine import ReturnsEngine
from dispatch_returns.returns.tickets import PATIENCE, TEST_EVENT, TicketReader
from dispatch_returns.store import Store, go_live, inbox, outbox
from dispatch_returns.store.inbox import EventState, StoredEvent
from dispatch_returns.store.queue import Share, backoff, failing_since
from dispatch_returns.telemetry import Span, ids
from dispatch_returns.webhooks.events import Event, TicketUpdated, parse
from dispatch_returns.webhooks.receiver import DISPATCH

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What follows from an event: a refund, or a step of a return, or neither."""

    refund: RefundDecision | None = None
    returned: Ticket | None = None
    deleted: bool = False
    """Its ticket was deleted."""
    elsewhere: bool = False
    """Its ticket is not `refunded`, so it no longer counts as settled before go-live."""


class EventProcessor:
    """Processes one event at a time. Safe to run in many threads.

    With a `returns` engine, the engine handles the tickets of returns, refunds included. Without
    one, tickets that are `refunded` are paid back and nothing else is done.
    """

    def __init__(
        self,
        store: Store,
        tickets: TicketReader,
        refunds: RefundService,
        handlers: Handlers,
        *,
        installation: Installation,
        returns: ReturnsEngine | None = None,
        refunded_status: str = "refunded",
        lease: timedelta = timedelta(minutes=3),
        first_retry: timedelta = timedelta(seconds=5),
        patience: timedelta = PATIENCE,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._tickets = tickets
        self._refunds = refunds
        self._handlers = handlers
        self._installation = installation
        self._returns = returns
        self._refunded_status = refunded_status
        self._lease = lease
        self._first_retry = first_retry
        self._patience = patience
        self._clock = clock
        self.processor_events = ProcessorEvents(
            tickets, refunds, workspace=installation.workspace, refunded_status=refunded_status
        )

    def claim(self, limit: int, which: Share | None = None) -> list[StoredEvent]:
        """Claim up to `limit` events that are due; `which`: only those of some senders."""
        workspace = self._installation.workspace()
        return self._store.write(
            "event.claim",
            lambda conn: inbox.claim(
                conn, self._clock(), self._lease, limit, workspace, which=which
            ),
        )

    def process(self, stored: StoredEvent) -> None:
        """Process a claimed event; postpone it if that is not possible now."""
        seen = {"event_id": stored.event_id, "ticket_id": stored.ticket_id}
        try:
            with telemetry.span("process_event", **seen, event_type=stored.type) as span:
                self._process(stored, span)
        except LeaseLostError:
            log.info(
                "event %s was taken over by another worker", stored.event_id, extra=_ids(stored)
            )

    def _process(self, stored: StoredEvent, span: Span) -> None:
        if stored.source != DISPATCH:
            self._process_from_processor(stored)
            return
        if not self._is_ours(stored):
            return
        try:
            # With its data, so that a field of another type stops the event before its handlers.
            event = parse(stored.body).read()
        except EventError as error:
            self._keep_unreadable(stored, error)
            return
        try:
            outcome = self._decide(event, stored)
        except EventError as error:
            self._keep_unreadable(stored, error)
        except (APIError, AdapterError) as error:
            if isinstance(error, NotShownError | APIResponseError) and self._is_over(stored, error):
                self._set_aside(stored, event, error)
            else:
                self._postpone(stored, error)
        else:
            try:
                entered, sending = self._store.write(
                    "event.done", lambda conn: self._write(conn, stored, event, outcome)
                )
            except ledger.TakenError as error:
                # Another ticket has adopted the refund that this one found: decide again.
                self._postpone_for(stored, f"{error}")
                return
            refund_id = None if entered is None else entered.id
            span.set(refund_id=refund_id)
            log.info(
                "event %s is done", stored.event_id, extra=_ids(stored) | {"refund_id": refund_id}
            )
            if sending is not None:
                self._refunds.carry_out(sending)

    def _is_ours(self, stored: StoredEvent) -> bool:
        """Return whether an event is for this workspace; leave others to their own workers."""
        name = stored.workspace_id
        try:
            if name is None or self._installation.owns(name, stored.ticket_id):
                return True
        except APIError as error:
            self._postpone(stored, error)
            return False
        self._store.write("event.left", lambda conn: inbox.leave(conn, stored, self._clock()))
        return False

    def _process_from_processor(self, stored: StoredEvent) -> None:
        """Process an event that the payment processor has sent."""
        try:
            try:
                found = self.processor_events.look_up(stored)
            except NotShownError as error:
                if not self._is_over(stored, error):
                    raise
                log.warning(
                    "event %s: %s. What it says about this ticket is ignored",
                    stored.event_id,
                    error.message,
                    extra=_ids(stored),
                )
                found = self.processor_events.look_up(stored, patient=False)
        except EventError as error:
            self._keep_unreadable(stored, error)
            return
        except (APIError, AdapterError) as error:
            self._postpone(stored, error)
            return

        def record(conn: Connection) -> None:
            self.processor_events.write(conn, found)
            inbox.finish(conn, stored, self._clock())

        try:
            self._store.write("event.done", record)
        except LeaseLostError as error:
            # It arrived before our own commit, or during another worker's: process it again.
            self._postpone_for(stored, str(error))
        else:
            for known in found.refunds:
                about = ids(
                    event_id=stored.event_id, ticket_id=known.ticket_id, refund_id=known.refund_id
                )
                log.info("event %s is done", stored.event_id, extra=about)

    def _decide(self, event: Event, stored: StoredEvent) -> _Outcome:
        """Read the event's ticket and decide what follows."""
        if event.ticket_id is None:
            return _Outcome()
        try:
            ticket = self._tickets.get(event.ticket_id)
        except TicketDeletedError:
            extra = ids(event_id=event.id, ticket_id=event.ticket_id)
            log.info("event %s is about a ticket that was deleted", event.id, extra=extra)
            return _Outcome(deleted=True)
        except NotShownError:
            if event.id.startswith(TEST_EVENT):
                return _Outcome()  # `dispatch-returns trigger` made it up
            raise
        except InvalidArgumentError:
            raise EventError("the ticket's id can't be one of the API's") from None
        elsewhere = ticket.status != self._refunded_status
        if self._returns is not None and self._returns.is_return(ticket):
            return _Outcome(returned=ticket, elsewhere=elsewhere)
        if elsewhere:
            return _Outcome(elsewhere=True)
        facts = TicketFacts.of(ticket, self._installation.workspace())
        try:
            return _Outcome(refund=self._refunds.intake.evaluate(facts))
        except AdapterError as error:
            if not self._is_over(stored, error):
                raise
            # The customer is waiting, so a person must act; until then nothing more is looked up.
            return _Outcome(
                refund=RefundDecision(facts, hold=Hold(Reason.UNREACHABLE, error.message))
            )

    def _write(
        self,
        conn: Connection,
        stored: StoredEvent,
        event: Event,
        outcome: _Outcome,
        *,
        set_aside: str | None = None,
    ) -> tuple[Refund | None, Refund | None]:
        """Write what follows from the event.

        Return its refund, and the same again if it is to be sent now. `set_aside` is the reason
        why nothing follows but the calls of its handlers.
        """
        now = self._clock()
        entered: Refund | None = None
        sending: Refund | None = None
        workspace = self._installation.workspace()
        if outcome.elsewhere and event.ticket_id is not None:
            go_live.release(conn, workspace, event.ticket_id)
        if outcome.refund is not None:
            entered, sending = self._refunds.enter(conn, outcome.refund)
            changed = isinstance(event, TicketUpdated) and "status" in event.data.changes
            if entered is None and changed:
                # Say why, once: a person may have just set it to `refunded`.
                status = self._refunded_status
                self._add_note(
                    conn,
                    stored,
                    f"settled-before-{workspace}-{stored.ticket_id}",
                    f"Nothing was paid now: this ticket was {status} already when this installation"
                    f" went live or its database was restored from a backup, so it may have been"
                    f" paid before: look at the processor. If it should be paid, set it to another"
                    f" status, wait a minute, and set it to {status} again, or run:"
                    f" dispatch-returns refunds pay {stored.ticket_id}",
                )
        if outcome.returned is not None and self._returns is not None:
            # An old ticket may become a return: the day on which it does counts for the window.
            requested_at = event.timestamp
            if event.type == "ticket.created":
                requested_at = min(requested_at, outcome.returned.created_at or requested_at)
            self._returns.note_change(conn, outcome.returned, requested_at)
        if outcome.deleted and self._returns is not None and event.ticket_id is not None:
            self._returns.note_deletion(conn, event.ticket_id)
        for name in self._handlers.names(event.type):
            message = outbox.NewMessage(
                dedupe_key=f"event-{stored.id}-{name}",
                kind="handler",
                workspace_id=workspace,
                ticket_id=event.ticket_id,
                payload={"event": stored.id, "type": event.type, "handler": name},
            )
            outbox.add(conn, message, now)
        state = EventState.DONE if set_aside is None else EventState.NOT_SHOWN
        inbox.finish(conn, stored, now, state, set_aside)
        return entered, sending

    def _is_over(self, stored: StoredEvent, error: APIError | AdapterError) -> bool:
        """Return whether it has failed in this way for so long that a person must look."""
        now = self._clock()
        since = failing_since(stored.failing_since, stored.error, _with_kind(error), now)
        return now - since >= self._patience

    def _set_aside(
        self, stored: StoredEvent, event: Event, error: NotShownError | APIResponseError
    ) -> None:
        """Call the handlers of an event and do nothing else, and report it."""
        log.error(
            "event %s is set aside: for %s %s. Check the ticket, then run:"
            " dispatch-returns events replay %s",
            stored.event_id,
            self._patience,
            "the API has not shown the event's change"
            if isinstance(error, NotShownError)
            else "the ticket could not be read",
            stored.id,
            extra=_ids(stored),
        )
        why = _with_kind(error)

        def record(conn: Connection) -> None:
            self._write(conn, stored, event, _Outcome(), set_aside=why)
            if isinstance(error, APIResponseError):
                self._add_note(
                    conn,
                    stored,
                    f"unreadable-{stored.id}",
                    "Nothing is done for this ticket: some of its fields could not be read for a"
                    " day. The log and dispatch-returns events list name them. Correct them, then"
                    f" run: dispatch-returns events replay {stored.id}",
                )

        self._store.write("event.set_aside", record)

    def _add_note(self, conn: Connection, stored: StoredEvent, key: str, body: str) -> None:
        message = outbox.NewMessage(
            dedupe_key=key,
            kind="note",
            workspace_id=self._installation.workspace(),
            ticket_id=stored.ticket_id,
            payload={"body": body},
        )
        outbox.add(conn, message, self._clock())

    def _keep_unreadable(self, stored: StoredEvent, error: EventError) -> None:
        log.warning(
            "event %s is kept as unreadable: %s", stored.event_id, error, extra=_ids(stored)
        )
        self._store.write(
            "event.unreadable", lambda conn: inbox.set_unreadable(conn, stored, str(error))
        )

    def _postpone(self, stored: StoredEvent, error: APIError | AdapterError) -> None:
        log.warning(
            "event %s is postponed: %s", stored.event_id, type(error).__name__, extra=_ids(stored)
        )
        self._postpone_for(stored, _with_kind(error))

    def _postpone_for(self, stored: StoredEvent, why: str) -> None:
        # Jitter only spreads retries, so it needs no secure randomness.
        wait = backoff(stored.tries, random.random(), first=self._first_retry)  # noqa: S311

        def postpone(conn: Connection) -> None:
            now = self._clock()
            since = failing_since(stored.failing_since, stored.error, why, now)
            inbox.postpone(conn, stored, now + wait, why, since=since)

        self._store.write("event.postpone", postpone)


def _with_kind(error: APIError | AdapterError) -> str:
    """Return an error's kind and message, as `failing_since` reads it."""
    return f"{type(error).__name__}: {error.message}"


def _ids(stored: StoredEvent) -> dict[str, str | None]:
    return ids(event_id=stored.event_id, ticket_id=stored.ticket_id)
