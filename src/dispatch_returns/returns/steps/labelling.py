"""Step 4: the label, bought once, attached, and given back where it is not needed."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Unpack

from sqlalchemy import Connection

from dispatch_returns.client import DispatchClient
from dispatch_returns.client.models import Attachment
from dispatch_returns.clock import Clock
from dispatch_returns.errors import LabelError, LeaseLostError, NotFoundError, OrderError
from dispatch_returns.returns import label_records, records
from dispatch_returns.returns.label_records import (
    MAY_BE_BOUGHT,
    OVER,
    LabelAction,
    LabelChanges,
    LabelRow,
    LabelState,
)
from dispatch_returns.returns.labels.provider import Address, Label, LabelProvider, LabelRequest
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.owners import Owners
from dispatch_returns.returns.records import NewDecision, Return
from dispatch_returns.returns.steps.documents import document_of, language_of, request_of
from dispatch_returns.returns.steps.plan import US, Move, Plan, Situation
from dispatch_returns.returns.steps.protocols import Parts
from dispatch_returns.returns.steps.terms import Terms
from dispatch_returns.returns.transitions import ReturnAction, Step
from dispatch_returns.store import Store

PATIENCE = 12
"""After so many failures in a row, some three hours, a person is told."""
_EXPIRED = "Label {} has expired."
_CONTENT_TYPE = "application/pdf"


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What came of giving a label back, and the write that says so in its row."""

    decision: NewDecision
    write: Callable[[Connection], object]


