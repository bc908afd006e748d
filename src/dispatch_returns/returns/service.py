"""What people and programs do with returns: request one, and record what arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection

from dispatch_returns.client import DispatchClient
from dispatch_returns.clock import Clock
from dispatch_returns.errors import InvalidArgumentError, ReturnStateError
from dispatch_returns.money import Money
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.policy.verdict import Item
from dispatch_returns.returns.receipts import Receipt
from dispatch_returns.returns.records import Return
from dispatch_returns.returns.steps.engine import ReturnsEngine
from dispatch_returns.returns.steps.receiving import not_arrived
from dispatch_returns.returns.steps.request import as_field
from dispatch_returns.returns.steps.statuses import StatusNames
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import Store

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket
    from dispatch_returns.client.exact_json import JsonValue

ItemLike = str | Item | Mapping[str, Any]
"""A SKU, an `Item`, or a mapping with ``sku``, ``quantity`` and ``condition``."""

_NOT_YET = frozenset({Step.REQUESTED, Step.CHECK, Step.REJECTED, Step.GONE})


class Returns:
    """The returns of a workspace. `Connector.returns` is one.

    Example::

        ticket = connector.returns.request(
            order_id="1234", items=["SKU-001"], reason="wrong_size",
            customer_email="jane@example.com",
        )
        connector.returns.receive(ticket.id, condition="good", who="Bob, gate 3")
    """

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        engine: ReturnsEngine | None,
        statuses: StatusNames,
        clock: Clock,
        *,
        workspace: Callable[[], str | None],
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._client = client
        self._engine = engine
        self._statuses = statuses
        self._clock = clock

    def request(
        self,
        *,
        order_id: str,
        items: Sequence[ItemLike],
        reason: str,
        customer_email: str,
        customer_name: str | None = None,
        original_order_total: Money | Decimal | None = None,
        fields: Mapping[str, JsonValue] | None = None,
        body: str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        key: str | None = None,
    ) -> Ticket:
        """Create the ticket of a return, as in the returns guide, and return it.

        `original_order_total` is in major units; `fields` are further custom fields; `body` and
        `metadata` are the ticket's. A repeated call with the same `key` creates no second ticket.
        Raises `InvalidArgumentError` for items that can't be read, `APIError` otherwise.
        """
        wanted = [_item(item) for item in items]
        if not wanted:
            raise InvalidArgumentError("items", "name at least one SKU")
        total = original_order_total
        custom: dict[str, JsonValue] = {
            "order_id": order_id,
            "return_reason": reason,
            "items_to_return": [*as_field(wanted)],
        }
        if total is not None:
            custom["original_order_total"] = total.major if isinstance(total, Money) else total
        ticket = self._client.tickets.create(
            subject=f"Return Request - Order #{order_id}",
            customer_email=customer_email,
            customer_name=customer_name,
            status=self._statuses.name(Step.REQUESTED),
            custom_fields=custom | dict(fields or {}),
            body=body,
            metadata=metadata,
            idempotency_key=key,
        )
        # While the workers do not know the workspace's id yet, the ticket's event enters it.
        if self._engine is not None and self._workspace() is not None:
            engine = self._engine
            asked_at = ticket.created_at
            self._store.write("return.enter", lambda conn: engine.enter(conn, ticket, asked_at))
        return ticket

    def receive(
        self,
        ticket: str | Ticket,
        *,
        lines: Iterable[ItemLike] | None = None,
        condition: str | None = None,
        received_date: date | None = None,
        who: str,
        key: str | None = None,
    ) -> Receipt:
        """Record what arrived, and return the receipt; a worker goes on from it.

        `ticket` can be the ticket's id, or the return number on the label. `lines` default to
        everything announced that has not arrived yet; `condition` is that of the lines without
        one; `received_date` defaults to today (UTC). A repeated call with the same `key` records
        nothing new. Raises `ReturnStateError` for a ticket that is not a return, or one for which
        no package is expected.
        """
        return receive(
            self._store,
            self._clock,
            ticket if isinstance(ticket, str) else ticket.id,
            lines=lines,
            condition=condition,
            received_date=received_date,
            who=who,
            key=key,
        )

    def get(self, text: str) -> Return:
        """Return a return by its ticket's id, its number or our id. Raises `ReturnStateError`."""
        return read(self._store, text)


def receive(
    store: Store,
    clock: Clock,
    text: str,
    *,
    lines: Iterable[ItemLike] | None,
    condition: str | None,
    received_date: date | None,
    who: str,
    key: str | None = None,
) -> Receipt:
    """Record what arrived for the return that `text` names: see `Returns.receive`."""
    if not who.strip():
        raise InvalidArgumentError("who", "a receipt needs the name of who checked the package")
    given = None if lines is None else [_item(line) for line in lines]

    def note(conn: Connection) -> Receipt:
        now = clock()
        row = found(conn, text)
        receipt = receipts.note(
            conn,
            row.id,
            now,
            key=key,
            lines=_arrived(conn, row, given, condition, key),
            received_date=(received_date or now.date()).isoformat(),
            who=who.strip(),
            amount=None,
        )
        records.wake(conn, row.id, now)
        return receipt

    return store.write("return.receive", note)


def read(store: Store, text: str) -> Return:
    """Return the one return that `text` names. Raises `ReturnStateError`."""
    with store.read() as conn:
        return found(conn, text)


def found(conn: Connection, text: str) -> Return:
    """Return the one return that `text` names. Raises `ReturnStateError`."""
    matching = records.matching(conn, text.strip(), limit=2) if text.strip() else []
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise ReturnStateError(
            f"there is no return {text}: give the ticket's id, or the number on the label"
        )
    raise ReturnStateError(f"{text} matches several returns: give more of it")


def _arrived(
    conn: Connection,
    row: Return,
    given: list[Item] | None,
    condition: str | None,
    key: str | None,
) -> list[dict[str, Any]]:
    """Return the lines of the receipt. Raises `ReturnStateError`."""
    if row.step in _NOT_YET:
        raise ReturnStateError(
            f"{row.ticket_id} is {row.status}, so no package is expected: approve it first"
        )
    known = receipts.of_return(conn, row.id)
    if key is not None and any(receipt.key == key for receipt in known):
        return []
    if given is None:
        left = not_arrived(row, known)
        if not left:
            raise ReturnStateError(
                f"everything announced for {row.ticket_id} has already arrived: name the lines of"
                " this package"
            )
        return [{**item, "condition": condition} for item in left]
    if not given:
        raise InvalidArgumentError("lines", "name at least one SKU")
    return [
        {"sku": it.sku, "quantity": it.quantity, "condition": it.condition or condition}
        for it in given
    ]


def _item(value: ItemLike) -> Item:
    if isinstance(value, Mapping):
        if unknown := value.keys() - {"sku", "quantity", "condition"}:
            keys = ", ".join(sorted(map(str, unknown)))
            raise InvalidArgumentError("items", f"use sku, quantity, condition, not {keys}")
        value = Item(value.get("sku", ""), value.get("quantity", 1), value.get("condition"))
    elif isinstance(value, str):
        value = Item(value)
    sku, quantity = cast("Any", value.sku), cast("Any", value.quantity)  # for untyped callers
    if not isinstance(sku, str) or not sku.strip():
        raise InvalidArgumentError("items", "each needs an SKU")
    if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 1:
        raise InvalidArgumentError("items", f"{sku}: its quantity is not a number of pieces")
    return Item(sku.strip(), quantity, value.condition)
