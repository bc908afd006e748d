"""From `approved` to `label_sent`: the label, bought once, and voided when it is not needed.

What a label is made of is stored when it is bought, as it is bought once. The customer's address
is not stored: it is read from the order each time.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack

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
from dispatch_returns.returns.labels.provider import (
    Address,
    Label,
    LabelProvider,
    LabelRequest,
    PackingLine,
)
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.owner_lookup import Owners
from dispatch_returns.returns.records import NewDecision, Return
from dispatch_returns.returns.steps.plan import US, Move, Plan, Situation
from dispatch_returns.returns.steps.terms import ReturnTerms
from dispatch_returns.returns.steps.workflow import Workflow
from dispatch_returns.returns.transitions import ReturnAction, Step
from dispatch_returns.store import Store

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

PATIENCE = 12
"""The failures in a row, some three hours, after which a person must review the return."""
_EXPIRED = "Label {} has expired."
_CONTENT_TYPE = "application/pdf"


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The result of voiding a label, and the write that records it in the label's row."""

    decision: NewDecision
    write: Callable[[Connection], object]


class Labelling:
    """Buys labels the way refunds are paid: row first, then the call; after a crash, a look-up."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        parts: Workflow,
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

    def send(self, now: Situation, terms: ReturnTerms) -> Plan:
        """Buy and attach the label, and move on. Without a provider, agents do it by hand."""
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
        """Void the labels that are not needed any more; return the results, to be written.

        Voiding one again gives the same result. Raises `LabelError` if the provider can't answer
        now.
        """
        with self._store.read() as conn:
            known = label_records.of_return(conn, now.row.id)
        return tuple(self._void(now, label) for label in known if label.state not in OVER)

    def _wanted(self, row: Return, provider: LabelProvider) -> LabelRow:
        """Return the row of the label to use, written before a label is bought."""
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
        self, now: Situation, label: LabelRow, terms: ReturnTerms, provider: LabelProvider
    ) -> LabelRow:
        """Return the row of the bought label: found by its key, or bought now."""
        if label.state is LabelState.BOUGHT:
            return label
        if label.state is LabelState.WANTED:
            send_by = terms.send_by(self._now())
            label = replace(label, send_by=send_by, provider=provider.name)
        try:
            # Read again: the customer's address is not stored here.
            order = self._parts.order(now.row.order_id, now.ticket)
        except OrderError as error:
            if error.retryable:
                raise
            # A printed label needs no sender, and a provider of postage says what is missing.
            order = None
        label, request = self._with_document(now, label, order)
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
        """Record that the label is being bought, then buy it."""
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
            # The next worker to claim the return looks for the label first.
            raise LeaseLostError(f"the lease of {row.id} ended before its label was bought")
        try:
            return label, provider.buy(request)
        except LabelError as error:
            to = (LabelState.WANTED, LabelAction.BUY_LATER)
            if error.unknown:
                to = (LabelState.UNKNOWN, LabelAction.LOSE_TRACK)
            # If it was certainly not bought, the next attempt makes a new document.
            document = label.document if error.unknown else None
            not_bought = self._set(row, label, to, document=document, error=error.message)
            self._store.write("label.not_bought", not_bought)
            raise

    def _with_document(
        self, now: Situation, label: LabelRow, order: Order | None
    ) -> tuple[LabelRow, LabelRequest]:
        """Return the label with its document, and the request for it.

        If the label may already have been bought, that is the document it was bought with.
        """
        row = now.row
        document = label.document
        if document is None:
            assert self._parts.recipient is not None
            language = language_of(now.ticket, self._parts.language)
            document = document_of(row, order, self._parts.recipient, language)
        # The order's address is shown to its owner only.
        sender = None
        if order is not None and (
            order.from_ticket
            or self._owners.of(order, now.ticket, row.workspace_id, row.order_id).is_known
        ):
            sender = order.address
        request = request_of(row, label, document, sender)
        return replace(label, document=document), request

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
        """Attach the label to the ticket, unless it is attached already."""
        if label.attachment_id is not None or label.pdf is None:
            return label
        ticket_id, filename = now.ticket.id, file_name(now.row, label)
        # Delete unfinished uploads. Whether the API lists an upload that was not confirmed is not
        # documented.
        ours = [it for it in self._client.attachments.list(ticket_id) if it.filename == filename]
        whole = [it.id for it in ours if _is_whole(it)]
        begun = {it.id for it in ours if not _is_whole(it)}
        if label.upload_id is not None and label.upload_id not in whole:
            begun.add(label.upload_id)
        for attachment_id in begun:
            with contextlib.suppress(NotFoundError):
                self._client.attachments.delete(ticket_id, attachment_id)
        known = whole[0] if whole else None
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

    def _void(self, now: Situation, label: LabelRow) -> TakenBack:
        row = now.row
        try:
            if label.state in MAY_BE_BOUGHT:
                provider = known_to(label, self._labels)
                label, request = self._with_document(now, label, None)
                found = provider.find(request)
                if found is not None:
                    label = self._record_bought(row, label, found)
            state, why = voided(label, self._labels, self._now())
        except LabelError as error:
            if (error.retryable or error.unknown) and row.tries < PATIENCE:
                raise
            # The return is over all the same; the shop settles the rest with the provider.
            state, why = LabelState.NOT_VOIDED, f"The label could not be voided: {error}"
        decision = NewDecision("label", str(state), US, why, {"label": label.id})
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
        """Return the write that changes a label while this worker holds its return."""

        def write(conn: Connection) -> LabelRow:
            now = self._now()
            self._hold(conn, row, now)
            if to is None:
                return label_records.change(conn, label, now, **values)
            return label_records.move(conn, label, now, to[0], by=to[1], **values)

        return write

    def _hold(self, conn: Connection, row: Return, now: datetime) -> None:
        """Extend the lease of the return. Raises `LeaseLostError` if another worker holds it."""
        records.change(conn, row, now, now + self._lease)


def known_to(label: LabelRow, provider: LabelProvider | None) -> LabelProvider:
    """Return the provider, if the label is one of its own. Raises `LabelError` if it is not.

    Another provider would answer that the label was never bought.
    """
    name = None if provider is None else provider.name
    if provider is None or name != label.provider:
        raise LabelError(
            f"{label.id} is a label of {label.provider}, but DISPATCH_RETURNS_LABELS is"
            f" {name or 'not set'}: set it to {label.provider} again, or look for the label at"
            f" {label.provider}"
        )
    return provider


def voided(
    label: LabelRow, provider: LabelProvider | None, now: datetime
) -> tuple[LabelState, str]:
    """Void a label; return its new state, and a sentence for agents. Raises `LabelError`."""
    if label.provider_id is None:
        return LabelState.VOIDED, "The label was not bought, and is not needed any more."
    if _has_expired(label, now):
        return LabelState.EXPIRED, _EXPIRED.format(label.provider_id)
    provider = known_to(label, provider)
    if provider.void(label.provider_id):
        return LabelState.VOIDED, f"Label {label.provider_id} was voided; its cost is refunded."
    if label.cost is None:
        return LabelState.VOIDED, f"Label {label.provider_id} was voided; it cost nothing."
    return (
        LabelState.NOT_VOIDED,
        f"Label {label.provider_id} was voided, but its cost is not refunded.",
    )


def _is_whole(attachment: Attachment) -> bool:
    """Whether its upload was completed."""
    return (attachment.status or "").casefold() not in {"pending", "uploading"}


def _has_expired(label: LabelRow, now: datetime) -> bool:
    return label.expires_at is not None and label.expires_at <= now


def file_name(row: Return, label: LabelRow) -> str:
    """Return the file name of a label's attachment, by which it is found again."""
    return f"return-label-{row.number}-{label.parcel}.pdf"