class Labelling:
    """Buys labels as refunds are paid: the row first, the call then, a look after a crash."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        parts: Parts,
        owners: Owners,
        *,
        lease: timedelta,
        clock: Clock,
    ) -> None:
        self._store = store
        self._client = client
        self._parts = parts
        self._labels = parts.labels
        self._owners = owners
        self._lease = lease
        self._now = clock

    def send(self, now: Situation, terms: Terms) -> Plan:
        """Give the customer a label, and move on. Without a provider, people do it by hand."""
        if self._labels is None or self._parts.recipient is None:
            return Plan(due_at=terms.expiry(now.row.entered_at))
        label = self._wanted(now.row, self._labels)
        label = self._bought(now, label, terms, self._labels)
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
        return Plan(
            move=Move(Step.LABEL_SENT, ReturnAction.SEND_LABEL, fields=fields),
            decisions=(decision,),
        )

    def take_back(self, now: Situation) -> tuple[TakenBack, ...]:
        """Give labels back that nobody needs any more; return what came of it, to be written down.

        Giving one back again answers the same. Raises `LabelError` when the provider cannot say
        now.
        """
        with self._store.read() as conn:
            known = label_records.of_return(conn, now.row.id)
        return tuple(self._void(now, label) for label in known if label.state not in OVER)

    def _wanted(self, row: Return, provider: LabelProvider) -> LabelRow:
        """Return the row of the label to use, written before anything is bought."""
        now = self._now()
        with self._store.read() as conn:
            known = label_records.of_return(conn, row.id)
        newest = known[-1] if known and known[-1].state not in OVER else None
        if newest is not None and not _has_expired(newest, now):
            return newest

        def want(conn: Connection) -> LabelRow:
            self._hold(conn, row, now)
            if newest is not None:
                by = LabelAction.EXPIRE
                label_records.move(conn, newest, now, LabelState.EXPIRED, by=by)
                expired = NewDecision("label", "expired", US, _EXPIRED.format(newest.provider_id))
                records.record(conn, row, expired, now)
            return label_records.want(conn, row.id, len(known) + 1, now, provider=provider.name)

        return self._store.write("label.wanted", want)

    def _bought(
        self, now: Situation, label: LabelRow, terms: Terms, provider: LabelProvider
    ) -> LabelRow:
        if label.state is LabelState.BOUGHT:
            return label
        if label.state is LabelState.WANTED:
            send_by = terms.send_by(self._now())
            label = replace(label, send_by=send_by, provider=provider.name)
        label, request = self._drawn_up(now, label, self._order(now))
        found: Label | None = None
        if label.state in MAY_BE_BOUGHT:
            provider = known_to(label, provider)
            found = provider.find(request)
        if found is None:
            label, found = self._buy(now.row, label, request, provider)
        return self._record_bought(now.row, label, found)

    def _buy(
        self, row: Return, label: LabelRow, request: LabelRequest, provider: LabelProvider
    ) -> tuple[LabelRow, Label]:
        """Say in the store that it is bought, then buy it."""
        until = self._now() + self._lease
        buying = self._set(
            row,
            label,
            (LabelState.BUYING, LabelAction.BUY),
            provider=label.provider,
            document=label.document,
            send_by=label.send_by,
            error=None,
        )
        label = self._store.write("label.buying", buying)
        if self._now() >= until:
            # Whoever claims the return next looks first.
            raise LeaseLostError(f"the lease of {row.id} ended before its label was bought")
        try:
            return label, provider.buy(request)
        except LabelError as error:
            to = (LabelState.WANTED, LabelAction.BUY_LATER)
            if error.unknown:
                to = (LabelState.UNKNOWN, LabelAction.LOSE_TRACK)
            # What was certainly not bought is bought with what counts then.
            document = label.document if error.unknown else None
            not_bought = self._set(row, label, to, document=document, error=error.message)
            self._store.write("label.not_bought", not_bought)
            raise

    def _drawn_up(
        self, now: Situation, label: LabelRow, order: Order | None
    ) -> tuple[LabelRow, LabelRequest]:
        """Return the label with its document, and the request that asks for it.

        It is the document with which the label may have been bought, where there is one.
        """
        document = label.document or self._document(now, order)
        request = request_of(now.row, label, document, self._sender(now, order))
        return replace(label, document=document), request

    def _sender(self, now: Situation, order: Order | None) -> Address | None:
        """Return where the parcel comes from: the order's address is shown to its owner alone."""
        if order is None:
            return None
        if order.from_ticket:
            return order.address
        owner = self._owners.of(order, now.ticket, now.row.workspace_id, now.row.order_id)
        return order.address if owner.is_known else None

    def _document(self, now: Situation, order: Order | None) -> dict[str, Any]:
        assert self._parts.recipient is not None
        language = language_of(now.ticket, self._parts.language)
        return document_of(now.row, order, self._parts.recipient, language)

    def _record_bought(self, row: Return, label: LabelRow, bought: Label) -> LabelRow:
        record = self._set(
            row,
            label,
            (LabelState.BOUGHT, LabelAction.BOUGHT),
            provider=bought.provider,
            document=label.document,
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
        ticket_id, filename = now.ticket.id, file_name(now.row, label)
        known = self._on_the_ticket(ticket_id, filename, label.upload_id)
        if known is None:
            known = self._client.attachments.upload(
                ticket_id,
                io.BytesIO(label.pdf),
                filename=filename,
                content_type=_CONTENT_TYPE,
                begun=lambda upload: self._store.write(
                    "label.uploading", self._set(now.row, label, upload_id=upload)
                ),
            ).id
        attached = self._set(now.row, label, attachment_id=known, upload_id=None)
        return self._store.write("label.attached", attached)

    def _on_the_ticket(self, ticket_id: str, filename: str, upload: str | None) -> str | None:
        """Return the attachment that is there already; delete what was begun and not confirmed.

        Whether the API lists what was not confirmed is not documented.
        """
        ours = [it for it in self._client.attachments.list(ticket_id) if it.filename == filename]
        whole = [it.id for it in ours if _is_whole(it)]
        begun = {it.id for it in ours if not _is_whole(it)}
        if upload is not None and upload not in whole:
            begun.add(upload)
        for attachment_id in begun:
            with contextlib.suppress(NotFoundError):
                self._client.attachments.delete(ticket_id, attachment_id)
        return whole[0] if whole else None

    def _void(self, now: Situation, label: LabelRow) -> TakenBack:
        row = now.row
        try:
            if label.state in MAY_BE_BOUGHT:
                provider = known_to(label, self._labels)
                label, request = self._drawn_up(now, label, None)
                found = provider.find(request)
                if found is not None:
                    label = self._record_bought(row, label, found)
            state, said = given_back(label, self._labels, self._now())
        except LabelError as error:
            if (error.retryable or error.unknown) and row.tries < PATIENCE:
                raise
            # The return is over all the same; what is left is between shop and provider.
            state, said = LabelState.NOT_VOIDED, f"The label could not be given back: {error}"
        decision = NewDecision("label", str(state), US, said, {"label": label.id})
        by = LabelAction.VOID
        return TakenBack(
            decision, lambda conn: label_records.move(conn, label, self._now(), state, by=by)
        )

    def _set(
        self,
        row: Return,
        label: LabelRow,
        to: tuple[LabelState, LabelAction] | None = None,
        **values: Unpack[LabelChanges],
    ) -> Callable[[Connection], LabelRow]:
        """Return the work of changing a label while its return is held."""

        def write(conn: Connection) -> LabelRow:
            now = self._now()
            self._hold(conn, row, now)
            if to is None:
                return label_records.change(conn, label, now, **values)
            return label_records.move(conn, label, now, to[0], by=to[1], **values)

        return write

    def _hold(self, conn: Connection, row: Return, now: datetime) -> None:
        """Go on holding the return. Raises `LeaseLostError` where another worker does."""
        records.change(conn, row, now, now + self._lease)

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


def known_to(label: LabelRow, provider: LabelProvider | None) -> LabelProvider:
    """Return the provider, if the label is one of its own. Raises `LabelError` if it is not.

    Asked for another's label, a provider would say that it was never bought.
    """
    name = None if provider is None else provider.name
    if provider is None or name != label.provider:
        raise LabelError(
            f"{label.id} is a label of {label.provider}, and DISPATCH_RETURNS_LABELS is"
            f" {name or 'not set'}: look for it at {label.provider}, or set it to that again"
        )
    return provider


def given_back(
    label: LabelRow, provider: LabelProvider | None, now: datetime
) -> tuple[LabelState, str]:
    """Give a label back; return how it stands then, for people too. Raises `LabelError`."""
    if label.provider_id is None:
        return LabelState.VOIDED, "The label was not bought, and is not wanted any more."
    if _has_expired(label, now):
        return LabelState.EXPIRED, _EXPIRED.format(label.provider_id)
    provider = known_to(label, provider)
    if provider.void(label.provider_id):
        return LabelState.VOIDED, f"Label {label.provider_id} was given back."
    if label.cost is None:
        return LabelState.VOIDED, f"Label {label.provider_id} was voided; it has cost nothing."
    return (
        LabelState.NOT_VOIDED,
        f"Label {label.provider_id} was voided, and its cost does not come back.",
    )


def _is_whole(attachment: Attachment) -> bool:
    """Whether its bytes are there: one that was begun and not confirmed has none."""
    return (attachment.status or "").casefold() not in {"pending", "uploading"}


def _has_expired(label: LabelRow, now: datetime) -> bool:
    return label.expires_at is not None and label.expires_at <= now


def file_name(row: Return, label: LabelRow) -> str:
    """Return the name under which a label is attached, by which it is found again."""
    return f"return-label-{row.number}-{label.parcel}.pdf"
