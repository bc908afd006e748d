"""The Celery runner without a broker: one turn, the bell, and what is put into the app."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery

from dispatch_returns.connector import celery as runner
from dispatch_returns.connector.celery import Bell, install, take_turn
from dispatch_returns.connector.workers import Crew
from dispatch_returns.errors import InvalidArgumentError, MissingExtraError, StoreUnavailableError
from tests.support.piles import SOON, Blocker, Pile
from tests.support.waiting import wait_until


class Work:
    """As much of a connector as the runner sees."""

    def __init__(self, *piles: Pile) -> None:
        self.piles = piles
        self.wakes: list[Callable[[], None]] = []

    @property
    def queues(self) -> list[Any]:
        return [pile.queue() for pile in self.piles]

    def wake_also(self, wake: Callable[[], None], /) -> None:
        self.wakes.append(wake)


class Rings:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def turn(*piles: Pile, seconds: float = SOON) -> tuple[int, int]:
    """Take one turn; return how much was done, and how often another worker was called."""
    rings, crew = Rings(), Crew(1)
    try:
        return take_turn(Work(*piles).queues, rings, crew, seconds), rings.count
    finally:
        assert crew.close(SOON)


def test_a_turn_does_all_that_is_due_one_item_at_a_time() -> None:
    first, second = Pile(1, 2, 3), Pile("a")
    assert turn(first, second) == (4, 1)
    assert (first.done, second.done) == ([1, 2, 3], ["a"])
    assert {*first.claims, *second.claims} == {1}, "what waits in line would lose its lease"


def test_where_nothing_is_due_nobody_is_called() -> None:
    assert turn(Pile(), Pile()) == (0, 0)


def test_another_worker_is_called_before_the_first_item_is_run() -> None:
    order: list[str] = []
    pile = Pile(lambda: order.append("run"))
    crew = Crew(1)
    take_turn([pile.queue()], lambda: order.append("wake"), crew)
    assert crew.close(SOON)
    assert order == ["wake", "run"]


def test_what_one_step_leads_to_is_done_in_the_same_turn() -> None:
    second = Pile()
    third = Pile(lambda: second.items.append("next"))
    assert turn(second, third) == (2, 1)
    assert second.done == ["next"]


def test_a_turn_ends_in_time_and_leaves_the_rest_to_the_next() -> None:
    pile = Pile(1, 2, 3)
    assert turn(pile, seconds=0) == (1, 2)
    assert pile.items == [2, 3]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailableError("the disk is full"), "pile: nothing can be claimed now: the disk"),
        (KeyError("jane@example.com"), "pile: nothing can be claimed: KeyError"),
    ],
)
def test_a_claim_that_fails_is_logged_and_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    def fails(_limit: int) -> list[Any]:
        raise error

    broken, good = Pile(), Pile(1)
    broken.claim = fails  # type: ignore[method-assign,assignment]
    assert turn(broken, good) == (1, 1)
    assert caplog.messages[0].startswith(said)
    assert "jane" not in caplog.text


def test_an_item_that_fails_does_not_end_the_turn(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise ValueError("jane@example.com")

    assert turn(Pile(fails, 1)) == (2, 1)
    assert "jane" not in caplog.text


# The bell.


def test_a_ring_sends_a_message() -> None:
    sent = Rings()
    bell = Bell(sent)
    bell.ring()
    wait_until(lambda: sent.count == 1)
    bell.ring()
    wait_until(lambda: sent.count == 2)


def test_nobody_waits_for_a_broker_that_does_not_answer() -> None:
    broker = Blocker()
    bell = Bell(broker)
    begun = time.monotonic()
    for _ in range(1000):
        bell.ring()
    assert time.monotonic() - begun < 1
    assert broker.inside.wait(SOON)
    broker.go_on.set()


def test_rings_while_a_message_is_sent_become_one() -> None:
    broker, sent = Blocker(), Rings()

    def send() -> None:
        broker()
        sent()

    bell = Bell(send)
    bell.ring()
    assert broker.inside.wait(SOON)
    for _ in range(100):
        bell.ring()
    broker.go_on.set()
    wait_until(lambda: sent.count == 2)
    time.sleep(0.05)  # a third one would have come by now
    assert sent.count == 2


def test_a_message_that_cannot_be_sent_is_logged_and_the_next_one_is_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = Rings()

    def send() -> None:
        sent()
        raise OSError("amqp://user:password@broker")

    bell = Bell(send)
    for number in (1, 2):
        bell.ring()
        wait_until(lambda: len(caplog.messages) == number)  # noqa: B023 - called at once
    assert sent.count == 2
    assert caplog.messages == ["no message was sent (OSError): the sweep will find the work"] * 2


def test_many_threads_ring_one_bell() -> None:
    blocker = Blocker()
    bell = Bell(blocker)
    threads = [threading.Thread(target=bell.ring) for _ in range(20)]
    before = threading.active_count()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert threading.active_count() == before + 1
    blocker.go_on.set()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12's own advice
def test_a_child_process_has_a_bell_of_its_own() -> None:
    sent = Rings()
    bell = Bell(sent)
    bell.ring()
    wait_until(lambda: sent.count == 1)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            bell.ring()
            wait_until(lambda: sent.count == 2)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert sent.count == 1


# What is put into the app.


def new_app(**conf: Any) -> Celery:
    app = Celery("shop", set_as_current=False, broker="memory://")
    app.conf.update(conf)
    return app


def test_the_apps_workers_do_the_work_and_its_beat_sends_the_sweep() -> None:
    app, pile = new_app(), Pile(1, 2)
    install(app, Work(pile), sweep_every=30)
    assert app.tasks["dispatch_returns.work"]() == 2
    entry = app.conf.beat_schedule["dispatch-returns-sweep"]
    assert (entry["task"], entry["schedule"]) == ("dispatch_returns.work", 30)


def test_a_message_of_a_killed_worker_is_given_back() -> None:
    app = new_app()
    install(app, Work())
    task = app.tasks["dispatch_returns.work"]
    assert (task.acks_late, task.reject_on_worker_lost, task.ignore_result) == (True, True, True)


def test_the_shops_own_settings_stay_whenever_they_are_made() -> None:
    app = Celery("shop", set_as_current=False)
    install(app, Work())
    app.config_from_object(
        {"broker_url": "memory://", "beat_schedule": {"own": {"task": "own", "schedule": 1}}}
    )
    assert set(app.conf.beat_schedule) == {"own", "dispatch-returns-sweep"}
    assert app.tasks["dispatch_returns.work"].app is app
    assert app.conf.broker_url == "memory://"


def test_no_other_app_has_the_task() -> None:
    app, other = new_app(), new_app()
    install(app, Work())
    assert "dispatch_returns.work" not in other.tasks


def test_an_accepted_event_sends_a_message_to_the_apps_own_broker() -> None:
    app, work = new_app(task_default_queue="returns-of-the-shop"), Work()
    install(app, work)
    (wake,) = work.wakes
    wake()
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("returns-of-the-shop")
        message = queue.get(timeout=SOON)
        message.ack()
        queue.close()
    assert message.headers["task"] == "dispatch_returns.work"
    assert message.payload[:2] == [[], {}], "it says nothing of anybody"


def test_a_shops_tests_may_run_the_tasks_eagerly() -> None:
    app, pile = new_app(task_always_eager=True), Pile(*range(2000))
    work = Work(pile)
    install(app, work)
    work.wakes[0]()
    wait_until(lambda: len(pile.done) == 2000)


def test_an_app_works_for_one_connector() -> None:
    app = new_app()
    install(app, Work())
    with pytest.raises(InvalidArgumentError, match="one app for each"):
        install(app, Work())


@pytest.mark.parametrize("seconds", [0, -1.5])
def test_a_sweep_that_cannot_be_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidArgumentError, match="sweep_every"):
        install(new_app(), Work(), sweep_every=seconds)


def test_without_celery_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celery", None)
    monkeypatch.delitem(sys.modules, runner.__name__)
    with pytest.raises(MissingExtraError, match=r"dispatch-returns\[celery\]"):
        importlib.import_module(runner.__name__)
