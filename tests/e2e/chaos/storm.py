"""Deliveries go out, and blows fall on whoever is to deal with them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from dispatch_returns.errors import StoreUnavailableError
from dispatch_sandbox import FaultRule, Sandbox
from dispatch_sandbox.stripe import Fault
from tests.e2e.chaos.crew import Crew, Post
from tests.e2e.chaos.plan import Blow, Delivery, Plan, PlannedBlow
from tests.e2e.chaos.shop import Shop
from tests.support.broker import Broker
from tests.support.cluster import Cluster
from tests.support.lossy_proxy import LossyProxy

_POSTMEN = 8
_API_FAULTS_AT_ONCE = 3
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class World:
    """What the system under test talks to."""

    box: Sandbox
    proxy: LossyProxy
    server: Cluster
    broker: Broker | None
    shop: Shop


class Storm:
    """What happens to the system under test, and to its world."""

    def __init__(self, plan: Plan, world: World, crew: Crew, to_do: Callable[[], int]) -> None:
        self.plan = plan
        self._to_do = to_do
        self._behind = False
        self._over = threading.Event()
        self._box = world.box
        self._proxy = world.proxy
        self._server = world.server
        self._broker = world.broker
        self._shop = world.shop
        self._crew = crew
        self._sent = 0
        self._lock = threading.Lock()
        self.accepted: set[str] = set()
        self.refused = 0
        self.blows: Counter[Blow] = Counter()
        self._stripe_faults: list[tuple[Blow, Fault]] = []

    def blow(self) -> None:
        """Deliver everything, and let each blow fall when it is its turn."""
        with (
            ThreadPoolExecutor(_POSTMEN) as pool,
            httpx.Client(timeout=15) as http,
            self._watching_the_workers(),
        ):
            deliveries = [pool.submit(self._deliver, http, it) for it in self.plan.deliveries]
            try:
                for planned in self.plan.blows:
                    while self._sent < planned.at:
                        time.sleep(0.01)
                    self._strike(planned)
                for delivery in deliveries:
                    delivery.result()
            except BaseException:  # Ctrl-C, too
                self._over.set()
                pool.shutdown(cancel_futures=True)
                raise

    @contextlib.contextmanager
    def _watching_the_workers(self) -> Iterator[None]:
        """Know how far the workers are: a blow that falls on idle ones proves nothing."""
        most = max(20, len(self.plan.returns) // 20)

        def watch() -> None:
            while not self._over.wait(0.1):
                with contextlib.suppress(StoreUnavailableError):
                    self._behind = self._to_do() > most

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join()

    def _wait_for_the_workers(self) -> None:
        deadline = time.monotonic() + _LONGEST_PAUSE
        while self._behind and time.monotonic() < deadline and not self._over.is_set():
            time.sleep(0.02)

    def calm(self) -> None:
        """The storm is over: clocks right, no more faults."""
        self.let_time_pass(0.0)
        self._proxy.lose_nothing()
        unspent = Counter(
            Blow.API_LIMIT if rule.status == 429 else Blow.API_ERROR
            for rule in self._box.state.faults.rules()
            for _ in range(rule.times or 0)
        )
        self._box.state.faults.clear()
        for blow, fault in self._stripe_faults:
            self.blows[blow] += fault.fired
        self._box.state.stripe.faults.clear()
        self.blows[Blow.LOSE_RESPONSE] = self._proxy.lost
        self.blows.subtract(unspent)

    @property
    def never_done(self) -> int:
        """How many requests the processor will answer with a 500, and has not carried out."""
        return sum(
            fault.fired
            for blow, fault in self._stripe_faults
            if blow is Blow.STORED_500 and not fault.acted
        )

    def let_time_pass(self, seconds: float) -> None:
        """Let every clock be right, and so much ahead of now; the processor's too."""
        for post in self._crew.workers + self._crew.receivers:
            post.ahead.value = seconds
        self._box.state.stripe.advance(seconds)

    def _deliver(self, http: httpx.Client, delivery: Delivery) -> None:
        """Send until it is acknowledged, as a sender does."""
        self._wait_for_the_workers()
        tries = 0
        try:
            body, headers = self._shop.body(delivery)
            while not self._is_accepted(http, delivery.number + tries, body, headers):
                tries += 1
                if self._over.wait(min(0.1 * tries, 1.0)):
                    return
        finally:
            with self._lock:
                self.accepted.add(delivery.event_id)
                self.refused += tries
                self._sent += 1

    def _is_accepted(
        self, http: httpx.Client, turn: int, body: bytes, headers: dict[str, str]
    ) -> bool:
        port = self._crew.ports[turn % len(self._crew.ports)]
        url = f"http://127.0.0.1:{port}/webhooks/dispatch"
        try:
            status = http.post(url, content=body, headers=headers).status_code
        except httpx.TransportError:
            return False
        assert status in {200, 503}, f"a delivery was refused with {status}"
        return status == 200

    def _strike(self, planned: PlannedBlow) -> None:
        blow, chance = planned.blow, planned.chance
        strikes: dict[Blow, Callable[[float], None]] = {
            Blow.KILL_WORKER: self._kill_worker,
            Blow.KILL_RECEIVER: self._kill_receiver,
            Blow.STALL_WORKER: self._stall_worker,
            Blow.RESTART_DATABASE: self._restart_database,
            Blow.CUT_SESSIONS: self._cut_sessions,
            Blow.RESTART_BROKER: self._restart_broker,
            Blow.STEP_CLOCK: self._step_clock,
        }
        if blow in strikes:
            strikes[blow](chance)
            self.blows[blow] += 1
        elif blow is Blow.LOSE_RESPONSE:
            self._proxy.lose_next_response("POST /v1/refunds")
        elif blow in {Blow.API_ERROR, Blow.API_LIMIT}:
            status = 429 if blow is Blow.API_LIMIT else 500
            times, match = _API_FAULTS_AT_ONCE, {"path": "*/tickets/*"}
            self._box.state.faults.add(FaultRule("api", "status", times, match, status))
            self.blows[blow] += times
        elif (fault := _stripe_fault(blow, chance)) is not None:
            self._stripe_faults.append((blow, self._box.state.stripe.faults.add(fault)))

    def _kill_worker(self, chance: float) -> None:
        self._crew.kill(_one_of(self._crew.workers, chance))

    def _kill_receiver(self, chance: float) -> None:
        self._crew.kill(_one_of(self._crew.receivers, chance))

    def _stall_worker(self, chance: float) -> None:
        post = _one_of(self._crew.workers, chance)
        self._crew.stall(post, post.orders.lease * (1.2 + chance))

    def _restart_database(self, chance: float) -> None:
        self._server.stop("immediate" if chance < 0.5 else "fast")
        time.sleep(chance)
        self._server.start()

    def _cut_sessions(self, _chance: float) -> None:
        self._server.cut_sessions()

    def _restart_broker(self, chance: float) -> None:
        assert self._broker is not None
        self._broker.kill()
        time.sleep(chance)
        self._broker.start()

    def _step_clock(self, chance: float) -> None:
        everyone = self._crew.workers + self._crew.receivers
        post = _one_of(everyone, chance)
        post.ahead.value = (chance * 1000 % 1 - 0.5) * 60


def _one_of(given: Sequence[Post], chance: float) -> Post:
    return given[int(chance * len(given))]


def _stripe_fault(blow: Blow, chance: float) -> Fault | None:
    if blow is Blow.STORED_500:
        return Fault(kind="stored_500", acted=chance < 0.5)
    if blow is Blow.RATE_LIMIT:
        return Fault(kind="rate_limit_429", endpoint=None, retry_after=round(chance, 1))
    if blow is Blow.CONFLICT:
        return Fault(kind="conflict_409")
    if blow is Blow.SLOW:
        return Fault(kind="slow", seconds=chance * 2, when="after" if chance < 0.5 else "before")
    return None
