"""The queues as a runner sees them."""

from __future__ import annotations

import pytest

from dispatch_returns.connector.workers import Queue, work_off
from dispatch_returns.errors import TransitionError


class Pile:
    """Work in a list."""

    def __init__(self, *items: object) -> None:
        self.items = list(items)
        self.done: list[object] = []
        self.asked: list[int] = []

    def claim(self, limit: int) -> list[object]:
        self.asked.append(limit)
        taken, self.items = self.items[:limit], self.items[limit:]
        return taken

    def run(self, item: object) -> None:
        if isinstance(item, Exception):
            raise item
        self.done.append(item)

    def queue(self, name: str = "pile") -> Queue[object]:
        return Queue(name, self.claim, self.run)


def test_all_that_is_due_is_done_and_counted() -> None:
    first, second = Pile(*range(70)), Pile("a")
    assert work_off([first.queue(), second.queue()]) == 71
    assert first.done == list(range(70))
    assert second.done == ["a"]
    assert set(first.asked) == {32}


def test_what_one_step_leads_to_is_done_as_well() -> None:
    pile = Pile(1)
    then = Pile()

    def lead_to(item: object) -> None:
        then.items.append(item)

    queue = Queue("first", pile.claim, lead_to)
    assert work_off([queue, then.queue()]) == 2
    assert then.done == [1]


def test_nothing_due_is_nothing_done() -> None:
    assert work_off([Pile().queue()]) == 0
    assert work_off([]) == 0


def test_an_item_that_fails_is_logged_by_kind_and_place_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pile = Pile(1, ValueError("jane@example.com"), 2)
    assert work_off([pile.queue("refunds")]) == 3
    assert pile.done == [1, 2]
    (line,) = caplog.messages
    assert line.startswith("refunds: an item failed with ValueError at ")
    assert "test_queues.py:" in line
    assert "jane" not in caplog.text


def test_what_ends_the_program_is_not_swallowed() -> None:
    def stop(_item: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Queue("first", Pile(1).claim, stop).run_safely(1)


def test_an_illegal_move_is_logged_in_its_own_words(caplog: pytest.LogCaptureFixture) -> None:
    """They name the row, its states and what was to move it, and hold nothing of a customer's."""

    def move(_item: object) -> None:
        raise TransitionError("refund rfd_1 was not changed")

    queue: Queue[object] = Queue("refunds", Pile(1).claim, move)
    queue.run_safely(1)
    assert [it.getMessage() for it in caplog.records] == ["refunds: refund rfd_1 was not changed"]
