"""Delivers the outbox: the ticket's fields, comments and notes, notices, and handlers.

Each delivery may happen again after a crash, so each is made to do no harm twice: fields are
set to what the ledger says now, a comment carries an idempotency key and is looked for before
it is written a second time, and handlers are told that they are called at least once.
"""

from __future__ import annotations

import contextlib
import logging
import random
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.connector.handlers import Context, Handlers, RefundEvent, call
from dispatch_returns.errors import (
    APIError,
    LeaseLostError,
    NotFoundError,
    NoticeError,
    NotShownError,
    TicketDeletedError,
    ValidationError,
)
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.ticket_facts import removal_of
from dispatch_returns.returns import records
from dispatch_returns.returns.notifications import comments
from dispatch_returns.returns.notifications.notice import Notifier
from dispatch_returns.returns.steps import messages
from dispatch_returns.returns.tickets import PATIENCE, Tickets
from dispatch_returns.store import Store, inbox, outbox
from dispatch_returns.store.outbox import Message, MessageState
from dispatch_returns.store.queue import backoff, failing_since
from dispatch_returns.telemetry import ids
from dispatch_returns.webhooks.events import Event, parse

log = logging.getLogger(__name__)


class HandlerError(Exception):
    """The merchant's own function raised. Where, and never with what: that may be private."""

    def __init__(self, name: str, error: Exception) -> None:
        place = traceback.extract_tb(error.__traceback__)[-1]
        super().__init__(f"{name} raised {type(error).__name__} at {place.filename}:{place.lineno}")


