"""Step 4: the label, bought once, attached, and given back where it is not needed."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dispatch_returns.api import DispatchClient, Ticket
from dispatch_returns.api.models import Attachment
from dispatch_returns.errors import LabelError, LeaseLostError, OrderError
from dispatch_returns.store import Store, labels, returns
from dispatch_returns.store.labels import OVER, LabelRow, LabelState
from dispatch_returns.store.returns import NewDecision, Return, Step
from dispatch_returns.workflow.labels.provider import (
    Label,
    LabelProvider,
    LabelRequest,
    PackingLine,
)
from dispatch_returns.workflow.orders.model import Order
from dispatch_returns.workflow.steps.parts import Clock, Parts
from dispatch_returns.workflow.steps.plan import US, Move, Plan, Situation
from dispatch_returns.workflow.steps.terms import Terms

PATIENCE = 12
"""After so many failures in a row, some three hours, a person is told."""
_CONTENT_TYPE = "application/pdf"
_MAY_BE_BOUGHT = frozenset({LabelState.BUYING, LabelState.UNKNOWN})


class Labelling:
    """Buys labels as refunds are paid: the row first, the call then, a look after a crash."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        parts: Parts,
        *,
        lease: timedelta,
        clock: Clock,
    ) -> None:
        self._store = store
        self._client = client
        self._parts = parts
        self._labels = parts.labels
        self._lease = lease
        self._now = clock

    def send(self, now: Situation, terms: Terms) -> Plan:
        """Give the customer a label, and move on. Without a provider, people do it by hand."""
        if self._labels is None or self._parts.recipient is None:
            return Plan(due_at=terms.expiry(now.row.entered_at))
        label = self._wanted(now.row, terms, self._labels)
        label = self._bought(now, label, self._labels)
        label = self._attached(now, label)
        fields: dict[str, str | None] = {"return_number": now.row.number}
        if label.tracking_number is not None:
            fields["tracking_number"] = label.tracking_number
        cost = "" if label.cost is None else f", {label.cost}"
        decision = NewDecision(
            "label",
            "sent",
            US,
            f"Label {label.provider_id} of {label.provider}{cost}.",
            {"label": label.id, "parcel": label.parcel},
        )
        return Plan(move=Move(Step.LABEL_SENT, fields=fields), decisions=(decision,))

    def take_back(self, now: Situation) -> tuple[NewDecision, ...]:
        """Give labels back that nobody needs any more; return what came of it.

        Raises `LabelError` when the provider cannot say now.
        """
        if self._labels is None:
            return ()
        with self._store.read() as conn:
            known = labels.of_return(conn, now.row.id)
        return tuple(
            self._void(now, label, self._labels) for label in known if label.state not in OVER
        )

    def _wanted(self, row: Return, terms: Terms, provider: LabelProvider) -> LabelRow:
        """Return the row of the label to use, written before anything is bought."""
        now = self._now()
        with self._store.read() as conn:
            known = labels.of_return(conn, row.id)
        if known and known[-1].state not in OVER:
            return known[-1]

        def want(conn: Connection) -> LabelRow:
            self._hold(conn, row, now)
            return labels.want(
                conn,
                row.id,
                len(known) + 1,
                now,
                provider=provider.name,
                send_by=terms.send_by(now),
            )

        return self._store.write("label.wanted", want)

    def _bought(self, now: Situation, label: LabelRow, provider: LabelProvider) -> LabelRow:
        if label.state is LabelState.BOUGHT:
            return label
        request = self._request(now, label, self._order(now))
        found: Label | None = None
        if label.state in _MAY_BE_BOUGHT:
            found = provider.find(request)
        if found is None:
            found = self._buy(now.row, label, request, provider)
        return self._record_bought(now.row, label, found)

    def _buy(
        self, row: Return, label: LabelRow, request: LabelRequest, provider: LabelProvider
    ) -> Label:
        """Say in the store that it is bought, then buy it."""
        until = self._now() + self._lease
        self._store.write(
            "label.buying", self._set(row, label, state=LabelState.BUYING, error=None)
        )
        if self._now() >= until:
            # Whoever claims the return next looks first.
            raise LeaseLostError(f"the lease of {row.id} ended before its label was bought")
        try:
            return provider.buy(request)
        except LabelError as error:
            state = LabelState.UNKNOWN if error.unknown else LabelState.WANTED
            self._store.write(
                "label.not_bought", self._set(row, label, state=state, error=error.message)
            )
            raise

    def _record_bought(self, row: Return, label: LabelRow, bought: Label) -> LabelRow:
        record = self._set(
            row,
            label,
            state=LabelState.BOUGHT,
            provider=bought.provider,
            provider_id=bought.id,
            tracking_number=bought.tracking_number,
            tracking_url=bought.tracking_url,
            carrier=bought.carrier,
            cost=bought.cost,
            pdf=bought.pdf,
            expires_at=bought.expires_at,
            error=None,
        )
        return self._store.write("label.bought", record)

    def _attached(self, now: Situation, label: LabelRow) -> LabelRow:
        """Attach the label to the ticket, where it is not attached already."""
        if label.attachment_id is not None or label.pdf is None:
            return label
        filename = file_name(now.row, label)
        there = self._client.attachments.list(now.ticket.id)
        known = next((it.id for it in there if it.filename == filename and _is_whole(it)), None)
        if known is None:
            made = self._client.attachments.upload(
                now.ticket.id, io.BytesIO(label.pdf), filename=filename, content_type=_CONTENT_TYPE
            )
            known = made.id
        attached = self._set(now.row, label, attachment_id=known)
        return self._store.write("label.attached", attached)

    def _void(self, now: Situation, label: LabelRow, provider: LabelProvider) -> NewDecision:
        row = now.row
        try:
            if label.state in _MAY_BE_BOUGHT:
                found = provider.find(self._request(now, label, None))
                if found is not None:
                    label = self._record_bought(row, label, found)
            state, said = given_back(label, provider, self._now())
        except LabelError as error:
            if (error.retryable or error.unknown) and row.tries < PATIENCE:
                raise
            # The return is over all the same; what is left is between shop and provider.
            state, said = LabelState.NOT_VOIDED, f"The label could not be given back: {error}"
        self._store.write("label.voided", self._set(row, label, state=state))
        return NewDecision("label", str(state), US, said, {"label": label.id})

    def _set(
        self, row: Return, label: LabelRow, **values: object
    ) -> Callable[[Connection], LabelRow]:
        """Return the work of changing a label while its return is held."""

        def write(conn: Connection) -> LabelRow:
            now = self._now()
            self._hold(conn, row, now)
            return labels.change(conn, label, now, **values)

        return write

    def _hold(self, conn: Connection, row: Return, now: datetime) -> None:
        """Go on holding the return. Raises `LeaseLostError` where another worker does."""
        returns.change(conn, row, now, due_at=now + self._lease)

    def _order(self, now: Situation) -> Order | None:
        """Read the order again: where the customer lives is not kept here.

        An order that cannot be read is none: a label to print needs no sender, and who sells
        postage says what is missing.
        """
        try:
            return self._parts.order(now.row.order_id, now.ticket)
        except OrderError as error:
            if error.retryable:
                raise
            return None

    def _request(self, now: Situation, label: LabelRow, order: Order | None) -> LabelRequest:
        """Return the request of this label: the same row and order always give the same one."""
        assert self._parts.recipient is not None
        row = now.row
        return LabelRequest(
            key=label.id,
            ticket_id=row.ticket_id,
            return_number=row.number,
            recipient=self._parts.recipient,
            sender=None if order is None else order.address,
            lines=_packing_lines(row, order),
            created_at=label.created_at,
            order_id=row.order_id,
            reason=row.reason,
            weight=_weight(row, order),
            send_by=label.send_by and label.send_by.date(),
            language=language_of(now.ticket, self._parts.language),
        )


