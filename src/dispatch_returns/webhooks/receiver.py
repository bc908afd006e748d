"""What becomes of a delivery: refused, or on disk and acknowledged. No framework in here."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from dispatch_returns.errors import EventError, SignatureError, StoreError
from dispatch_returns.store import NewEvent, inbox
from dispatch_returns.webhooks.events import Event, parse
from dispatch_returns.webhooks.signature import HEADER, verify

if TYPE_CHECKING:
    from sqlalchemy import Connection

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_SOURCE = "dispatch"
_RETRY_AFTER = 30
"""Seconds after which a sender may try again when the store could not commit."""


class InboxStore(Protocol):
    """What the receiver needs of `dispatch_returns.store.Store`."""

    def submit(self, name: str, work: Callable[[Connection], _T], /) -> Future[_T]:
        """Run `work` in a transaction; the future resolves once it is on disk."""
        ...


class HasReceiver(Protocol):
    """What the framework mounts take: a `Connector`, or anything else with a receiver."""

    @property
    def receiver(self) -> Receiver:
        """The receiver; asked for at each delivery."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the web framework sends back: ``body`` is JSON."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


def _answer(status: int, word: str, *headers: tuple[str, str]) -> Answer:
    body = json.dumps({"status": word}).encode()
    return Answer(status, body, (("content-type", "application/json"), *headers))


_ACCEPTED = _answer(200, "accepted")
_REPEATED = _answer(200, "repeated")
_UNREADABLE = _answer(200, "unreadable")
_BAD_LENGTH = _answer(400, "bad content-length")
BROKEN_OFF = _answer(400, "broken off")
"""For a mount whose client went away before the body was complete."""
_UNAUTHORIZED = _answer(401, "unauthorized")
_POST_ONLY = _answer(405, "method not allowed", ("allow", "POST"))
_TOO_LARGE = _answer(413, "too large")
_UNAVAILABLE = _answer(503, "unavailable", ("retry-after", str(_RETRY_AFTER)))


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


def _nothing() -> None:
    pass


class Receiver:
    """Takes the deliveries of Dispatch: verifies, parses, stores, answers.

    `store` keeps the events; `secrets` are the webhook's signing secrets, more than one while
    they are rotated. A signed time older than `max_age` or more than `max_future` ahead is
    refused as a replay; bodies over `max_body` bytes are refused unread. `on_accept` is called
    after each new event is on disk, in the thread that received it: it must return at once.
    The store is given `max_wait` to commit; senders are assumed to hang up after 10 s.

    Every method may be called from several threads at the same time.
    """

    def __init__(
        self,
        store: InboxStore,
        secrets: str | Sequence[str],
        *,
        max_age: timedelta = timedelta(days=7),
        max_future: timedelta = timedelta(minutes=5),
        max_body: int = 1_048_576,
        max_wait: timedelta = timedelta(seconds=8),
        clock: Callable[[], datetime] = utc_now,
        on_accept: Callable[[], None] = _nothing,
    ) -> None:
        self.max_body = max_body
        self._store = store
        self._secrets = secrets
        self._max_age = max_age
        self._max_future = max_future
        self._max_wait = max_wait.total_seconds()
        self._clock = clock
        self._on_accept = on_accept

    def receive(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer to one request, after waiting for the disk.

        Header names are case-insensitive; a header that came more than once is given joined
        by ``", "``. The answers: 200 (accepted, repeated, or unreadable and kept), 400, 401,
        405, 413, and 503 when the event could not be stored: the sender shall send it again.
        """
        checked = self._check(method, headers, body)
        if isinstance(checked, Answer):
            return checked
        try:
            new = self._keep(checked).result(self._max_wait)
        except (StoreError, TimeoutError) as error:
            return _unavailable(checked, error)
        return self._kept(checked, new)

    async def receive_async(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Do as `receive`, without blocking the event loop."""
        checked = self._check(method, headers, body)
        if isinstance(checked, Answer):
            return checked
        try:
            async with asyncio.timeout(self._max_wait):
                new = await asyncio.wrap_future(self._keep(checked))
        except (StoreError, TimeoutError) as error:
            return _unavailable(checked, error)
        return self._kept(checked, new)

    def refusal(self, method: str, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer to a request that needs no reading of its body, else None."""
        if method != "POST":
            return _POST_ONLY
        length = _header(headers, "content-length")
        if length is None:
            return None
        if not (length.isascii() and length.isdigit()):
            return _BAD_LENGTH
        # A number of so many digits is too large, and int() refuses thousands of them.
        if len(length) > 18 or int(length) > self.max_body:
            return _TOO_LARGE
        return None

    def _check(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer | NewEvent:
        """Decide everything that can be decided without the store."""
        if refusal := self.refusal(method, headers):
            return refusal
        if len(body) > self.max_body:
            return _TOO_LARGE
        try:
            verify(body, _header(headers, HEADER), self._secrets)
        except SignatureError as problem:
            # Nothing of the request but its length: nobody knows yet whose it is.
            _log.warning("delivery refused: %s (%d bytes)", problem, len(body))
            return _UNAUTHORIZED
        try:
            event = parse(body)
        except EventError as problem:
            return _unreadable(body, problem)
        return self._fresh(event, body)

    def _fresh(self, event: Event, body: bytes) -> Answer | NewEvent:
        age = self._clock() - event.timestamp
        if age > self._max_age or -age > self._max_future:
            _log.warning("delivery refused: event %s is %s old: taken for a replay", event.id, age)
            return _UNAUTHORIZED
        return NewEvent(
            source=_SOURCE,
            event_id=event.id,
            type=event.type,
            workspace_id=event.workspace_id,
            ticket_id=event.ticket_id,
            body=body,
            occurred_at=event.timestamp,
        )

    def _keep(self, event: NewEvent) -> Future[bool]:
        now = self._clock()
        return self._store.submit("inbox.accept", lambda conn: inbox.add(conn, event, now))

    def _kept(self, event: NewEvent, new: bool) -> Answer:
        _log.info(
            "event %s %s (%s, ticket %s)",
            event.event_id,
            "accepted" if new else "repeated",
            event.type,
            event.ticket_id,
        )
        if not new:
            return _REPEATED
        if not event.readable:
            return _UNREADABLE
        self._tell()
        return _ACCEPTED

    def _tell(self) -> None:
        try:
            self._on_accept()
        except Exception as error:  # noqa: BLE001 - the event is on disk: it is accepted
            _log.error("on_accept failed: %s", type(error).__name__)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    wanted = name.lower()
    values = [value for key, value in headers.items() if key.lower() == wanted]
    return ", ".join(values) if values else None


def _unreadable(body: bytes, problem: EventError) -> NewEvent:
    """Return the event of a body that is authentic: its hash is its id, to know a repeat by."""
    event_id = "sha256:" + hashlib.sha256(body).hexdigest()
    _log.warning("event %s cannot be understood and is kept: %s", event_id, problem)
    return NewEvent(
        source=_SOURCE,
        event_id=event_id,
        type="unreadable",
        workspace_id=None,
        ticket_id=None,
        body=body,
        occurred_at=None,
        readable=False,
    )


def _unavailable(event: NewEvent, error: Exception) -> Answer:
    _log.error("event %s not stored, to be sent again: %s", event.event_id, type(error).__name__)
    return _UNAVAILABLE
