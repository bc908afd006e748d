"""One run: the storm, the calm after it, and the books compared."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dispatch_sandbox
from dispatch_returns.refunds import actions
from dispatch_returns.store import Store, database
from tests.e2e.chaos.books import Books, compare, to_do, unknown
from tests.e2e.chaos.crew import Crew
from tests.e2e.chaos.plan import Plan
from tests.e2e.chaos.shop import SECRET, Shop
from tests.e2e.chaos.storm import Storm, World
from tests.e2e.chaos.workers import Orders
from tests.support.broker import Broker, broker
from tests.support.cluster import cluster
from tests.support.lossy_proxy import lossy_proxy

WORKERS = 4
RECEIVERS = 2
_SETTLE_SECONDS = 300.0
_A_DAY = 25 * 3600.0


@dataclass
class Report:
    """What was done to the system, and what the books say afterwards."""

    plan: Plan
    blows: dict[str, int]
    refused: int
    restarted: int
    asked: int
    seconds: float
    books: Books

    def lines(self) -> list[tuple[str, str]]:
        """What there is to say, in words and numbers."""
        plan, books = self.plan, self.books
        return [
            ("seed", f"{plan.seed}"),
            ("returns", f"{len(plan.returns)}"),
            ("deliveries", f"{len(plan.deliveries)}"),
            ("deliveries that were repeats", f"{plan.duplicated}"),
            ("deliveries out of order", f"{plan.reordered}"),
            ("deliveries much delayed", f"{plan.delayed}"),
            ("deliveries not acknowledged, and sent again", f"{self.refused}"),
            *((name, f"{count}") for name, count in sorted(self.blows.items())),
            ("processes started again", f"{self.restarted}"),
            ("refunds that a person had to look at", f"{self.asked}"),
            ("tickets to be paid", f"{books.payable}"),
            ("paid", f"{books.paid}"),
            ("lost", f"{len(books.lost)}"),
            ("double", f"{len(books.double)}"),
            ("otherwise wrong", f"{len(books.wrong)}"),
            ("seconds", f"{self.seconds:.0f}"),
        ]


def run(plan: Plan, *, lease: float = 5.0, celery: bool = False) -> Report:
    """Play the plan against a system of its own, and compare the books."""
    begun = time.monotonic()
    with _storm(plan, lease, celery=celery) as (storm, crew, shop, store):
        storm.blow()
        _wait(lambda: to_do(store) <= len(plan.returns) // 5, plan)
        storm.calm()
        _wait(lambda: to_do(store) == 0 and len(unknown(store)) <= storm.never_done, plan)
        asked = _a_day_passes(storm, crew, shop, store)
        _wait(lambda: to_do(store) == 0 and not unknown(store), plan)
        books = compare(plan, shop, store, storm.accepted)
        return Report(
            plan,
            {str(blow): count for blow, count in storm.blows.items()},
            storm.refused,
            crew.restarted,
            asked,
            time.monotonic() - begun,
            books,
        )


@contextlib.contextmanager
def _storm(plan: Plan, lease: float, *, celery: bool) -> Iterator[tuple[Storm, Crew, Shop, Store]]:
    folder = Path(tempfile.mkdtemp(prefix="dispatch-returns-chaos-"))
    with (
        cluster() as server,
        _broker(celery) as messages,
        dispatch_sandbox.running() as box,
        lossy_proxy(box.url) as proxy,
        contextlib.closing(Shop(box, plan)) as shop,
    ):
        database.upgrade(server.url)
        settings = {
            "api_key": dispatch_sandbox.API_KEY,
            "workspace": dispatch_sandbox.WORKSPACE,
            "webhook_secrets": SECRET,
            "base_url": box.api_url,
            "database_url": server.url,
            "adapter_options": {
                "stripe": {"api_key": dispatch_sandbox.stripe.API_KEY, "base_url": proxy.url}
            },
        }
        orders = Orders(
            settings, lease, str(folder), broker=None if messages is None else messages.url
        )
        crew = Crew(orders, folder, WORKERS, RECEIVERS)
        shop.open(server.url)
        with contextlib.closing(crew), Store.open(server.url) as store:
            crew.start()
            world = World(box, proxy, server, messages, shop)
            yield Storm(plan, world, crew, lambda: to_do(store)), crew, shop, store
    shutil.rmtree(folder)  # kept where something went wrong: the logs are in it


@contextlib.contextmanager
def _broker(wanted: bool) -> Iterator[Broker | None]:
    if not wanted:
        yield None
        return
    with broker() as running:
        yield running


def _a_day_passes(storm: Storm, crew: Crew, shop: Shop, store: Store) -> int:
    """A person settles what only a person can; return how much that was.

    Where the processor keeps answering 500 to a key and has done nothing, the same key gets the
    same answer as long as it lives, and another one could pay twice. So the ledger says
    `unknown`, and after a day that a person must look. This one does.
    """
    storm.let_time_pass(_A_DAY)
    _wait(lambda: to_do(store) == 0 and not unknown(store, waiting=True), storm.plan)
    left = unknown(store)
    paid = {it["metadata"]["dispatch_refund_id"] for it in shop.refunds()}
    with crew.connector() as connector:
        for refund in left:
            assert refund.id not in paid, f"{refund.id} was paid, and nobody found it"
            actions.retry(connector.refunds, refund.id, who="Ann", nothing_was_paid=True)
    return len(left)


def _wait(condition: Callable[[], bool], plan: Plan) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"seed {plan.seed}: it comes to no rest"
        time.sleep(0.2)
