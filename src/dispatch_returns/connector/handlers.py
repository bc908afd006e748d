"""The merchant's own functions, which run when something happens."""

from __future__ import annotations

import asyncio
import difflib
import inspect
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from dispatch_returns.errors import InvalidArgumentError
from dispatch_returns.money import Money
from dispatch_returns.store import outbox
from dispatch_returns.webhooks.events import OtherEventName

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dispatch_returns.client import DispatchClient, Ticket
    from dispatch_returns.refunds.ledger import Refund

Handler = Callable[[Any, "Context"], Awaitable[None] | None]

CommentEventName = Literal["ticket.comment.created", "comment.created"]
RefundEventName = Literal[
    "refund.succeeded",
    "refund.voided",
    "refund.failed",
    "refund.held",
    "refund.canceled",
    "refund.pending",
    "refund.requires_action",
    "refund.unknown",
]
EVENT_NAMES: tuple[str, ...] = (
    "ticket.created",
    "ticket.updated",
    *get_args(CommentEventName),
    *get_args(OtherEventName),
    *get_args(RefundEventName),
)
"""The events that a handler can be for."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler gets in addition to the event."""

    client: DispatchClient
    ticket_id: str | None

    def ticket(self) -> Ticket:
        """Read the event's ticket through the API, as it is now. Raises `APIError`."""
        if self.ticket_id is None:
            raise InvalidArgumentError("event", "this event is not about a ticket")
        return self.client.tickets.get(self.ticket_id)


@dataclass(frozen=True, slots=True)
class RefundEvent:
    """A refund's new state, for ``connector.on("refund.failed")``.

    ``type`` is ``refund.`` and the state: succeeded, voided, failed, held, canceled, pending,
    requires_action, unknown. ``id`` is the same at each delivery of the event. ``at`` is when it
    happened, in UTC. ``adopted``: the refund was made elsewhere. ``reason`` and ``detail`` say why
    a person must look, if one must.
    """

    id: str
    type: str
    at: datetime
    refund_id: str
    ticket_id: str
    order_id: str | None
    state: str
    amount: Money | None
    processor_id: str | None
    adopted: bool
    reason: str | None
    detail: str | None
    failure_reason: str | None
    arn: str | None

    @classmethod
    def of(cls, refund: Refund, at: datetime) -> RefundEvent:
        """Return the event of a refund that entered its state at `at`."""
        kind = f"refund.{refund.state}"
        return cls(
            id=f"{refund.id}-{refund.state}-{at.isoformat()}",
            type=kind,
            at=at,
            refund_id=refund.id,
            ticket_id=refund.ticket_id,
            order_id=refund.order_id,
            state=str(refund.state),
            amount=refund.amount,
            processor_id=refund.processor_id,
            adopted=refund.adopted,
            reason=refund.reason,
            detail=refund.detail,
            failure_reason=refund.failure_reason,
            arn=refund.arn,
        )

    def as_payload(self) -> dict[str, Any]:
        """Return it as JSON that `from_payload` reads."""
        amount = self.amount and [self.amount.minor, self.amount.currency, self.amount.decimals]
        return asdict(self) | {"at": self.at.isoformat(), "amount": amount}

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> RefundEvent:
        """Return what `as_payload` wrote."""
        amount = payload["amount"] and Money(*payload["amount"])
        at = datetime.fromisoformat(payload["at"])
        values: dict[str, Any] = {**payload, "at": at, "amount": amount}
        return cls(**values)


def check_event(event_type: str) -> None:
    """Raise `InvalidArgumentError` for an event that does not exist, with a similar one."""
    if event_type in EVENT_NAMES:
        return
    similar = difflib.get_close_matches(event_type, EVENT_NAMES, n=1, cutoff=0.5)
    hint = f"did you mean {similar[0]}?" if similar else f"they are {', '.join(EVENT_NAMES)}"
    raise InvalidArgumentError("event_type", f"there is no event {event_type}; {hint}")


class Handlers:
    """The handlers by event type, each under a stable name.

    The name is stored with the event, so that the same function is called after a restart.
    """

    def __init__(self) -> None:
        self._by_type: dict[str, dict[str, Handler]] = {}

    def add(self, event_type: str, handler: Handler) -> None:
        """Call `handler` for every event of `event_type`, at least once."""
        name = f"{handler.__module__}.{handler.__qualname__}"
        known = self._by_type.setdefault(_one_name(event_type), {})
        if name in known:
            raise InvalidArgumentError(
                "handler", f"{name} already handles {event_type}: give it another name"
            )
        known[name] = handler

    def names(self, event_type: str) -> list[str]:
        """Return the names of the handlers for `event_type`."""
        return list(self._by_type.get(_one_name(event_type), ()))

    def refund_changed(self, conn: Connection, refund: Refund, now: datetime) -> None:
        """Add a message to the outbox for each handler of the refund's new state."""
        for name in self.names(f"refund.{refund.state}"):
            event = RefundEvent.of(refund, now)
            message = outbox.NewMessage(
                dedupe_key=f"{event.id}-{name}",
                kind="handler",
                workspace_id=refund.workspace_id,
                ticket_id=refund.ticket_id,
                payload={"type": event.type, "handler": name, "refund": event.as_payload()},
            )
            outbox.add(conn, message, now)

    def get(self, event_type: str, name: str) -> Handler | None:
        """Return a handler by its name, None if the program no longer has it."""
        return self._by_type.get(_one_name(event_type), {}).get(name)


def _one_name(event_type: str) -> str:
    """Return one name for an event that has two, so that handlers for either are called."""
    return "comment.created" if event_type == "ticket.comment.created" else event_type


def call(handler: Handler, event: object, context: Context) -> None:
    """Call a handler; an ``async def`` one runs to its end in an event loop of its own."""
    returned = handler(event, context)
    if not inspect.isawaitable(returned):
        return

    async def wait() -> None:
        await returned

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(wait())
        return
    # `connector.refund()` or `work_off()` was called inside a loop, where no second one can run.
    raised: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(wait())
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=run, name="dispatch-returns-handler")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
