"""`OnlineReturns`: what the portal needs of the rest, and what workers do for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from dispatch_returns.clock import Clock
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.owner import PROOF
from dispatch_returns.returns import label_records, receipts, records
from dispatch_returns.returns.label_records import LabelRow, LabelState
from dispatch_returns.returns.online import codes, requests
from dispatch_returns.returns.online.codes import Codes
from dispatch_returns.returns.online.requests import OnlineRequest
from dispatch_returns.returns.owner_lookup import Owners
from dispatch_returns.returns.policy.verdict import History, Item
from dispatch_returns.returns.records import Return
from dispatch_returns.returns.service import Returns
from dispatch_returns.returns.steps.eligibility import Before, before, key_of
from dispatch_returns.returns.steps.messages import add_note
from dispatch_returns.returns.steps.statuses import StatusNames, Step
from dispatch_returns.returns.steps.terms import ReturnTerms
from dispatch_returns.returns.steps.workflow import Policy, Workflow
from dispatch_returns.store import Store, outbox
from dispatch_returns.store.outbox import NewMessage

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient, Ticket
    from dispatch_returns.client.exact_json import JsonValue
    from dispatch_returns.returns.orders.model import Order
    from dispatch_returns.store.outbox import Message

_CANCEL = "return_cancel"
"""The messages that cancel a return."""
MESSAGES = frozenset({codes.KIND, requests.KIND, _CANCEL})
"""The kinds of messages in the outbox that `OnlineReturns.deliver` delivers."""
_MOST_REFUNDS = 100
_CANCELLABLE = frozenset({Step.REQUESTED, Step.CHECK, Step.REVIEW, Step.APPROVED, Step.LABEL_SENT})
_CLOCKS_DIFFER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ReturnProgress:
    """A return as its customer may see it. ``row`` is None until its ticket is open and seen."""

    request: OnlineRequest | None
    row: Return | None
    label: LabelRow | None = None
    refunds: tuple[Refund, ...] = ()
    arrived: bool = False

    @property
    def id(self) -> str:
        """What names it in the portal."""
        if self.request is not None:
            return self.request.id
        assert self.row is not None
        return self.row.number

    @property
    def can_be_cancelled(self) -> bool:
        """Whether nothing has arrived, and nothing is paid."""
        if self.row is None or self.row.step not in _CANCELLABLE or self.arrived or self.refunds:
            return False
        return self.row.terms is None or not ReturnTerms.of(self.row.terms).returnless

    @property
    def items(self) -> Mapping[str, int]:
        """The pieces by SKU."""
        source = self.row or self.request
        assert source is not None
        return {it["sku"]: it["quantity"] for it in source.items}


class OnlineReturns:
    """Orders, history and requests for the portal. Safe to use in many threads."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        returns: Returns,
        parts: Workflow,
        owners: Owners,
        *,
        codes: Codes,
        clock: Clock,
        statuses: StatusNames,
        workspace: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._client = client
        self._returns = returns
        self._parts = parts
        self._owners = owners
        self._workspace = workspace
        self._wake = wake
        self._statuses = statuses
        self.codes = codes
        self.now = clock

    @property
    def language(self) -> str:
        """The shop's own language."""
        return self._parts.language

    def ask_for_code(
        self, order_id: str, known: str, network: str | None, language: str
    ) -> str | None:
        """Have a code mailed: see `Codes.ask`."""
        challenge = self.codes.ask(order_id, known, network, language, self._workspace())
        self._wake()
        return challenge

    def order(self, order_id: str) -> Order | None:
        """Return an order, None if the shop does not know it. Raises `OrderError`.

        A ticket that describes its own order proves nothing, and there is none here.
        """
        order = self._parts.orders.order(order_id, self._no_ticket())
        return None if order is None or order.from_ticket else order

    def policy(self, order: Order) -> Policy:
        """Return the policy that applies to an order."""
        return self._parts.book.in_force(order.placed_at)

    def before(self, order: Order, items: Mapping[str, int] | None = None) -> Before:
        """Return what other returns say about a request for these pieces, by SKU.

        Without `items`, what is open counts among the pieces that are in other returns.
        """
        now = self.now()
        row = replace(
            records.unwritten(self._workspace(), "", now, now),
            order_key=key_of(order.id, order),
            customer=records.customer_digest(order.customer_email),
            items=[{"sku": sku, "quantity": count} for sku, count in (items or {}).items()],
        )
        key = row.order_key or ""
        with self._store.read() as conn:
            found = before(conn, row)
            entered = {it.ticket_id for it in records.all_of_order(conn, row.workspace_id, key)}
            asked = requests.of_order(conn, row.workspace_id, key)
        waiting = [it for it in asked if it.ticket_id not in entered]
        returned = dict(found.history.returned)
        for request in waiting:
            for it in request.items:
                returned[it["sku"]] = returned.get(it["sku"], 0) + it["quantity"]
        return replace(found, history=History(found.history.returns_by_age, returned))

    def request(
        self,
        request_id: str,
        order_id: str,
        order: Order,
        items: Mapping[str, int],
        reason: str,
        *,
        detail: str | None = None,
        note: str | None = None,
        language: str,
        email: str | None = None,
    ) -> OnlineRequest:
        """Store a request, once for each `request_id`, and return it; a worker opens its ticket.

        `email` is where the customer can be reached if the order has no address.
        """
        fresh = OnlineRequest(
            id=request_id,
            workspace_id=self._workspace(),
            order_id=order_id,
            order_key=key_of(order_id, order) or "",
            items=[{"sku": sku, "quantity": count} for sku, count in items.items()],
            reason=reason,
            detail=detail,
            language=language,
            email=None if order.customer_email else email,
            note=note,
            ticket_id=None,
            created_at=self.now(),
        )

        def add(conn: Connection) -> OnlineRequest:
            requests.add(conn, fresh)
            found = requests.get(conn, request_id)
            assert found is not None
            return found

        stored = self._store.write("online.request", add)
        self._wake()
        return stored

    def returns_of(self, order: Order) -> list[ReturnProgress]:
        """Return the returns of an order that its owner may see, newest first.

        Those are their own: asked for in the portal, or from the order's own address. What someone
        else has asked for is between them and the shop.
        """
        workspace, key = self._workspace(), key_of(order.id, order) or ""
        owner = records.customer_digest(order.customer_email)
        with self._store.read() as conn:
            rows = records.all_of_order(conn, workspace, key)
            asked = requests.of_order(conn, workspace, key)
            by_ticket = {it.ticket_id: it for it in asked if it.ticket_id is not None}
            known = {row.ticket_id for row in rows}
            found = [ReturnProgress(it, None) for it in asked if it.ticket_id not in known]
            for row in rows:
                request = by_ticket.get(row.ticket_id)
                if request is None and (owner is None or row.customer != owner):
                    continue
                labels = label_records.of_return(conn, row.id)
                usable = [it for it in labels if it.state is LabelState.BOUGHT]
                refunds = ledger.newest(conn, limit=_MOST_REFUNDS, ticket_id=row.ticket_id)
                newest = usable[-1] if usable else None
                arrived = bool(receipts.of_return(conn, row.id))
                found.append(ReturnProgress(request, row, newest, tuple(refunds), arrived))
        return found

    def cancel(self, shown: ReturnProgress) -> None:
        """Cancel a return that `can_be_cancelled`; a worker sets its status."""
        row = shown.row
        if row is None or not shown.can_be_cancelled:
            return
        message = NewMessage(
            dedupe_key=f"{_CANCEL}-{row.id}-{row.entered_at.isoformat()}",
            kind=_CANCEL,
            workspace_id=row.workspace_id,
            ticket_id=None,
            payload={"ticket": row.ticket_id, "return": row.id},
        )
        note = f"The customer has cancelled this return in the portal. (Return {row.number})"

        def cancel(conn: Connection) -> None:
            now = self.now()
            if outbox.add(conn, message, now):
                add_note(conn, row, note, now)

        self._store.write("online.cancel", cancel)
        self._wake()

    def deliver(self, message: Message) -> None:
        """Do what a claimed message asks for; doing it again changes nothing.

        Raises `APIError`, `OrderError` or `NotificationError`.
        """
        if message.kind == codes.KIND:
            self.codes.deliver(message, self._no_ticket())
        elif message.kind == _CANCEL:
            self._set_cancelled(message)
        else:
            self._open(message)

    def _open(self, message: Message) -> None:
        """Open the ticket of a request, once."""
        with self._store.read() as conn:
            request = requests.get(conn, message.payload["request"])
        assert request is not None, "a request is stored with its message"
        if request.ticket_id is not None:
            return
        order = self._parts.orders.order(request.order_id, self._no_ticket())
        owner = None if order is None else order.customer_email
        email = owner or request.email
        ticket: Ticket | None = None
        if message.claims > 1:
            # How long the API remembers an idempotency key is not documented: look first.
            ticket = self._find(request, email)
        if ticket is None:
            fields: dict[str, JsonValue] = {"language": request.language}
            if request.detail is not None:
                fields["return_reason_detail"] = request.detail
            if owner is None:
                fields[PROOF] = self._owners.proof(request.order_id)
            ticket = self._returns.request(
                order_id=request.order_id,
                items=[Item(it["sku"], it["quantity"]) for it in request.items],
                reason=request.reason,
                customer_email=email or "",
                original_order_total=None if order is None else order.total,
                fields=fields,
                body=request.note,
                metadata={requests.MARK: request.id},
                key=f"online-{request.id}",
            )
        opened = ticket.id
        self._store.write("online.opened", lambda conn: requests.opened(conn, request.id, opened))
        self._wake()

    def _set_cancelled(self, message: Message) -> None:
        """Set the status of a ticket to cancelled, unless it has come too far meanwhile."""
        ticket = self._client.tickets.get(message.payload["ticket"])
        if self._statuses.step(ticket.status) in _CANCELLABLE:
            # Without retries: a person may change the ticket before the next attempt.
            tickets = self._client.tickets.with_options(max_retries=0)
            tickets.update(ticket.id, status=self._statuses.name(Step.CANCELLED))
        row_id, now = message.payload["return"], self.now()
        self._store.write("online.cancelled", lambda conn: records.wake(conn, row_id, now))
        self._wake()

    def _find(self, request: OnlineRequest, email: str | None) -> Ticket | None:
        since = request.created_at - _CLOCKS_DIFFER
        found = self._client.tickets.list(customer_email=email, created_after=since)
        return next((it for it in found if it.metadata.get(requests.MARK) == request.id), None)

    def _no_ticket(self) -> Ticket:
        """Return what stands for the ticket where an order source wants one."""
        from dispatch_returns.client import Ticket

        values: dict[str, Any] = {
            "id": "",
            "workspace_id": self._workspace(),
            "subject": "",
            "status": "",
            "created_at": self.now(),
            "custom_fields": {},
        }
        return Ticket.model_validate(values)