def given_back(label: LabelRow, provider: LabelProvider, now: datetime) -> tuple[LabelState, str]:
    """Give a label back; return how it stands then, for people too. Raises `LabelError`."""
    if label.provider_id is None:
        return LabelState.VOIDED, "The label was not bought, and is not wanted any more."
    if label.expires_at is not None and label.expires_at <= now:
        return LabelState.EXPIRED, f"Label {label.provider_id} has expired."
    if provider.void(label.provider_id):
        return LabelState.VOIDED, f"Label {label.provider_id} was given back."
    if label.cost is None:
        return LabelState.VOIDED, f"Label {label.provider_id} was voided; it has cost nothing."
    return (
        LabelState.NOT_VOIDED,
        f"Label {label.provider_id} was voided, and its cost does not come back.",
    )


def _packing_lines(row: Return, order: Order | None) -> tuple[PackingLine, ...]:
    titles = {line.sku: line.title for line in order.lines} if order else {}
    return tuple(PackingLine(it["sku"], it["quantity"], titles.get(it["sku"])) for it in row.items)


def _weight(row: Return, order: Order | None) -> int | None:
    """Return the grams of what comes back, None where the weight of any of it is not known."""
    known = {line.sku: line.weight for line in order.lines} if order else {}
    total = 0
    for item in row.items:
        weight = known.get(item["sku"])
        if weight is None:
            return None
        total += weight * item["quantity"]
    return total or None


def _is_whole(attachment: Attachment) -> bool:
    """Whether its bytes are there: one that was begun and not confirmed has none."""
    return (attachment.status or "").casefold() not in {"pending", "uploading"}


def file_name(row: Return, label: LabelRow) -> str:
    """Return the name under which a label is attached, by which it is found again."""
    return f"return-label-{row.number}-{label.parcel}.pdf"


def language_of(ticket: Ticket, shop: str) -> str:
    """Return the customer's language where the ticket says it, else the shop's."""
    said = ticket.custom_fields.get("language")
    return said if isinstance(said, str) and said else shop