class Messenger:
    """Delivers one message at a time. Safe to run in many threads."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        handlers: Handlers,
        *,
        refunded_status: str = "refunded",
        review_status: str = "needs_review",
        notifier: Notifier | None = None,
        language: str = "en",
        handler_tracebacks: bool = True,
        handler_limit: timedelta = timedelta(minutes=1),
        lease: timedelta = timedelta(minutes=3),
        first_retry: timedelta = timedelta(seconds=5),
        patience: timedelta = PATIENCE,
        clock: Clock = utc_now,
        workspace: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._store = store
        self._client = client
        self._tickets = Tickets(store, client)
        self._handlers = handlers
        self._refunded_status = refunded_status
        self._review_status = review_status
        self._notifier = notifier
        self._language = language
        self._handler_tracebacks = handler_tracebacks
        self._handler_limit = handler_limit
        self._kept: dict[int, float] = {}
        self._lease = lease
        self._first_retry = first_retry
        self._patience = patience
        self._clock = clock
        self._workspace = workspace

    def claim(self, limit: int) -> list[Message]:
        """Take up to `limit` messages of this workspace to be delivered, but those for handlers."""
        return self._claim(limit, handlers=False)

    def claim_handlers(self, limit: int) -> list[Message]:
        """Take up to `limit` messages for the merchant's handlers."""
        return self._claim(limit, handlers=True)

    def _claim(self, limit: int, *, handlers: bool) -> list[Message]:
        workspace = self._workspace()
        return self._store.write(
            "message.claim",
            lambda conn: outbox.claim(
                conn, self._clock(), self._lease, limit, workspace, handlers=handlers
            ),
        )

    def keep_handler(self, message: Message, seconds: float) -> None:
        """Keep the lease of a handler that has run for so many `seconds`; report it over its limit.

        Otherwise another worker would call it again beside the one that hangs, until all hang.
        """
        limit = self._handler_limit.total_seconds()
        kept = self._kept.get(message.id, 0.0)
        goes_over = kept <= limit < seconds
        if not goes_over and seconds - kept < self._lease.total_seconds() / 3:
            return
        now = self._clock()
        since = now - timedelta(seconds=seconds - limit) if seconds > limit else None
        self._store.write(
            "message.keep", lambda conn: outbox.keep(conn, message, now + self._lease, since)
        )
        self._kept[message.id] = seconds
        if goes_over:
            log.error(
                "the handler %s has run for %d s and keeps one of the slots for handlers: see"
                " what it waits for, and give it a time limit",
                message.payload["handler"],
                seconds,
                extra=_ids(message),
            )

    def deliver(self, message: Message) -> None:
        """Deliver a claimed message; what cannot be delivered now is put off."""
        try:
            with telemetry.span("write_back", kind=message.kind, **_ids(message)):
                self._deliver(message)
        except LeaseLostError:
            log.info("message %s was taken over by another worker", message.id, extra=_ids(message))
        finally:
            self._kept.pop(message.id, None)

    def _deliver(self, message: Message) -> None:
        try:
            self._do(message)
        except (NotFoundError, NotShownError) as error:
            self._not_shown(message, error)
        except (TicketDeletedError, ValidationError) as error:
            # Asking again changes nothing: the ticket is gone, or the workspace says no.
            log.warning(
                "message %s was refused: %s", message.id, type(error).__name__, extra=_ids(message)
            )
            fields = ", ".join(problem.field for problem in error.errors)
            why = f"{error}: {fields}" if fields else str(error)
            self._finish(message, MessageState.REFUSED, why)
        except APIError as error:
            self._postpone(message, type(error).__name__, str(error))
        except NoticeError as error:
            if error.retryable:
                self._postpone(message, str(error), str(error))
            else:
                self._finish(message, MessageState.REFUSED, str(error), _not_told(message, error))
        except HandlerError as error:
            self._postpone(message, str(error), str(error))
        else:
            self._finish(message, MessageState.DONE, None)

    def _not_shown(self, message: Message, error: NotFoundError | NotShownError) -> None:
        """Wait for the API to know the ticket; after a day, say that it was not told."""
        if isinstance(error, NotFoundError) and message.ticket_id is not None:
            meant = self._tickets.missing(message.ticket_id, error)
            if isinstance(meant, TicketDeletedError):
                self._finish(message, MessageState.REFUSED, str(meant))
                return
        why, now = f"{type(error).__name__}: {error}", self._clock()
        if now - failing_since(message.failing_since, message.error, why, now) < self._patience:
            self._postpone(message, type(error).__name__, why)
            return
        log.error(
            "message %s (%s) was not delivered: the API has not shown its ticket for %s",
            message.id,
            message.kind,
            self._patience,
            extra=_ids(message),
        )
        self._finish(message, MessageState.UNDELIVERED, why)

    def _do(self, message: Message) -> None:
        if message.kind == "ticket":
            self._update_ticket(message)
        elif message.kind == "handler":
            self._call_handler(message)
        elif self._is_notice(message):
            self._tell(message)
        else:
            self._comment(message)

    def _update_ticket(self, message: Message) -> None:
        """Bring the ticket in line with the ledger, until the ledger has nothing newer to say.

        Another worker may deliver a newer message about the same refund at this moment, and
        what is written last stays.
        """
        refund = self._refund(message)
        while True:
            self._bring_in_line(refund, newest=self._is_newest(refund))
            said, refund = refund, self._refund(message)
            if _shown(refund) == _shown(said):
                return

    def _refund(self, message: Message) -> Refund:
        with self._store.read() as conn:
            refund = ledger.get(conn, message.refund_id or "")
        assert refund is not None, "a message about a refund was written with its row"
        return refund

    def _is_newest(self, refund: Refund) -> bool:
        """Whether no later parcel of the same ticket is paid back: its fields show the newest."""
        with self._store.read() as conn:
            later = ledger.get(
                conn,
                ledger.refund_id(refund.workspace_id, refund.ticket_id, refund.ordinal + 1),
            )
        return later is None

    def _bring_in_line(self, refund: Refund, *, newest: bool) -> None:
        ticket = self._tickets.get(refund.ticket_id)
        changes = self._changes(ticket, refund, newest=newest)
        if not changes:
            return
        try:
            self._patch(ticket, changes)
        except ValidationError:
            log.warning(
                "ticket %s cannot be changed: run setup", ticket.id, extra=ids(ticket_id=ticket.id)
            )
            for name in changes if len(changes) > 1 else ():
                # A missing status must not keep back the fields, nor they the status.
                ticket = self._tickets.get(ticket.id)
                now = self._changes(ticket, refund, newest=newest)
                with contextlib.suppress(ValidationError):
                    self._patch(ticket, {it: now[it] for it in (name,) if it in now})
            raise

    def _changes(self, ticket: Ticket, refund: Refund, *, newest: bool) -> dict[str, Any]:
        """Return what is to be changed on a ticket that was read just now."""
        fields = _merged(ticket.custom_fields, refund) if newest else ticket.custom_fields
        changes: dict[str, Any] = {}
        if fields != ticket.custom_fields:
            # The whole map: whether the API merges or replaces is not documented.
            changes["custom_fields"] = fields
        if _needs_review(refund) and ticket.status == self._refunded_status:
            changes["status"] = self._review_status
        return changes

    def _patch(self, ticket: Ticket, changes: dict[str, Any]) -> None:
        if changes:
            # Never by itself again: somebody may change the ticket before the next attempt.
            self._client.tickets.with_options(max_retries=0).update(ticket.id, **changes)

    def _comment(self, message: Message) -> None:
        assert message.ticket_id is not None
        comments.write_once(
            self._client,
            message.ticket_id,
            message.payload["body"],
            message.dedupe_key,
            internal=message.kind == "note",
            again=_may_be_told(message),
        )

    def _is_notice(self, message: Message) -> bool:
        """Whether the notifier tells it: of a refund that was paid too, instead of a comment."""
        told_as_step = message.kind == "comment" and "told" in message.payload
        return message.kind == "notice" or (told_as_step and self._notifier is not None)

    def _tell(self, message: Message) -> None:
        """Have the notifier tell the customer, whose address is the ticket's at this moment."""
        if self._notifier is None:
            raise NoticeError("no notifier is set any more: nobody was told")
        assert message.ticket_id is not None
        with self._store.read() as conn:
            row = records.get(conn, records.return_id(message.workspace_id, message.ticket_id))
        ticket = self._tickets.get(message.ticket_id)
        if message.kind == "comment":
            refund = self._refund(message)
            notice = messages.refund_notice(message, refund, row, ticket, self._language)
        else:
            assert row is not None, "a notice was written with its return"
            if (how := removal_of(ticket)) is not None:
                raise NoticeError(f"the ticket {how}: nobody was told")
            attached = self._notifier.name == "smtp"
            notice = messages.notice_of(
                self._store, message, row, ticket, self._language, attached=attached
            )
        self._notifier.send(notice, again=_may_be_told(message))

    def _call_handler(self, message: Message) -> None:
        payload = message.payload
        handler = self._handlers.get(payload["type"], payload["handler"])
        if handler is None:
            log.warning(
                "message %s: the handler %s is gone",
                message.id,
                payload["handler"],
                extra=_ids(message),
            )
            return
        event = self._event(payload)
        try:
            call(handler, event, Context(self._client, message.ticket_id))
        except Exception as error:
            failed = HandlerError(payload["handler"], error)
            # The traceback is for the merchant's error tracker, and may quote a customer.
            shown = error if self._handler_tracebacks else None
            log.exception("handler %s", failed, exc_info=shown, extra=_ids(message))
            raise failed from None

    def _event(self, payload: dict[str, Any]) -> Event | RefundEvent:
        if "refund" in payload:
            return RefundEvent.from_payload(payload["refund"])
        with self._store.read() as conn:
            stored = inbox.get(conn, payload["event"])
        assert stored is not None, "events are kept"
        return parse(stored.body)

    def _finish(
        self,
        message: Message,
        state: MessageState,
        error: str | None,
        note: outbox.NewMessage | None = None,
    ) -> None:
        def record(conn: Connection) -> None:
            now = self._clock()
            outbox.finish(conn, message, now, state, error)
            if note is not None:
                outbox.add(conn, note, now)

        self._store.write("message.done", record)

    def _postpone(self, message: Message, shown: str, why: str) -> None:
        log.warning("message %s is put off: %s", message.id, shown, extra=_ids(message))
        # Jitter spreads retries; it decides nothing, so chance may come from anywhere.
        wait = backoff(message.tries, random.random(), first=self._first_retry)  # noqa: S311

        def postpone(conn: Connection) -> None:
            now = self._clock()
            since = failing_since(message.failing_since, message.error, why, now)
            outbox.postpone(conn, message, now + wait, why, since=since)

        self._store.write("message.postpone", postpone)


