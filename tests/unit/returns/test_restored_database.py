"""A database restored from a backup: nothing is paid twice, and nobody is told twice."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapter import UnreadableRefund
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.steps.protocols import Parts
from dispatch_returns.store import Store, restores, switches
from dispatch_returns.store.switches import Switch
from dispatch_returns.testing import FakeAdapter
from tests.support import postgres, stores
from tests.support.workshop import Workshop


class Restorable:
    """A shop whose database goes back to an earlier state."""

    def __init__(
        self,
        box: dispatch_sandbox.Sandbox,
        folder: Path,
        copies: Copies,
        *,
        fake: FakeAdapter | None = None,
        workflow: Callable[[], Parts] | None = None,
    ) -> None:
        self.box, self.folder, self._copies, self._workflow = box, folder, copies, workflow
        parts = workflow() if workflow else None
        self.shop = Workshop(box, folder, fake=fake, store=copies.open(), workflow=parts)

    def back_up(self) -> None:
        """Copy the database."""
        self._copies.make(self.shop.store)

    def restore(self, *, declared: bool) -> None:
        """Go on with the backup, as another process does."""
        clock, fake = self.shop.clock, self.shop.fake
        self.shop.close()
        store = Store.open(self._copies.backup)
        parts = self._workflow() if self._workflow else None
        self.shop = Workshop(
            self.box, self.folder, fake=fake, store=store, workflow=parts, live=False
        )
        self.shop.clock.now = clock.now
        if declared:
            now = clock()
            store.write("declare", lambda conn: restores.declare(conn, now, who="Ann", why=None))

    def kill(self, *, is_on: bool) -> None:
        now = self.shop.clock()
        self.shop.store.write(
            "throw",
            lambda conn: switches.throw(conn, Switch.KILL, now, is_on=is_on, who="Ann", why="x"),
        )

    def told(self, ticket: Ticket) -> list[str]:
        return [it.body for it in self.shop.comments(ticket) if not it.internal]


class Copies:
    """A database and its backup, on one of the two servers."""

    def __init__(self, kind: str, folder: Path, stack: contextlib.ExitStack) -> None:
        self._kind, self._folder, self._stack = kind, folder, stack
        self.url = self.backup = ""

    def open(self) -> Store:
        """Open the database, which is new and empty."""
        if self._kind == "sqlite":
            return stores.open_store(self._folder, durable=False)
        self.url = self._stack.enter_context(postgres.new_database())
        return Store.open(self.url)

    def make(self, store: Store) -> None:
        """Back up as docs say: `sqlite3 .backup`; a template stands for `pg_dump`."""
        if self._kind == "postgresql":
            store._engine.dispose()
            self.backup = self._stack.enter_context(postgres.copied(self.url))
            return
        self.backup = f"sqlite:///{self._folder}/backup.db"
        with (
            contextlib.closing(sqlite3.connect(self._folder / "returns.db")) as now,
            contextlib.closing(sqlite3.connect(self._folder / "backup.db")) as kept,
        ):
            now.backup(kept)


@pytest.fixture(params=stores.KINDS)
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copies]:
    with contextlib.ExitStack() as stack:
        yield Copies(request.param, tmp_path, stack)


@pytest.fixture
def lost(box: dispatch_sandbox.Sandbox, tmp_path: Path, copies: Copies) -> Iterator[Restorable]:
    place = Restorable(box, tmp_path, copies)
    yield place
    place.shop.close()


def half(shop: Workshop) -> Ticket:
    """A ticket of a part of its payment."""
    return shop.ticket(refund_amount=50)


@pytest.mark.parametrize("declared", [True, False])
def test_what_was_requested_in_the_backup_and_paid_since_is_not_paid_again(
    lost: Restorable, declared: bool
) -> None:
    lost.kill(is_on=True)
    ticket = half(lost.shop)
    lost.shop.run(ticket)
    lost.back_up()
    lost.kill(is_on=False)
    lost.shop.work(minutes=2)
    assert len(lost.shop.fake.refunds) == 1
    lost.restore(declared=declared)
    lost.kill(is_on=False)
    lost.shop.work(hours=24 * 40)
    lost.shop.work(minutes=2)
    row = lost.shop.refund(ticket)
    assert row is not None
    assert (len(lost.shop.fake.refunds), row.state) == (1, State.SUCCEEDED)
    assert len(lost.told(ticket)) == 1


@pytest.mark.parametrize("declared", [True, False])
def test_what_came_and_was_paid_after_the_backup_is_not_paid_again(
    lost: Restorable, declared: bool
) -> None:
    lost.back_up()
    ticket = half(lost.shop)
    lost.shop.run(ticket)
    lost.restore(declared=declared)
    lost.shop.clock.turn(days=40)
    lost.shop.run(ticket)
    lost.shop.work(minutes=2)
    row = lost.shop.refund(ticket)
    assert row is not None
    assert (len(lost.shop.fake.refunds), row.state) == (1, State.SUCCEEDED)
    assert len(lost.told(ticket)) == 1


def test_a_refund_that_cannot_be_read_keeps_no_restored_database_stopped(
    lost: Restorable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost.back_up()
    lost.restore(declared=True)
    bad, fake = UnreadableRefund("re_bad", "its amount is missing"), lost.shop.fake
    listed = fake.refunds_between
    monkeypatch.setattr(fake, "refunds_between", lambda *when: iter([bad, *listed(*when)]))
    ticket = half(lost.shop)
    lost.shop.run(ticket)
    lost.shop.work(minutes=2)
    assert len(lost.shop.fake.refunds) == 1
    assert "refund re_bad: its amount is missing" in caplog.text


def test_nothing_is_paid_until_the_lists_were_compared(
    lost: Restorable, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost.back_up()
    lost.restore(declared=True)
    shop = lost.shop
    listing = shop.fake.refunds_between

    def away(*_: Any) -> Any:
        raise AdapterError(ErrorKind.NOT_SENT, "away")

    monkeypatch.setattr(shop.fake, "refunds_between", away)
    ticket = half(shop)
    shop.run(ticket)
    assert shop.fake.refunds == []
    assert shop.connector.health.lag().document["restored"] is True
    monkeypatch.setattr(shop.fake, "refunds_between", listing)
    shop.work(minutes=2)
    assert len(shop.fake.refunds) == 1
    assert shop.connector.health.lag().document["restored"] is False
