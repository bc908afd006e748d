"""What happens to a delivery: refused, or on disk and acknowledged. No framework in here."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypedDict, TypeVar, Unpack, runtime_checkable

from dispatch_returns import telemetry
from dispatch_returns.clock import Clock, never_wrong, utc_now
from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    EventError,
    InvalidArgumentError,
    NotVerifiableYetError,
    ReplayError,
    SignatureError,
    StoreError,
)
from dispatch_returns.store import NewEvent, inbox
from dispatch_returns.telemetry import ids
from dispatch_returns.webhooks.arrivals import Arrivals
from dispatch_returns.webhooks.events import parse
from dispatch_returns.webhooks.fields import identifier, optional_identifier
from dispatch_returns.webhooks.http import Answer, AsyncRequest, Endpoint, NoBody, Request
from dispatch_returns.webhooks.signature import HEADER, verify

if TYPE_CHECKING:
    from sqlalchemy import Connection

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

DISPATCH = "dispatch"
"""The source of Dispatch's deliveries, and the end of the path that they are sent to."""
_RETRY_AFTER = 30
"""Seconds after which a sender may try again when the store could not commit."""
_HINTS_EVERY = 10
"""Seconds. All unsigned hints about a payment in such a stretch of time make us ask once, after it.
"""


class InboxStore(Protocol):
    """What the receiver needs of `dispatch_returns.store.Store`."""

    def submit(self, name: str, work: Callable[[Connection], _T], /) -> Future[_T]:
        """Run `work` in a transaction; the future resolves once it is on disk."""
        ...


class HasReceivers(Protocol):
    """What the framework mounts take: a `Connector`, or anything else with receivers."""

    @property
    def receivers(self) -> Mapping[str, Endpoint]:
        """The receivers by sender, ``dispatch`` among them; read at each delivery."""
        ...


class VerifiedEvent(Protocol):
    """What the inbox needs to know about a processor's event."""

    @property
    def event_id(self) -> str:
        """The event's id, which a repeated delivery has too."""
        ...

    @property
    def type(self) -> str:
        """What happened, in the processor's own word."""
        ...

    @property
    def occurred_at(self) -> datetime | None:
        """When it happened, with its time zone."""
        ...

    @property
    def ticket_id(self) -> str | None:
        """The ticket, where the event carries it."""
        ...

    @property
    def body(self) -> bytes | None:
        """The event's own part of the delivery; None where it is the whole body."""
        ...

    @property
    def hint_of(self) -> str | None:
        """The payment's id where the delivery is unsigned, and only a reason to ask."""
        ...


class Processor(Protocol):
    """What `ProcessorReceiver` needs of a refund adapter."""

    @property
    def name(self) -> str:
        """The adapter's name: the source of its events in the inbox."""
        ...

    def verify_webhook(self, request: WebhookRequest, /) -> Sequence[VerifiedEvent]:
        """Return a delivery's events.

        Raises `SignatureError`, `NotVerifiableYetError`, and `EventError` for an authentic delivery
        that is not understood.
        """
        ...


@runtime_checkable
class Challenged(Protocol):
    """A processor that checks the webhook's URL with a GET."""

    def answer_challenge(self, request: WebhookRequest, /) -> bytes:
        """Return the text to answer with. Raises `SignatureError` for any other request."""
        ...


IsKnown = Callable[["Connection", str, str], bool]
"""Whether the ledger has a payment: the processor's name, the payment's id."""


def _answer(status: int, word: str, *headers: tuple[str, str]) -> Answer:
    body = json.dumps({"status": word}).encode()
    return Answer(status, body, (("content-type", "application/json"), *headers))


