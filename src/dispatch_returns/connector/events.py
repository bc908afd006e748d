"""From an accepted event to what follows from it, in one commit.

The event says only that something happened to a ticket. What to do is decided from the ticket
as the API gives it at this moment, so late, repeated and reordered events do no harm.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.client import Ticket
from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.connector.handlers import Handlers
from dispatch_returns.connector.installation import Installation
from dispatch_returns.connector.processor_events import Found, LateNews
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
from dispatch_returns.refunds.decision import Decision
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.service import RefundService
from dispatch_returns.refunds.ticket_facts import Facts
from dispatch_returns.returns.steps.engine import ReturnsEngine
from dispatch_returns.returns.tickets import PATIENCE, TEST_EVENT, Tickets
from dispatch_returns.store import Store, go_live, inbox, outbox
from dispatch_returns.store.inbox import EventState, StoredEvent
from dispatch_returns.store.queue import backoff, failing_since
from dispatch_returns.telemetry import Span, ids
from dispatch_returns.webhooks.events import Event, TicketUpdated, parse
from dispatch_returns.webhooks.receiver import DISPATCH

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Leads:
    """What an event leads to: a refund, or a return that is looked at, or neither.

    ``deleted``: its ticket was.
    """

    refund: Decision | None = None
    returned: Ticket | None = None
    deleted: bool = False
    elsewhere: bool = False
    """Its ticket is not `refunded`: whatever was before, it is of now."""


class EventProcessor:
    """Deals with one event at a time. Safe to run in many threads.

    With a `returns` engine the tickets of returns are its own, refunds included; without one,
    tickets that are `refunded` are paid back and nothing else is done.
    """

    def __init__(
        self,
        store: Store,
        tickets: Tickets,
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
        self.late_news = LateNews(
            tickets, refunds, workspace=installation.workspace, refunded_status=refunded_status
        )

    def claim(self, limit: int) -> list[StoredEvent]:
        """Take up to `limit` events that wait to be dealt with."""
        workspace = self._installation.workspace()
        return self._store.write(
            "event.claim",
            lambda conn: inbox.claim(conn, self._clock(), self._lease, limit, workspace),
        )

    def process(self, stored: StoredEvent) -> None:
        """Deal with a claimed event; what cannot be done now is put off."""
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
            self._process_news(stored)
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
            found = self._look(event, stored)
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
                    "event.done", lambda conn: self._done(conn, stored, event, found)
                )
            except ledger.TakenError as error:
                # Another ticket has adopted the refund that this one found: look again.
                self._put_off(stored, f"{error}")
                return
            refund_id = None if entered is None else entered.id
            span.set(refund_id=refund_id)
            log.info(
                "event %s is done", stored.event_id, extra=_ids(stored) | {"refund_id": refund_id}
            )
            if sending is not None:
                self._refunds.carry_out(sending)

    def _is_ours(self, stored: StoredEvent) -> bool:
        """Whether an event is this workspace's; one of another is left to that one's workers."""
        name = stored.workspace_id
        try:
            if name is None or self._installation.owns(name, stored.ticket_id):
                return True
        except APIError as error:
            self._postpone(stored, error)
            return False
        self._store.write("event.left", lambda conn: inbox.leave(conn, stored, self._clock()))
        return False

    def _process_news(self, stored: StoredEvent) -> None:
        """Deal with what the payment processor has sent."""
        try:
            found = self._look_at_news(stored)
        except EventError as error:
            self._keep_unreadable(stored, error)
        except (APIError, AdapterError) as error:
            self._postpone(stored, error)
        else:
            self._write_news(stored, found)

    def _look_at_news(self, stored: StoredEvent) -> Found:
        try:
            return self.late_news.look(stored)
        except NotShownError as error:
            if not self._is_over(stored, error):
                raise
            log.warning(
                "event %s: %s. What it says of this ticket is left out",
                stored.event_id,
                error.message,
                extra=_ids(stored),
            )
            return self.late_news.look(stored, patient=False)

    def _write_news(self, stored: StoredEvent, found: Found) -> None:
        def record(conn: Connection) -> None:
            self.late_news.write(conn, found)
            inbox.finish(conn, stored, self._clock())

        try:
            self._store.write("event.done", record)
        except LeaseLostError as error:
            # It came before our own commit, or beside another worker's: it is looked at again.
            self._put_off(stored, str(error))
        else:
            for known in found.refunds:
                about = ids(
                    event_id=stored.event_id, ticket_id=known.ticket_id, refund_id=known.refund_id
                )
                log.info("event %s is done", stored.event_id, extra=about)

    def _look(self, event: Event, stored: StoredEvent) -> _Leads:
        if event.ticket_id is None:
            return _Leads()
        try:
            ticket = self._tickets.get(event.ticket_id)
        except TicketDeletedError:
            extra = ids(event_id=event.id, ticket_id=event.ticket_id)
            log.info("event %s is about a ticket that was deleted", event.id, extra=extra)
            return _Leads(deleted=True)
        except NotShownError:
            if event.id.startswith(TEST_EVENT):
                return _Leads()  # what it says was made up by `dispatch-returns trigger`
            raise
        except InvalidArgumentError:
            raise EventError("the ticket's id cannot be one of the API's") from None
        elsewhere = ticket.status != self._refunded_status
        if self._returns is not None and self._returns.is_return(ticket):
            return _Leads(returned=ticket, elsewhere=elsewhere)
        if elsewhere:
            return _Leads(elsewhere=True)
        facts = Facts.of(ticket, self._installation.workspace())
        return _Leads(refund=self._judge(facts, stored))

    def _judge(self, facts: Facts, stored: StoredEvent) -> Decision:
        try:
            return self._refunds.intake.judge(facts)
        except AdapterError as error:
            if not self._is_over(stored, error):
                raise
            # The customer waits: a person is told, and nothing is asked any more until one acts.
            return Decision(facts, hold=Hold(Reason.UNREACHABLE, error.message))

    def _done(
        self,
        conn: Connection,
        stored: StoredEvent,
        event: Event,
        found: _Leads,
        *,
        set_aside: str | None = None,
    ) -> tuple[Refund | None, Refund | None]:
        """Write what follows from the event.

        Return its refund, and the same again if its call is to be made now. `set_aside` says why
        nothing follows but its handlers' calls.
        """
        now = self._clock()
        entered: Refund | None = None
        sending: Refund | None = None
        if found.elsewhere and event.ticket_id is not None:
            go_live.release(conn, self._installation.workspace(), event.ticket_id)
        if found.refund is not None:
            entered, sending = self._refunds.enter(conn, found.refund)
            if entered is None and _status_changed(event):
                self._tell_of_before(conn, stored, now)
        if found.returned is not None and self._returns is not None:
            self._returns.notice(conn, found.returned, _asked_at(event, found.returned))
        if found.deleted and self._returns is not None and event.ticket_id is not None:
            self._returns.notice_deleted(conn, event.ticket_id)
        for name in self._handlers.names(event.type):
            message = outbox.NewMessage(
                dedupe_key=f"event-{stored.id}-{name}",
                kind="handler",
                workspace_id=self._installation.workspace(),
                ticket_id=event.ticket_id,
                payload={"event": stored.id, "type": event.type, "handler": name},
            )
            outbox.add(conn, message, now)
        state = EventState.DONE if set_aside is None else EventState.NOT_SHOWN
        inbox.finish(conn, stored, now, state, set_aside)
        return entered, sending

    def _is_over(self, stored: StoredEvent, error: APIError | AdapterError) -> bool:
        """Whether it has failed in this way for so long that a person must look."""
        now = self._clock()
        since = failing_since(stored.failing_since, stored.error, _named(error), now)
        return now - since >= self._patience

    def _set_aside(
        self, stored: StoredEvent, event: Event, error: NotShownError | APIResponseError
    ) -> None:
        """Let nothing follow from an event but its handlers' calls, and say so to people."""
        log.error(
            "event %s is set aside: for %s %s. Look at the ticket, then run:"
            " dispatch-returns events replay %s",
            stored.event_id,
            self._patience,
            "the API has not shown what it says"
            if isinstance(error, NotShownError)
            else "the ticket could not be understood",
            stored.id,
            extra=_ids(stored),
        )

        why = _named(error)

        def record(conn: Connection) -> None:
            self._done(conn, stored, event, _Leads(), set_aside=why)
            if isinstance(error, APIResponseError):
                self._tell_of_unreadable(conn, stored)

        self._store.write("event.set_aside", record)

    def _tell_of_unreadable(self, conn: Connection, stored: StoredEvent) -> None:
        body = (
            "Nothing is done for this ticket: for a day, fields of it could not be understood."
            " The log and dispatch-returns events list name them. Correct them, then run:"
            f" dispatch-returns events replay {stored.id}"
        )
        message = outbox.NewMessage(
            dedupe_key=f"unreadable-{stored.id}",
            kind="note",
            workspace_id=self._installation.workspace(),
            ticket_id=stored.ticket_id,
            payload={"body": body},
        )
        outbox.add(conn, message, self._clock())

    def _tell_of_before(self, conn: Connection, stored: StoredEvent, now: datetime) -> None:
        """Say why nothing is paid, once: a person may have set it to `refunded` at this moment."""
        status = self._refunded_status
        body = (
            f"Nothing was paid: this ticket was {status} already when this installation went"
            f" live. If it should be paid, set it to another status, wait a minute, and set it to"
            f" {status} again, or run: dispatch-returns refunds pay {stored.ticket_id}"
        )
        message = outbox.NewMessage(
            dedupe_key=f"settled-before-{self._installation.workspace()}-{stored.ticket_id}",
            kind="note",
            workspace_id=self._installation.workspace(),
            ticket_id=stored.ticket_id,
            payload={"body": body},
        )
        outbox.add(conn, message, now)

    def _keep_unreadable(self, stored: StoredEvent, error: EventError) -> None:
        log.warning(
            "event %s is kept as unreadable: %s", stored.event_id, error, extra=_ids(stored)
        )
        self._store.write(
            "event.unreadable", lambda conn: inbox.set_unreadable(conn, stored, str(error))
        )

    def _postpone(self, stored: StoredEvent, error: APIError | AdapterError) -> None:
        log.warning(
            "event %s is put off: %s", stored.event_id, type(error).__name__, extra=_ids(stored)
        )
        self._put_off(stored, _named(error))

    def _put_off(self, stored: StoredEvent, why: str) -> None:
        # Jitter spreads retries; it decides nothing, so chance may come from anywhere.
        wait = backoff(stored.tries, random.random(), first=self._first_retry)  # noqa: S311

        def postpone(conn: Connection) -> None:
            now = self._clock()
            since = failing_since(stored.failing_since, stored.error, why, now)
            inbox.postpone(conn, stored, now + wait, why, since=since)

        self._store.write("event.postpone", postpone)


def _named(error: APIError | AdapterError) -> str:
    return f"{type(error).__name__}: {error.message}"


def _status_changed(event: Event) -> bool:
    return isinstance(event, TicketUpdated) and "status" in event.data.changes


def _asked_at(event: Event, ticket: Ticket) -> datetime:
    """Return when a ticket became the return that `event` tells of, if it has just become one.

    An old ticket may become one: the day on which that happened counts for the policy's window.
    """
    at = event.timestamp
    return min(at, ticket.created_at or at) if event.type == "ticket.created" else at


def _ids(stored: StoredEvent) -> dict[str, str | None]:
    return ids(event_id=stored.event_id, ticket_id=stored.ticket_id)