def document_of(
    row: Return, order: Order | None, recipient: Address, language: str
) -> dict[str, Any]:
    """Return what a label bought now is made of, as JSON values for the store.

    Its weight (grams) is None if that of any item is not known.
    """
    titles = {line.sku: line.title for line in order.lines} if order else {}
    weights = {line.sku: line.weight for line in order.lines} if order else {}
    grams = [(weights.get(item["sku"]), item["quantity"]) for item in row.items]
    known = [weight * quantity for weight, quantity in grams if weight is not None]
    return {
        "recipient": asdict(recipient),
        "order_id": row.order_id,
        "reason": row.reason,
        "lines": [{**item, "title": titles.get(item["sku"])} for item in row.items],
        "weight": sum(known) or None if len(known) == len(grams) else None,
        "language": language,
    }


def request_of(
    row: Return, label: LabelRow, document: Mapping[str, Any], sender: Address | None
) -> LabelRequest:
    """Return the request for a label: the same document always gives the same request."""
    return LabelRequest(
        key=label.id,
        ticket_id=row.ticket_id,
        return_number=row.number,
        recipient=Address(**document["recipient"]),
        sender=sender,
        lines=tuple(PackingLine(**line) for line in document["lines"]),
        created_at=label.created_at,
        order_id=document["order_id"],
        reason=document["reason"],
        weight=document["weight"],
        send_by=label.send_by and label.send_by.date(),
        language=document["language"],
    )


def language_of(ticket: Ticket, shop: str) -> str:
    """Return the customer's language from the ticket, or else the shop's."""
    language = ticket.custom_fields.get("language")
    return language if isinstance(language, str) and language else shop
