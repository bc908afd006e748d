"""Deliveries go out, and blows fall on whoever is to deal with them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from dispatch_returns.sandbox import FaultRule, Sandbox
from dispatch_returns.sandbox.stripe import Fault
from tests.e2e.chaos.crew import Crew, Post
from tests.e2e.chaos.plan import Blow, Delivery, Plan, PlannedBlow
from tests.e2e.chaos.shop import Shop
from tests.support.cluster import Cluster
from tests.support.lossy_proxy import LossyProxy

_POSTMEN = 8
_API_FAULTS_AT_ONCE = 3


@dataclass(frozen=True)
class World:
    """What the system under test talks to."""

    box: Sandbox
    proxy: LossyProxy
    server: Cluster
    shop: Shop


class Storm:
    """What happens to the system under test, and to its world."""

    def __init__(self, plan: Plan, world: World, crew: Crew) -> None:
        self.plan = plan
        self._box = world.box
        self._proxy = world.proxy
        self._server = world.server
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
        with ThreadPoolExecutor(_POSTMEN) as pool, httpx.Client(timeout=15) as http:
            deliveries = [pool.submit(self._deliver, http, it) for it in self.plan.deliveries]
            for planned in self.plan.blows:
                while self._sent < planned.at and not all(it.done() for it in deliveries):
                    time.sleep(0.01)
                self._strike(planned)
            for delivery in deliveries:
                delivery.result()

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
        body, headers = self._shop.body(delivery)
        tries = 0
        while True:
            port = self._crew.ports[(delivery.number + tries) % len(self._crew.ports)]
            try:
                answer = http.post(
                    f"http://127.0.0.1:{port}/webhooks/dispatch", content=body, headers=headers
                )
            except httpx.TransportError:
                status = 0
            else:
                status = answer.status_code
            if status == 200:
                break
            assert status in {0, 503}, f"a delivery was refused with {status}"
            tries += 1
            time.sleep(min(0.1 * tries, 1.0))
        with self._lock:
            self.accepted.add(delivery.event_id)
            self.refused += tries
            self._sent += 1

    def _strike(self, planned: PlannedBlow) -> None:
        blow, chance = planned.blow, planned.chance
        strikes: dict[Blow, Callable[[float], None]] = {
            Blow.KILL_WORKER: self._kill_worker,
            Blow.KILL_RECEIVER: self._kill_receiver,
            Blow.STALL_WORKER: self._stall_worker,
            Blow.RESTART_DATABASE: self._restart_database,
            Blow.CUT_SESSIONS: self._cut_sessions,
            Blow.STEP_CLOCK: self._step_clock,
        }
        if blow in strikes:
            strikes[blow](chance)
            self.blows[blow] += 1
        elif blow is Blow.LOSE_RESPONSE:
            self._proxy.lose_next_response("POST /v1/refunds")
        elif blow in {Blow.API_ERROR, Blow.API_LIMIT}:
            status = 429 if blow is Blow.API_LIMIT else 500
            match = {"path": "*/tickets/*"}
            self._box.state.faults.add(FaultRule("api", "status", 3, match, status))
            self.blows[blow] += 3
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
