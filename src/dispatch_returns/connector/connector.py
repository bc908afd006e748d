"""`Connector`: wires client, store, refunds and workflow together. The object that users hold."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, overload

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Table

from dispatch_returns import telemetry
from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.clock import Clock, ClockWatch, never_wrong, utc_now
from dispatch_returns.connector.build import adapters_of, orders_of, parts_of, payment_search
from dispatch_returns.connector.clock_check import ClockCheck
from dispatch_returns.connector.events import EventProcessor
from dispatch_returns.connector.go_live import GoLive
from dispatch_returns.connector.handlers import (
    CommentEventName,
    Context,
    Handler,
    Handlers,
    RefundEvent,
    RefundEventName,
    check_event,
)
from dispatch_returns.connector.health import NO_WORKER_AFTER, Health
from dispatch_returns.connector.heartbeat import Heartbeat
from dispatch_returns.connector.installation import Installation
from dispatch_returns.connector.reconcile.compare import Reconciler
from dispatch_returns.connector.reconcile.schedule import Schedule
from dispatch_returns.connector.rereading import Rereading
from dispatch_returns.connector.restored import Restored
from dispatch_returns.connector.retention import Retention
from dispatch_returns.connector.settings import Settings
from dispatch_returns.connector.workers import Queue, ThreadRunner, work_off
from dispatch_returns.connector.writeback import Messenger
from dispatch_returns.errors import RefundStateError, StoreError
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.adapter import SupportsListing, SupportsWebhooks
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.processors import Adapters, OneOrMore
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from dispatch_returns.refunds.service import RefundService
from dispatch_returns.refunds.ticket_facts import OrderLookup, PaymentResolver, TicketFacts
from dispatch_returns.returns import records
from dispatch_returns.returns.online.codes import Codes
from dispatch_returns.returns.online.service import OnlineReturns
from dispatch_returns.returns.owner_lookup import OrderRecords, Owners
from dispatch_returns.returns.service import Returns
from dispatch_returns.returns.steps.engine import ReturnsEngine
from dispatch_returns.returns.steps.receiving import facts_of
from dispatch_returns.returns.steps.statuses import StatusNames
from dispatch_returns.returns.steps.workflow import Workflow
from dispatch_returns.returns.tickets import TicketReader
from dispatch_returns.store import Store, audit_log, heartbeats, inbox, outbox, queue, schema
from dispatch_returns.store.queue import Share
from dispatch_returns.telemetry import ids
from dispatch_returns.webhooks.events import (
    CommentCreated,
    OtherEventName,
    TicketCreated,
    TicketUpdated,
    UnknownEvent,
)
from dispatch_returns.webhooks.receiver import (
    DISPATCH,
    BaseReceiver,
    ProcessorReceiver,
    Receiver,
    ReceiverOptions,
)

__all__ = ["Connector", "Context", "RefundEvent"]

_Returned = Awaitable[None] | None
_OnRefund = TypeVar("_OnRefund", bound=Callable[[RefundEvent, Context], _Returned])
_OnCreated = TypeVar("_OnCreated", bound=Callable[[TicketCreated, Context], _Returned])
_OnUpdated = TypeVar("_OnUpdated", bound=Callable[[TicketUpdated, Context], _Returned])
_OnComment = TypeVar("_OnComment", bound=Callable[[CommentCreated, Context], _Returned])
_OnOther = TypeVar("_OnOther", bound=Callable[[UnknownEvent, Context], _Returned])

_T = TypeVar("_T")

_DRAIN_SECONDS = 30
_MOST_PARCELS = 1000

log = logging.getLogger(__name__)


def _called(name: str, adapter: str | None) -> str:
    return name if adapter is None else f"{name} of {adapter}"


def shares_of(adapters: Adapters) -> dict[str | None, Share | None]:
    """Return the parts of refunds and of events that have queues of their own, by adapter.

    With one adapter, it does not matter whose the work is. With several, there is a part of none of
    them: Dispatch's events, and what waits for an adapter that is gone.
    """
    if adapters.only is not None:
        return {None: None}
    shares: dict[str | None, Share | None] = {None: Share(tuple(adapters), others=True)}
    return shares | {name: Share((name,)) for name in adapters}


def look_of(shares: Mapping[str | None, Share | None]) -> CompoundSelect[str]:
    """Return the statement that finds the queues with something due: one read before all claims.

    `shares`: see `shares_of`.
    """
    names: dict[str, tuple[Table, ColumnElement[bool] | None]] = {
        "returns": (schema.returns, None),
        "messages": (schema.outbox, outbox.OTHERS),
        "handlers": (schema.outbox, outbox.HANDLERS),
    }
    for adapter, share in shares.items():
        for name, table, column in (
            ("events", schema.inbox, schema.inbox.c.source),
            ("refunds", schema.ledger, schema.ledger.c.adapter),
        ):
            names[_called(name, adapter)] = (table, None if share is None else share.of(column))
    return queue.look(names)


class Connector:
    """Receives events, walks returns through their steps, pays each refund once, updates tickets.

    Built with `from_env` or from settings; a test or a special shop can pass its own components.
    `adapters` is one adapter, several, or several by names of your own (a mapping).
    `lookups` find a payment by order id, in the given order, for tickets that do not name it.
    Without a `workflow` (a policy, and what goes with it) it only makes refunds.

    Example::

        connector = Connector.from_env()
        app = FastAPI(lifespan=connector.lifespan)
        app.include_router(webhooks.fastapi.router(connector), prefix="/webhooks")
    """

    def __init__(
        self,
        settings: Settings,
        *,
        client: DispatchClient | None = None,
        store: Store | None = None,
        adapters: OneOrMore | None = None,
        lookups: tuple[OrderLookup, ...] = (),
        workflow: Workflow | None = None,
        retry_schedule: RetrySchedule | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.settings = settings
        self.client = client or _client(settings)
        self.adapters = adapters_of(settings) if adapters is None else Adapters.of(adapters)
        settings.check_caps(self.adapters)
        wrong_by = never_wrong
        if clock is utc_now:
            watch = ClockWatch(clock)
            self.client.watch_clock(watch)
            wrong_by = watch.wrong_by
        self._clock_wrong_by = wrong_by
        self._clock = clock
        self.store = store or Store.open(settings.database_url)
        self.installation = Installation(
            self.store, self.client, self.adapters, setting=settings.workspace, clock=clock
        )
        retry_schedule = retry_schedule or RetrySchedule()
        if settings.stripe_search:
            lookups = (*lookups, payment_search(self.adapters))
        resolver = PaymentResolver(lookups)
        self._handlers = Handlers()
        self._built = None if workflow is not None else parts_of(settings, self.client)
        workflow = workflow or self._built
        # Without a policy, orders are only used to check their owner.
        self._orders = None if workflow is not None else orders_of(settings)
        orders = self._orders if workflow is None else workflow.orders
        self._owners = Owners(self.store, clock)
        tickets = TicketReader(self.store, self.client)
        self.refunds = RefundService(
            self.store,
            self.adapters,
            resolver,
            GuardLimits(
                kill_switch=settings.kill_switch,
                dry_run=settings.dry_run,
                max_refund=settings.max_refund,
                max_per_day=settings.max_per_day,
                adapter_max_refund=settings.adapter_max_refund,
                adapter_max_per_day=settings.adapter_max_per_day,
                approve_above=settings.approve_above,
                evidence=settings.evidence,
            ),
            schedule=retry_schedule,
            clock=clock,
            listener=self._handlers.refund_changed,
            taken_back=Rereading(
                self.store,
                tickets,
                refunded_status=settings.refunded_status,
                review_status=settings.review_status,
            ),
            order_of=OrderRecords(orders, self._owners).of_facts,
            workspace=self.installation.workspace,
            ready=self.installation.may_pay,
        )
        timing: dict[str, Any] = {
            "lease": retry_schedule.lease,
            "first_retry": retry_schedule.first_retry,
            "patience": retry_schedule.patience,
            "clock": clock,
        }
        statuses = StatusNames(settings.statuses)
        self._engine: ReturnsEngine | None = None
        notifying: dict[str, Any] = {}
        if workflow is not None:
            statuses.check()
            notifying = {"notifier": workflow.notifier, "language": workflow.language}
            self._engine = ReturnsEngine(
                self.store,
                self.client,
                workflow,
                self.refunds.intake,
                self._owners,
                workspace=self.installation.workspace,
                statuses=statuses,
                **timing,
            )
        self.returns = Returns(
            self.store,
            self.client,
            self._engine,
            statuses,
            clock,
            workspace=self.installation.known_workspace,
        )
        self.online = None if workflow is None else self._build_online(workflow)
        self.go_live = GoLive(
            self.store,
            self.client,
            workspace=self.installation.workspace,
            refunded_status=settings.refunded_status,
            clock=clock,
        )
        self.events = EventProcessor(
            self.store,
            tickets,
            self.refunds,
            self._handlers,
            installation=self.installation,
            returns=self._engine,
            refunded_status=settings.refunded_status,
            **timing,
        )
        self.restored = Restored(
            self.store,
            self.events.processor_events,
            self.go_live,
            workspace=self.installation.workspace,
            clock=clock,
        )
        self.messenger = Messenger(
            self.store,
            self.client,
            self._handlers,
            refunded_status=settings.refunded_status,
            review_status=settings.review_status,
            handler_tracebacks=settings.handler_tracebacks,
            handler_limit=timedelta(seconds=settings.handler_limit),
            workspace=self.installation.workspace,
            online=self.online,
            **notifying,
            **timing,
        )
        self.reconciler = Reconciler(
            self.store,
            self.client,
            self.events.processor_events,
            workspace=self.installation.workspace,
            refunded_status=settings.refunded_status,
        )
        self._shares = shares_of(self.adapters)
        self._due = look_of(self._shares)
        self._upkeep = self._build_upkeep(retry_schedule)
        self._heartbeat = Heartbeat(self.store, clock)
        self.runner = ThreadRunner(self.queues, settings.workers, listen=self.store.listen)
        self._wakes = [self.runner.wake]
        self._accepted = False
        self.receivers = self._build_receivers()
        self.health = Health(
            self.store,
            self.refunds.stopped_by,
            clock,
            self._clock_wrong_by,
            self.installation.differing_setting,
        )
        telemetry.observe(self._standing)

    def _build_online(self, workflow: Workflow) -> OnlineReturns:
        """Return what the portal needs."""
        url, clock = self.settings.portal_url or "", self._clock
        codes = Codes(self.store, workflow.orders, workflow.mailer, clock, url)
        return OnlineReturns(
            self.store,
            self.client,
            self.returns,
            workflow,
            self._owners,
            codes=codes,
            clock=clock,
            statuses=StatusNames(self.settings.statuses),
            workspace=self.installation.workspace,
            wake=self.wake,
        )

    def _build_upkeep(self, retry_schedule: RetrySchedule) -> list[Queue[Any]]:
        """Return the regular work that no event starts."""
        settings, clock = self.settings, self._clock
        check = ClockCheck(
            self.store, self.client, clock, self._clock_wrong_by, schedule=retry_schedule
        )
        keep = None if settings.keep_events is None else timedelta(days=settings.keep_events)
        retention = Retention(self.store, keep, clock)
        upkeep: list[Queue[Any]] = [
            Queue("clock", check.claim, check.run),
            Queue("old events", retention.claim, retention.thin),
        ]
        lists = any(isinstance(it, SupportsListing) for it in self.adapters.values())
        if settings.reconcile_every and lists:
            schedule = Schedule(
                self.store,
                self.reconciler,
                every=timedelta(hours=settings.reconcile_every),
                days=settings.reconcile_days,
                clock=clock,
            )
            upkeep.append(Queue("reconcile", schedule.claim, schedule.run))
        return upkeep

    def _build_receivers(self) -> Mapping[str, BaseReceiver]:
        """Return a receiver for Dispatch, and one for each adapter that has webhooks."""
        options: ReceiverOptions = {
            "clock_wrong_by": self._clock_wrong_by,
            "on_accept": self._on_accept,
            "clock": self._clock,
        }
        secrets = [secret.get_secret_value() for secret in self.settings.webhook_secrets]
        receivers: dict[str, BaseReceiver] = {}
        for name, adapter in self.adapters.items():
            if isinstance(adapter, SupportsWebhooks):
                receivers[name] = ProcessorReceiver(
                    self.store, adapter, source=name, is_known=ledger.knows_payment, **options
                )
        receivers[DISPATCH] = Receiver(self.store, secrets, **options)
        return receivers

    @classmethod
    def from_env(cls, *, env_file: str | Path | None = None, **parts: Any) -> Self:
        """Build a connector from the environment, completed by `env_file` if one is given.

        See `Settings.from_env`. Raises `ConfigurationError`.
        """
        return cls(Settings.from_env(env_file=env_file), **parts)

    def __repr__(self) -> str:
        names = ", ".join(self.adapters)
        return f"Connector(workspace={self.settings.workspace!r}, adapters={names!r})"

    @property
    def queues(self) -> tuple[Queue[Any], ...]:
        """The work between "accepted" and "done", for any runner."""
        live, restored = self.go_live.is_complete, self.restored.is_over
        queues: list[Queue[Any]] = [
            Queue("go-live", self.go_live.claim, self.go_live.run),
            Queue("restored", self.restored.claim, self.restored.run),
            *(
                it.only_if(live).only_if(restored)
                for it in self._by_adapter("events", self.events.claim, self.events.process)
            ),
        ]
        if self._engine is not None:
            returns = Queue("returns", self._engine.claim, self._engine.advance, look=self._look)
            queues.append(returns.only_if(live).only_if(restored))
        queues += [*self._finishing, *self._upkeep]
        heartbeat = Queue("heartbeat", self._heartbeat.claim, self._heartbeat.run)
        return (heartbeat, *(queue.only_if(self.installation.ready) for queue in queues))

    @property
    def _finishing(self) -> tuple[Queue[Any], ...]:
        """The work that finishes a refund in the ledger, and reports it."""
        restored = self.restored.is_over
        handlers = Queue(
            "handlers",
            self.messenger.claim_handlers,
            self.messenger.deliver,
            keep=self.messenger.keep_handler,
            look=self._look,
        )
        deliver = self.messenger.deliver
        messages = Queue("messages", self.messenger.claim, deliver, look=self._look)
        return (
            *self._by_adapter("refunds", self.refunds.claim, self.refunds.advance),
            messages.only_if(restored),
            handlers.only_if(restored),
        )

    def _by_adapter(
        self, name: str, claim: Callable[..., list[_T]], run: Callable[[_T], None]
    ) -> Iterator[Queue[_T]]:
        """Yield a queue for each share of the work, with slots of its own.

        So an adapter that is slow, or does not answer, holds up no other.
        """
        for adapter, share in self._shares.items():
            claims = partial(claim, which=share)
            queue = Queue(_called(name, adapter), claims, run, look=self._look)
            if adapter is not None and share is not None:
                queue = queue.only_if(partial(self.installation.may_pay, adapter))
            yield queue

    def _look(self) -> frozenset[str]:
        """Return the names of the queues that have something due."""
        with self.store.read() as conn:
            return frozenset(conn.scalars(self._due, {"now": self._clock()}))

    @overload
    def on(self, event_type: RefundEventName) -> Callable[[_OnRefund], _OnRefund]: ...
    @overload
    def on(self, event_type: Literal["ticket.created"]) -> Callable[[_OnCreated], _OnCreated]: ...
    @overload
    def on(self, event_type: Literal["ticket.updated"]) -> Callable[[_OnUpdated], _OnUpdated]: ...
    @overload
    def on(self, event_type: CommentEventName) -> Callable[[_OnComment], _OnComment]: ...
    @overload
    def on(self, event_type: OtherEventName) -> Callable[[_OnOther], _OnOther]: ...
    def on(self, event_type: str) -> Callable[[Any], Any]:
        """Call the decorated function ``(event, context)`` for every event of `event_type`.

        Events are Dispatch's own, such as ``ticket.updated``, and the states of refunds, as a
        `RefundEvent`: ``refund.succeeded``, ``refund.failed``, ``refund.held`` and so on. The
        function may be ``async def``.

        It runs in a worker, at least once for each event, and again later if it raises, so make
        it idempotent. Exceptions are logged with their traceback, for your error tracker
        (`Settings.handler_tracebacks` turns that off).

        Raises `InvalidArgumentError` for an event that does not exist.
        """

        check_event(event_type)

        def register(handler: Handler) -> Handler:
            self._handlers.add(event_type, handler)
            return handler

        return register

    def refund(self, ticket_id: str, *, who: str | None = None, why: str | None = None) -> Refund:
        """Pay back a ticket that is `refunded` now, without waiting for an event.

        It uses the same path, guards and ledger as an event: a ticket that was already paid back
        is not paid again. It counts as a person's decision, recorded with `who` and `why` if
        given, so it also pays a ticket that was `refunded` before this installation went live, and
        a refund that a dry run has held. Returns the refund in its state so far; the workers
        finish it. Raises `RefundStateError` for a ticket in another status, `APIError` and
        `AdapterError` if the ticket or the payment can't be read, and `ConfigurationError` if the
        database belongs to another workspace or processor account.
        """
        self.installation.require()
        ticket = self.client.tickets.get(ticket_id)
        if ticket.status != self.settings.refunded_status:
            raise RefundStateError(
                f"{ticket_id} is {ticket.status}: set it to {self.settings.refunded_status} first"
            )
        decision = self.refunds.intake.evaluate(self.facts(ticket))

        def enter(conn: Connection) -> Refund:
            entered = self.refunds.intake.enter(conn, decision, by_person=True)
            assert entered is not None  # a person's decision is always entered
            if who is not None:
                now = self.refunds.now()
                audit_log.record(conn, "pay", now, who=who, why=why, refund_id=entered.id)
            return entered

        entered = self.store.write("refund.enter", enter)
        work_off(self._finishing)
        with self.store.read() as conn:
            return ledger.get(conn, entered.id) or entered

    def refunds_of(self, ticket_id: str) -> list[Refund]:
        """Return the refunds of a ticket, one for each parcel, in the order of the parcels."""
        with self.store.read() as conn:
            rows = ledger.newest(conn, limit=_MOST_PARCELS, ticket_id=ticket_id)
        return sorted(rows, key=lambda row: row.ordinal)

    def proof(self, order_id: str) -> str:
        """Return our signature for a ticket that your own backend opens for this order.

        In the ticket's field ``order_proof`` it replaces the order's e-mail address: for
        marketplace relays and phone orders, whose customer writes from another address. Never send
        it to a browser or by mail: anyone who has it can open a return for this order.
        """
        return self._owners.proof(order_id)

    def _standing(self) -> telemetry.GaugeValues | None:
        """Return the values of the gauges, None if the store can't be read."""
        found = self.health.lag().document
        if "refunds" not in found:
            return None
        try:
            with self.store.read() as conn:
                by_step = records.count_open_by_step(conn)
        except StoreError:
            return None
        return telemetry.GaugeValues(
            self.settings.workspace, found["oldest_event_seconds"], found["refunds"], by_step
        )

    def facts(self, ticket: Ticket, refund: Refund | None = None) -> TicketFacts:
        """Return the ticket's facts about `refund`, or about the refund of its newest parcel."""
        with self.store.read() as conn:
            return facts_of(conn, ticket, self.installation.workspace(), refund)

    def start(self) -> None:
        """Start the worker threads, which also continue what a crash interrupted."""
        self.runner.start()

    def stop(self, timeout: float = _DRAIN_SECONDS) -> bool:
        """Wait up to `timeout` seconds for the current work; return whether it ended."""
        return self.runner.stop(timeout)

    def wake(self) -> None:
        """Signal the runners that there is work."""
        for wake in self._wakes:
            wake()

    def _on_accept(self) -> None:
        self.wake()
        if self._accepted:
            return
        self._accepted = True
        if self.runner.is_running or len(self._wakes) > 1:
            return

        def warn_without_worker(last: Future[datetime | None]) -> None:
            if last.exception() is not None:
                return  # the store's own probes report it
            beat = last.result()
            if beat is None or self._clock() - beat > NO_WORKER_AFTER:
                log.warning(
                    "an event was accepted, but no worker runs, so nothing is paid. Start the"
                    " workers with the application (lifespan=connector.lifespan of the app that is"
                    " served, start_with_first_request, or connector.start()), or run:"
                    " dispatch-returns worker",
                    extra=ids(),
                )

        # Without waiting: an event loop may be calling this.
        with contextlib.suppress(StoreError):  # it was closed meanwhile
            last = self.store.submit("worker.seen", heartbeats.last)
            last.add_done_callback(warn_without_worker)

    def wake_also(self, wake: Callable[[], None]) -> None:
        """Also call `wake` when there is work, for another runner. It must return at once."""
        self._wakes.append(wake)

    def work_off(self) -> int:
        """Do everything that is due, in this thread; return how many steps that took."""
        return work_off(self.queues)

    def is_idle(self) -> bool:
        """Return whether no event and no message waits, or is being worked on."""
        with self.store.read() as conn:
            return inbox.oldest_waiting(conn) is None and outbox.is_empty(conn)

    def close(self) -> None:
        """Stop the workers, then close store, client and adapters. May be called twice.

        Work that hangs and does not end in time keeps them open until the process ends.
        """
        if not self.stop():
            log.warning("the current work did not end in time: it is done again later", extra=ids())
            return
        self.store.close()
        self.client.close()
        self.adapters.close()
        for built in (self._built, self._orders):
            if built is not None:
                built.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncGenerator[None]:
        """Run the workers while an ASGI app runs: ``FastAPI(lifespan=connector.lifespan)``."""
        import asyncio

        self.start()
        try:
            yield
        finally:
            # Draining may take seconds; the loop still has answers to send.
            await asyncio.to_thread(self.stop)


def _client(settings: Settings) -> DispatchClient:
    return DispatchClient(
        settings.api_key.get_secret_value(),
        settings.workspace,
        base_url=settings.base_url,
        style=settings.style,
    )