def _not_told(message: Message, error: NoticeError) -> outbox.NewMessage:
    """Return the note for agents that the customer was not told, and will not be."""
    return outbox.NewMessage(
        dedupe_key=f"{message.dedupe_key}-refused",
        kind="note",
        workspace_id=message.workspace_id,
        ticket_id=message.ticket_id,
        payload={
            "body": f"The customer was not told: {error}. Correct the ticket's e-mail address, or"
            " write to the customer yourself; this message is not sent again."
        },
    )


def _may_be_told(message: Message) -> bool:
    """Whether it may have been told already: it is looked for where that can be done."""
    return message.claims > 1 or "again" in message.payload


def _ids(message: Message) -> dict[str, str | None]:
    return ids(ticket_id=message.ticket_id, refund_id=message.refund_id)


def _shown(refund: Refund) -> dict[str, str | None]:
    """Return what the ticket shows of a refund."""
    return {
        "refund_id": refund.processor_id,
        "refund_status": str(refund.state),
        "refund_reason": refund.reason,
        "refund_arn": refund.arn,
    }


def _merged(fields: dict[str, Any], refund: Refund) -> dict[str, Any]:
    """Return the ticket's fields with ours. What is not known is left out, or taken back."""
    ours = _shown(refund).items()
    return fields | {name: value for name, value in ours if value is not None or fields.get(name)}


def _needs_review(refund: Refund) -> bool:
    """Whether a person must look, and knows: an outcome that is still looked up has no reason."""
    return refund.reason is not None and refund.reason != Reason.DRY_RUN
