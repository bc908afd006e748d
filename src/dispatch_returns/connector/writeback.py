"""Delivers the outbox: the ticket's fields, comments and notes, notifications, and handlers.

A delivery may be repeated after a crash, so each is idempotent: fields are set to the ledger's
current values, a comment carries an idempotency key and is searched for before it is written
again. Handlers are documented to be called at least once.
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
    NotificationError,
    NotShownError,
    OrderError,
    TicketDeletedError,
    ValidationError,
)
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.ticket_facts import removal_of
from dispatch_returns.returns import records
from dispatch_returns.returns.notifications import comments
from dispatch_returns.returns.notifications.notification import Notifier
from dispatch_returns.returns.online.service import MESSAGES, OnlineReturns
from dispatch_returns.returns.steps import messages
from dispatch_returns.returns.tickets import PATIENCE, TicketReader
from dispatch_returns.store import Store, inbox, outbox, restores
from dispatch_returns.store.outbox import Message, MessageState
from dispatch_returns.store.queue import backoff, failing_since
from dispatch_returns.store.restores import Restore
from dispatch_returns.telemetry import ids
from dispatch_returns.webhooks.events import Event, parse

log = logging.getLogger(__name__)

_CATCHES_UP = timedelta(days=1)
"""How long after a restore steps are taken again, until the daily comparison has run."""


class HandlerError(Exception):
    """The merchant's own function raised. Says where, but not the message: it may be private."""

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
        online: OnlineReturns | None = None,
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
        self._tickets = TicketReader(store, client)
        self._handlers = handlers
        self._refunded_status = refunded_status
        self._review_status = review_status
        self._notifier = notifier
        self._language = language
        self._online = online
        self._handler_tracebacks = handler_tracebacks
        self._handler_limit = handler_limit
        self._kept: dict[int, float] = {}
        self._lease = lease
        self._first_retry = first_retry
        self._patience = patience
        self._clock = clock
        self._workspace = workspace

    def claim(self, limit: int) -> list[Message]:
        """Claim up to `limit` messages of this workspace, except those for handlers."""
        return self._claim(limit, handlers=False)

    def claim_handlers(self, limit: int) -> list[Message]:
        """Claim up to `limit` messages for the merchant's handlers."""
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
        """Extend the lease of a handler that has run for `seconds`, and report one over its limit.

        Otherwise other workers would call it again while it hangs, until all of them hang.
        """
        limit = self._handler_limit.total_seconds()
        kept = self._kept.get(message.id, 0.0)
        exceeds_limit = kept <= limit < seconds
        if not exceeds_limit and seconds - kept < self._lease.total_seconds() / 3:
            return
        now = self._clock()
        since = now - timedelta(seconds=seconds - limit) if seconds > limit else None
        self._store.write(
            "message.keep", lambda conn: outbox.keep(conn, message, now + self._lease, since)
        )
        self._kept[message.id] = seconds
        if exceeds_limit:
            log.error(
                "the handler %s has run for %d s and occupies one of the slots for handlers: find"
                " out what it waits for, and add a timeout to that",
                message.payload["handler"],
                seconds,
                extra=_ids(message),
            )

    def deliver(self, message: Message) -> None:
        """Deliver a claimed message; postpone it if that is not possible now."""
        try:
            with telemetry.span("write_back", kind=message.kind, **_ids(message)):
                if message.kind in MESSAGES:
                    self._deliver_online(message)
                else:
                    self._deliver(message)
        except LeaseLostError:
            log.info("message %s was taken over by another worker", message.id, extra=_ids(message))
        finally:
            self._kept.pop(message.id, None)

    def _deliver(self, message: Message) -> None:
        # The notifier also reports a refund that was paid, in place of the comment.
        is_notification = message.kind == "notification" or (
            message.kind == "comment" and "told" in message.payload and self._notifier is not None
        )
        try:
            if message.kind == "ticket":
                self._update_ticket(message)
            elif message.kind == "handler":
                self._call_handler(message)
            elif is_notification and self._may_repeat_lost_notification(message):
                self._leave_to_a_person(message)
                return
            elif is_notification:
                self._notify(message)
            else:
                assert message.ticket_id is not None
                comments.write_once(
                    self._client,
                    message.ticket_id,
                    message.payload["body"],
                    message.dedupe_key,
                    internal=message.kind == "note",
                    again=_may_be_delivered(message),
                )
        except (NotFoundError, NotShownError) as error:
            self._not_shown(message, error)
        except (TicketDeletedError, ValidationError) as error:
            # A retry would not help: the ticket was deleted, or the workspace refuses it.
            log.warning(
                "message %s was refused: %s", message.id, type(error).__name__, extra=_ids(message)
            )
            self._finish(message, MessageState.REFUSED, str(error))
        except APIError as error:
            self._postpone(message, type(error).__name__, str(error))
        except NotificationError as error:
            if error.retryable:
                self._postpone(message, str(error), str(error))
            else:
                note = outbox.NewMessage(
                    dedupe_key=f"{message.dedupe_key}-refused",
                    kind="note",
                    workspace_id=message.workspace_id,
                    ticket_id=message.ticket_id,
                    payload={
                        "body": f"The customer was not notified: {error}. Correct the ticket's"
                        " e-mail address, or write to the customer yourself; this message is not"
                        " sent again."
                    },
                )
                self._finish(message, MessageState.REFUSED, str(error), note)
        except HandlerError as error:
            self._postpone(message, str(error), str(error))
        else:
            self._finish(message, MessageState.DONE, None)

    def _not_shown(self, message: Message, error: NotFoundError | NotShownError) -> None:
        """Wait until the API shows the ticket; after a day, give up and report it."""
        if isinstance(error, NotFoundError) and message.ticket_id is not None:
            cause = self._tickets.missing(message.ticket_id, error)
            if isinstance(cause, TicketDeletedError):
                self._finish(message, MessageState.REFUSED, str(cause))
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

    def _update_ticket(self, message: Message) -> None:
        """Update the ticket from the ledger, until the ledger has not changed meanwhile.

        Another worker may deliver a newer message about the same refund at the same time, and
        the last write wins.
        """
        refund = self._refund(message)
        while True:
            later = ledger.refund_id(refund.workspace_id, refund.ticket_id, refund.ordinal + 1)
            with self._store.read() as conn:
                # The ticket's fields show the refund of its newest parcel.
                newest = ledger.get(conn, later) is None
            self._update_from(refund, newest=newest)
            written, refund = refund, self._refund(message)
            if _shown(refund) == _shown(written):
                return

    def _refund(self, message: Message) -> Refund:
        with self._store.read() as conn:
            refund = ledger.get(conn, message.refund_id or "")
        assert refund is not None, "a message about a refund was written with its row"
        return refund

    def _update_from(self, refund: Refund, *, newest: bool) -> None:
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
                # A missing status must not block the fields, nor the fields the status.
                ticket = self._tickets.get(ticket.id)
                now = self._changes(ticket, refund, newest=newest)
                with contextlib.suppress(ValidationError):
                    self._patch(ticket, {it: now[it] for it in (name,) if it in now})
            raise

    def _changes(self, ticket: Ticket, refund: Refund, *, newest: bool) -> dict[str, Any]:
        """Return what to change on a ticket that was just read."""
        fields = ticket.custom_fields
        if newest:
            # An unknown value is left out, or removed if the field has one.
            ours = _shown(refund).items()
            fields = fields | {k: v for k, v in ours if v is not None or fields.get(k)}
        changes: dict[str, Any] = {}
        if fields != ticket.custom_fields:
            # The whole map, because it is not documented whether the API merges or replaces.
            changes["custom_fields"] = fields
        # While an outcome is still being looked up, it has no reason.
        needs_review = refund.reason is not None and refund.reason != Reason.DRY_RUN
        if needs_review and ticket.status == self._refunded_status:
            changes["status"] = self._review_status
        return changes

    def _patch(self, ticket: Ticket, changes: dict[str, Any]) -> None:
        if changes:
            # Without retries: a person may change the ticket before the next attempt.
            self._client.tickets.with_options(max_retries=0).update(ticket.id, **changes)

    def _notify(self, message: Message) -> None:
        """Notify the customer, at the address that the ticket has now."""
        if self._notifier is None:
            raise NotificationError("no notifier is set any more, so the customer was not notified")
        assert message.ticket_id is not None
        with self._store.read() as conn:
            row = records.get(conn, records.return_id(message.workspace_id, message.ticket_id))
        ticket = self._tickets.get(message.ticket_id)
        if message.kind == "comment":
            refund = self._refund(message)
            notification = messages.refund_notification(
                message, refund, row, ticket, self._language
            )
        else:
            assert row is not None, "a notification was written with its return"
            if (how := removal_of(ticket)) is not None:
                raise NotificationError(f"the ticket {how}, so the customer was not notified")
            attached = self._notifier.name == "smtp"
            notification = messages.notification_of(
                self._store, message, row, ticket, self._language, attached=attached
            )
        again = _may_be_delivered(message) or self._lost_by_restore(message) is not None
        self._notifier.send(notification, again=again)

    def _lost_by_restore(self, message: Message) -> Restore | None:
        """Return the restore before which a message may have been sent already, None if none."""
        with self._store.read() as conn:
            restore = restores.newest(conn)
        if restore is None or restore.completed_at is None:
            return restore
        return restore if message.created_at < restore.completed_at + _CATCHES_UP else None

    def _may_repeat_lost_notification(self, message: Message) -> bool:
        """Return whether a notification may have been sent before the restore and can't be found.

        A comment is found on its ticket by its key, but the key of a step's notification contains
        the time of the step: taken again, it has another one. A mail leaves no trace (D-137).
        """
        restore = self._lost_by_restore(message)
        if restore is None or self._notifier is None:
            return False
        can_look = self._notifier.name == comments.TicketComments.name
        if can_look and (message.kind == "comment" or message.created_at <= restore.at):
            return False
        if message.kind == "comment":
            first_sent = self._refund(message).first_sent_at
            return first_sent is None or first_sent <= restore.at
        assert message.ticket_id is not None
        created = self._tickets.get(message.ticket_id).created_at
        return created is None or created <= restore.at

    def _leave_to_a_person(self, message: Message) -> None:
        note = outbox.NewMessage(
            dedupe_key=f"{message.dedupe_key}-restored",
            kind="note",
            workspace_id=message.workspace_id,
            ticket_id=message.ticket_id,
            refund_id=message.refund_id,
            payload={
                "body": "The database was restored from a backup. A message to this ticket's"
                " customer may have been sent already, so it was not sent again. If the customer"
                " did not get it, write to them."
            },
        )
        why = "the database was restored: it may have been sent already"
        self._finish(message, MessageState.REFUSED, why, note)

    def _deliver_online(self, message: Message) -> None:
        """Mail a code, or open the ticket of a request.

        A customer waits for the ticket, so nothing that can be mended ends it: not a workspace
        without the status, and not an order system that is away.
        """
        if self._online is None:
            why = "no return policy is set, so an online request waits"
            self._postpone(message, why, why)
            return
        try:
            self._online.deliver(message)
        except NotificationError as error:
            if error.retryable:
                self._postpone(message, str(error), str(error))
            else:
                self._finish(message, MessageState.REFUSED, str(error))
        except (APIError, OrderError) as error:
            self._postpone(message, type(error).__name__, str(error))
        else:
            self._finish(message, MessageState.DONE, None)

    def _call_handler(self, message: Message) -> None:
        payload = message.payload
        handler = self._handlers.get(payload["type"], payload["handler"])
        if handler is None:
            log.warning(
                "message %s: the handler %s does not exist any more",
                message.id,
                payload["handler"],
                extra=_ids(message),
            )
            return
        event: Event | RefundEvent
        if "refund" in payload:
            event = RefundEvent.from_payload(payload["refund"])
        else:
            with self._store.read() as conn:
                stored = inbox.get(conn, payload["event"])
            assert stored is not None, "events are kept"
            event = parse(stored.body)
        try:
            call(handler, event, Context(self._client, message.ticket_id))
        except Exception as error:
            failed = HandlerError(payload["handler"], error)
            # The traceback is for the merchant's error tracker, and may contain customers' data.
            shown = error if self._handler_tracebacks else None
            log.exception("handler %s", failed, exc_info=shown, extra=_ids(message))
            raise failed from None

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
        log.warning("message %s is postponed: %s", message.id, shown, extra=_ids(message))
        # Jitter only spreads retries, so it needs no secure randomness.
        wait = backoff(message.tries, random.random(), first=self._first_retry)  # noqa: S311

        def postpone(conn: Connection) -> None:
            now = self._clock()
            since = failing_since(message.failing_since, message.error, why, now)
            outbox.postpone(conn, message, now + wait, why, since=since)

        self._store.write("message.postpone", postpone)


def _may_be_delivered(message: Message) -> bool:
    """Return whether a message may have been delivered already, so that it is searched for."""
    return message.claims > 1 or "again" in message.payload


def _ids(message: Message) -> dict[str, str | None]:
    return ids(ticket_id=message.ticket_id, refund_id=message.refund_id)


def _shown(refund: Refund) -> dict[str, str | None]:
    """Return the ticket's fields about a refund."""
    return {
        "refund_id": refund.processor_id,
        "refund_status": str(refund.state),
        "refund_reason": refund.reason,
        "refund_arn": refund.arn,
    }