_ACCEPTED = _answer(200, "accepted")
_REPEATED = _answer(200, "repeated")
_UNREADABLE = _answer(200, "unreadable")
_BAD_LENGTH = _answer(400, "bad content-length")
_BROKEN_OFF = _answer(400, "broken off")
_UNAUTHORIZED = _answer(401, "unauthorized")
_TOO_SLOW = _answer(408, "too slow")
_POST_ONLY = _answer(405, "method not allowed", ("allow", "POST"))
_LENGTH_REQUIRED = _answer(411, "length required")
_TOO_LARGE = _answer(413, "too large")
_NOT_YET = _answer(503, "not verifiable yet", ("retry-after", str(_RETRY_AFTER)))
_UNAVAILABLE = _answer(503, "unavailable", ("retry-after", str(_RETRY_AFTER)))


def _nothing() -> None:
    pass


class ReceiverOptions(TypedDict, total=False):
    """What every receiver accepts: see `BaseReceiver`."""

    max_body: int
    max_read: timedelta
    max_wait: timedelta
    clock: Clock
    on_accept: Callable[[], None]
    clock_wrong_by: Callable[[], timedelta | None]


class BaseReceiver(ABC):
    """Takes one sender's deliveries: verifies, stores, answers.

    `store` keeps the events. A body over `max_body` bytes is refused unread, and a body that is not
    complete after `max_read` is cut off, where the server lets the mount see it. `on_accept` is
    called after each new event is on disk, in the thread that received it: it must return at once.
    The store has `max_wait` to commit; senders are assumed to hang up after 10 s.

    Several threads may call every method at the same time.
    """

    source: str

    def __init__(
        self,
        store: InboxStore,
        *,
        max_body: int = 1_048_576,
        max_read: timedelta = timedelta(seconds=10),
        max_wait: timedelta = timedelta(seconds=8),
        clock: Clock = utc_now,
        on_accept: Callable[[], None] = _nothing,
        clock_wrong_by: Callable[[], timedelta | None] = never_wrong,
    ) -> None:
        self.max_body = max_body
        self.max_read = max_read.total_seconds()
        self._store = store
        self._max_wait = max_wait.total_seconds()
        self._clock = clock
        self._on_accept = on_accept
        self._clock_wrong_by = clock_wrong_by
        self._arrivals: Arrivals | None = None

    @abstractmethod
    def _read(self, request: WebhookRequest) -> Sequence[NewEvent]:
        """Return an authentic delivery's events.

        Raises `SignatureError`, `EventError`, `NotVerifiableYetError`.
        """

    def serve(self, request: Request) -> Answer:
        """Return the answer to a request; read its body only if it is needed."""
        refusal = self.refusal(request.method, request.headers)
        if refusal is not None:
            return refusal
        body = request.read(self.max_body, self.max_read)
        if isinstance(body, NoBody):
            return self._unread(request.headers, body)
        return self._receive(_whole(request, body))

    async def serve_async(self, request: AsyncRequest) -> Answer:
        """Like `serve`, without blocking the event loop."""
        refusal = self.refusal(request.method, request.headers)
        if refusal is not None:
            return refusal
        body = await request.read(self.max_body, self.max_read)
        if isinstance(body, NoBody):
            return self._unread(request.headers, body)
        return await self._receive_async(_whole(request, body))

    def receive(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer to one request, after waiting for the disk.

        Header names are case-insensitive; a header that was sent more than once comes joined by
        ``", "``. The answers: 200 (accepted, repeated, or unreadable and kept), 400, 401, 405, 411,
        413, and 503 when the event could not be stored or verified yet: the sender should retry.
        """
        return self._receive(WebhookRequest(method, "", headers, body))

    def _receive(self, request: WebhookRequest) -> Answer:
        checked = self._check(request)
        if isinstance(checked, Answer):
            return checked
        try:
            new = self._keep(checked).result(self._max_wait)
        except (StoreError, TimeoutError) as error:
            return _unavailable(self.source, checked, error)
        return self._kept(checked, new)

    async def receive_async(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Like `receive`, without blocking the event loop."""
        return await self._receive_async(WebhookRequest(method, "", headers, body))

    async def _receive_async(self, request: WebhookRequest) -> Answer:
        checked = self._check(request)
        if isinstance(checked, Answer):
            return checked
        try:
            async with asyncio.timeout(self._max_wait):
                # Nearly always the same loop runs here.
                loop = asyncio.get_running_loop()
                arrivals = self._arrivals
                if arrivals is None or arrivals.loop is not loop:
                    arrivals = self._arrivals = Arrivals(loop)
                new = await arrivals.wait_for(self._keep(checked))
        except (StoreError, TimeoutError) as error:
            return _unavailable(self.source, checked, error)
        return self._kept(checked, new)

    def refusal(self, method: str, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer to a request whose body need not be read, else None."""
        if method != "POST":
            return self.refused(_POST_ONLY, "method")
        length = _header(headers, "content-length")
        if length is None:
            return None
        if not (length.isascii() and length.isdigit()):
            return self.refused(_BAD_LENGTH, "length")
        # A number with so many digits is too large, and int() refuses thousands of them.
        if len(length) > 18 or int(length) > self.max_body:
            return self.refused(_TOO_LARGE, "too_large")
        return None

    def _unread(self, headers: Mapping[str, str], body: NoBody) -> Answer:
        """Return the answer to a body that could not be read.

        Only the log can tell the merchant why, so it says what to do about it.
        """
        if body.why == "too slow":
            return self.refused(_TOO_SLOW, "too_slow")
        if body.why == "no length":
            _log.warning(
                "delivery refused: its body has no Content-Length, and this server does not say"
                " where a body in chunks ends; serve the application with gunicorn or uvicorn, or"
                " have the proxy buffer requests",
                extra=ids(),
            )
            return self.refused(_LENGTH_REQUIRED, "length")
        announced = _header(headers, "content-length")
        _log.warning(
            "delivery refused: its body is incomplete (%s announced, %d bytes seen). If this"
            " happens with every delivery, something reads the body before the receiver: a hook,"
            " a middleware, a monitoring agent. Leave the receiver's path out there",
            f"{announced} bytes" if announced else "no length",
            body.seen,
            extra=ids(),
        )
        return self.refused(_BROKEN_OFF, "incomplete")

    def refused(self, answer: Answer, reason: str) -> Answer:
        """Return `answer`, counted as a refusal for `reason`."""
        telemetry.count("deliveries.refused", source=self.source, reason=reason)
        return answer

    def _check(self, request: WebhookRequest) -> Answer | Sequence[NewEvent]:
        """Decide everything that can be decided without the store."""
        body = request.body
        if refusal := self.refusal(request.method, request.headers):
            return refusal
        if len(body) > self.max_body:
            return self.refused(_TOO_LARGE, "too_large")
        try:
            events = self._read(request)
        except SignatureError as problem:
            if isinstance(problem, ReplayError) and (wrong := self._wrong_clock()):
                return wrong
            # Log nothing of the request but its length: its sender is not verified.
            _log.warning("delivery refused: %s (%d bytes)", problem, len(body), extra=ids())
            reason = "replay" if isinstance(problem, ReplayError) else "signature"
            return self.refused(_UNAUTHORIZED, reason)
        except NotVerifiableYetError as problem:
            _log.warning("delivery not stored, to be sent again: %s", problem, extra=ids())
            return self.refused(_NOT_YET, "not_verifiable_yet")
        except EventError as problem:
            events = (_unreadable(self.source, body, problem),)
        return self._wrong_clock() or events

    def _wrong_clock(self) -> Answer | None:
        """Return the answer to a delivery while the clock is wrong, None while it is right."""
        ahead = self._clock_wrong_by()
        if ahead is None:
            return None
        _log.error(
            "delivery not stored, to be sent again: this machine's clock is wrong by %s: set it"
            " (NTP)",
            ahead,
            extra=ids(),
        )
        return self.refused(_UNAVAILABLE, "clock")

    def _keep(self, events: Sequence[NewEvent]) -> Future[list[bool]]:
        return self._store.submit("inbox.accept", inbox.adding(events, self._clock()))

    def _kept(self, events: Sequence[NewEvent], new: Sequence[bool]) -> Answer:
        for event, is_new in zip(events, new, strict=True):
            _log.info(
                "event %s %s (%s, ticket %s)",
                event.event_id,
                "accepted" if is_new else "repeated",
                event.type,
                event.ticket_id,
                extra=ids(event_id=event.event_id, ticket_id=event.ticket_id),
            )
            readable = "accepted" if event.readable else "unreadable"
            telemetry.count(f"events.{readable if is_new else 'repeated'}", source=self.source)
        kept = [event.readable for event, is_new in zip(events, new, strict=True) if is_new]
        if not kept:
            # The answer to a hint does not say whether we know the payment.
            return _REPEATED if any(event.hint_of is None for event in events) else _ACCEPTED
        if not any(kept):
            return _UNREADABLE
        try:
            self._on_accept()
        except Exception as error:  # noqa: BLE001 - the event is on disk: it is accepted
            _log.error("on_accept failed: %s", type(error).__name__, extra=ids())
        return _ACCEPTED


class Receiver(BaseReceiver):
    """Takes the deliveries of Dispatch.

    `secrets` are the webhook's signing secrets, more than one during rotation. A signed time older
    than `max_age` or more than `max_future` ahead is refused as a replay.
    """

    source = DISPATCH

    def __init__(
        self,
        store: InboxStore,
        secrets: str | Sequence[str],
        *,
        max_age: timedelta = timedelta(days=7),
        max_future: timedelta = timedelta(minutes=5),
        **options: Unpack[ReceiverOptions],
    ) -> None:
        super().__init__(store, **options)
        self._secrets = secrets
        self._max_age = max_age
        self._max_future = max_future

    def _read(self, request: WebhookRequest) -> Sequence[NewEvent]:
        verify(request.body, request.header(HEADER), self._secrets)
        event = parse(request.body)
        age = self._clock() - event.timestamp
        if age > self._max_age or -age > self._max_future:
            raise ReplayError(f"event {event.id} is {age} old: taken for a replay")
        return (
            NewEvent(
                source=self.source,
                event_id=event.id,
                type=event.type,
                workspace_id=event.workspace_id,
                ticket_id=event.ticket_id,
                body=request.body,
                occurred_at=event.timestamp,
            ),
        )


class ProcessorReceiver(BaseReceiver):
    """Takes the webhooks of a payment processor, which its refund adapter verifies.

    `is_known` says whether the ledger has a payment. An unsigned hint about any other payment is
    answered and forgotten, so that nobody can fill the inbox, or make us ask without end.
    """

    def __init__(
        self,
        store: InboxStore,
        processor: Processor,
        *,
        source: str | None = None,
        is_known: IsKnown = lambda _conn, _source, _payment: False,
        **options: Unpack[ReceiverOptions],
    ) -> None:
        """`source` is the adapter's configured name, where that is not its own name."""
        super().__init__(store, **options)
        self.source = source or processor.name
        self._processor = processor
        self._is_known = is_known

    def serve(self, request: Request) -> Answer:
        """Return the answer to a request, which may be a challenge."""
        return self._challenged(request) or super().serve(request)

    async def serve_async(self, request: AsyncRequest) -> Answer:
        """Like `serve`, without blocking the event loop."""
        return self._challenged(request) or await super().serve_async(request)

    def _challenged(self, request: Request | AsyncRequest) -> Answer | None:
        """Return the answer to a challenge; None for any other request."""
        if request.method != "GET" or not isinstance(self._processor, Challenged):
            return None
        try:
            said = self._processor.answer_challenge(_whole(request, b""))
        except SignatureError as problem:
            _log.warning("challenge refused: %s", problem, extra=ids())
            return self.refused(_UNAUTHORIZED, "challenge")
        # Part of it may be the sender's own text: no browser may take it for a page.
        headers = (("content-type", "text/plain"), ("x-content-type-options", "nosniff"))
        return Answer(200, said, headers)

    def _read(self, request: WebhookRequest) -> Sequence[NewEvent]:
        heads = self._processor.verify_webhook(request)
        try:
            return [self._event(head, request.body) for head in heads]
        except ValueError:
            raise EventError("an id is missing, or not what it must be") from None

    def _event(self, head: VerifiedEvent, body: bytes) -> NewEvent:
        event = NewEvent(
            source=self.source,
            event_id=identifier(head.event_id),
            type=identifier(head.type),
            workspace_id=None,
            ticket_id=optional_identifier(head.ticket_id),
            body=body if head.body is None else head.body,
            occurred_at=head.occurred_at,
        )
        if head.hint_of is None:
            return event
        # One id for all hints in a stretch of time, at whose end we ask: none of them is missed.
        stretch = int(self._clock().timestamp()) // _HINTS_EVERY + 1
        asks_at = datetime.fromtimestamp(stretch * _HINTS_EVERY, UTC)
        name = f"hint-{identifier(head.hint_of)}-{stretch}"
        return replace(event, event_id=name, hint_of=head.hint_of, due_at=asks_at)

    def _keep(self, events: Sequence[NewEvent]) -> Future[list[bool]]:
        if all(event.hint_of is None for event in events):
            return super()._keep(events)
        now = self._clock()

        def add(conn: Connection, event: NewEvent) -> bool:
            hint = event.hint_of
            known = hint is None or self._is_known(conn, self.source, hint)
            return known and inbox.add(conn, event, now)

        return self._store.submit("inbox.accept", lambda conn: [add(conn, it) for it in events])


class Deliveries:
    """The endpoint of all receivers: passes each request to the receiver of its sender.

    That is `sender`; where it is None, the sender that the path ends with (``/webhooks/stripe``),
    or else Dispatch. Raises `InvalidArgumentError` where there is no receiver for `sender`.
    """

    def __init__(self, connector: HasReceivers, sender: str | None = None) -> None:
        if sender is not None and sender not in connector.receivers:
            known = ", ".join(connector.receivers)
            problem = f"nothing is received from {sender}, only: {known}"
            raise InvalidArgumentError("sender", problem)
        self._connector = connector
        self._sender = sender

    def serve(self, request: Request) -> Answer:
        """Return the answer to one request."""
        return self._receiver(request.path).serve(request)

    async def serve_async(self, request: AsyncRequest) -> Answer:
        """Like `serve`, without blocking the event loop."""
        return await self._receiver(request.path).serve_async(request)

    def _receiver(self, path: str) -> Endpoint:
        receivers = self._connector.receivers
        sender = self._sender or path.rstrip("/").rpartition("/")[2]
        return receivers.get(sender) or receivers[DISPATCH]


def _whole(request: Request | AsyncRequest, body: bytes) -> WebhookRequest:
    return WebhookRequest(request.method, request.path, request.headers, body, request.query)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return WebhookRequest("", "", headers, b"").header(name)


def _unreadable(source: str, body: bytes, problem: EventError) -> NewEvent:
    """Return the event of an authentic, unreadable body: its hash is its id and shows a repeat."""
    event_id = "sha256:" + hashlib.sha256(body).hexdigest()
    _log.warning(
        "event %s cannot be understood and is kept: %s",
        event_id,
        problem,
        extra=ids(event_id=event_id),
    )
    return NewEvent(
        source=source,
        event_id=event_id,
        type="unreadable",
        workspace_id=None,
        ticket_id=None,
        body=body,
        occurred_at=None,
        readable=False,
        error=str(problem),
    )


def _unavailable(source: str, events: Sequence[NewEvent], error: Exception) -> Answer:
    for event in events:
        _log.error(
            "event %s not stored, to be sent again: %s",
            event.event_id,
            type(error).__name__,
            extra=ids(event_id=event.event_id, ticket_id=event.ticket_id),
        )
    telemetry.count("deliveries.refused", source=source, reason="unavailable")
    return _UNAVAILABLE
