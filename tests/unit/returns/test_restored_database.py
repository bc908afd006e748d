"""A database restored from a backup: nothing is paid twice, and nobody is told twice."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

import dispatch_sandbox
from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapter import Payment, PaymentRef, UnreadableRefund
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.notifications.comments import TicketComments
from dispatch_returns.returns.notifications.rendering import Templates
from dispatch_returns.returns.notifications.smtp import SmtpNotifier
from dispatch_returns.returns.steps.workflow import Workflow
from dispatch_returns.store import Store, restores, switches
from dispatch_returns.store.switches import Switch
from dispatch_returns.testing import FakeAdapter
from tests.support import postgres, stores
from tests.support.desk import usd
from tests.support.mail_server import Mailbox, mail_server
from tests.support.returns import Merchant
from tests.support.workshop import EMAIL, Workshop


class Restorable:
    """A shop whose database goes back to an earlier state."""

    def __init__(
        self,
        box: dispatch_sandbox.Sandbox,
        folder: Path,
        copies: Copies,
        *,
        can: Callable[[FakeAdapter], FakeAdapter] = lambda fake: fake,
        workflow: Callable[[], Workflow] | None = None,
    ) -> None:
        self.box, self.folder, self._copies, self._workflow = box, folder, copies, workflow
        parts = workflow() if workflow else None
        fake = FakeAdapter({})
        self.processor = can(fake)
        self.shop = Workshop(box, folder, fake=self.processor, store=copies.open(), workflow=parts)
        fake._clock = self.shop.clock
        self.fake = fake

    def back_up(self) -> None:
        """Copy the database."""
        self._copies.make(self.shop.store)

    def restore(self, *, declared: bool) -> None:
        """Go on with the backup, as another process does."""
        clock = self.shop.clock
        self.shop.close()
        store = Store.open(self._copies.backup)
        parts = self._workflow() if self._workflow else None
        self.shop = Workshop(
            self.box, self.folder, fake=self.processor, store=store, workflow=parts, live=False
        )
        self.shop.clock.now = clock.now
        self.fake._clock = self.shop.clock
        if declared:
            now = clock()
            store.write("declare", lambda conn: restores.declare(conn, now, who="Ann", why=None))

    def kill(self, *, is_on: bool) -> None:
        now = self.shop.clock()
        self.shop.store.write(
            "throw",
            lambda conn: switches.throw(conn, Switch.KILL, now, is_on=is_on, who="Ann", why="x"),
        )

    def notes(self, ticket: Ticket) -> str:
        return "\n".join(it.body for it in self.shop.comments(ticket) if it.internal)

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


# Through a processor that can do less.


class Unlisted:
    """A processor that lists nothing: it does only what every adapter must do."""

    name = "fake"

    def __init__(self, fake: FakeAdapter) -> None:
        self.capabilities = fake.capabilities
        self.payment, self.refund, self.find = fake.payment, fake.refund, fake.find
        self.add_payment, self.close = fake.add_payment, fake.close


def unlisted(fake: FakeAdapter) -> FakeAdapter:
    """Only looks one refund up."""
    return cast("FakeAdapter", Unlisted(fake))


def not_looked_up(fake: FakeAdapter) -> FakeAdapter:
    """Only lists refunds."""
    fake.capabilities = replace(fake.capabilities, lookup=False)
    return fake


def neither(fake: FakeAdapter) -> FakeAdapter:
    """Says nothing of its refunds."""
    return unlisted(not_looked_up(fake))


@pytest.fixture
def less(
    box: dispatch_sandbox.Sandbox,
    tmp_path: Path,
    copies: Copies,
    request: pytest.FixtureRequest,
) -> Iterator[Restorable]:
    place = Restorable(box, tmp_path, copies, can=request.param)
    yield place
    place.shop.close()


@pytest.mark.parametrize("less", [unlisted, not_looked_up], indirect=True)
def test_what_waited_is_found_by_a_look_or_in_the_list(less: Restorable) -> None:
    ticket = waited_and_was_paid(less)
    row = less.shop.refund(ticket)
    assert row is not None
    assert (len(less.fake.refunds), row.state) == (1, State.SUCCEEDED)
    assert len(less.told(ticket)) == 1


@pytest.mark.parametrize("less", [unlisted, not_looked_up], indirect=True)
def test_what_the_backup_lacks_is_found_by_a_look_or_in_the_list(less: Restorable) -> None:
    ticket = came_and_was_paid(less)
    row = less.shop.refund(ticket)
    assert row is not None
    assert (len(less.fake.refunds), row.state) == (1, State.SUCCEEDED)
    assert len(less.told(ticket)) == 1


@pytest.mark.parametrize("less", [neither], indirect=True)
def test_where_the_processor_says_nothing_a_person_decides_what_waited(less: Restorable) -> None:
    ticket = waited_and_was_paid(less)
    row = less.shop.refund(ticket)
    assert row is not None
    assert (len(less.fake.refunds), row.state) == (1, State.UNKNOWN)
    assert row.reason == "outcome_unknown"
    assert "The database was restored from a backup" in less.notes(ticket)
    assert "dispatch-returns refunds retry" in less.notes(ticket)
    assert "--nothing-was-paid" in less.notes(ticket)


@pytest.mark.parametrize("less", [neither], indirect=True)
def test_where_the_processor_says_nothing_a_person_pays_what_the_backup_lacks(
    less: Restorable,
) -> None:
    ticket = came_and_was_paid(less)
    assert (len(less.fake.refunds), less.shop.refund(ticket)) == (1, None)
    new = half(less.shop)
    less.shop.run(new)
    assert len(less.fake.refunds) == 2


@pytest.mark.parametrize("less", [neither], indirect=True)
def test_where_the_processor_says_nothing_a_person_pays_what_the_backup_holds(
    less: Restorable, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = less.processor.payment

    def untold(ref: PaymentRef) -> Payment:
        return replace(told(ref), charged=None, refunded=None)

    monkeypatch.setattr(less.processor, "payment", untold)
    ticket = less.shop.ticket(refund_amount=50, received_date=None)
    less.shop.run(ticket)
    less.back_up()
    less.shop.set(ticket, "refunded", received_date="2024-01-15")
    less.shop.run(ticket)
    assert len(less.fake.refunds) == 1
    less.restore(declared=True)
    less.shop.clock.turn(days=40)
    for _ in range(3):
        less.shop.work(minutes=20)
    less.shop.run(ticket)
    less.shop.work(minutes=2)
    row = less.shop.refund(ticket)
    assert row is not None
    assert (len(less.fake.refunds), row.state) == (1, State.HELD)
    assert "or its database was restored from a backup" in less.notes(ticket)
    assert less.shop.connector.refund(ticket.id).state is State.SUCCEEDED, "a person pays it"


def waited_and_was_paid(place: Restorable) -> Ticket:
    """Restore a database in which a refund waits that was paid since; its key has expired."""
    place.kill(is_on=True)
    ticket = half(place.shop)
    place.shop.run(ticket)
    place.back_up()
    place.kill(is_on=False)
    place.shop.work(minutes=2)
    assert len(place.fake.refunds) == 1
    place.restore(declared=True)
    place.kill(is_on=False)
    place.shop.clock.turn(days=40)
    for _ in range(3):
        place.shop.work(minutes=20)
    place.shop.run(ticket)
    return ticket


def came_and_was_paid(place: Restorable) -> Ticket:
    """Restore a database that lacks a refund which was paid since; its key has expired."""
    place.back_up()
    ticket = half(place.shop)
    place.shop.run(ticket)
    place.restore(declared=True)
    place.shop.clock.turn(days=40)
    for _ in range(3):
        place.shop.work(minutes=20)
    place.shop.run(ticket)
    place.shop.work(minutes=2)
    return ticket


# With customers who are notified by mail.


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def mailing(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, copies: Copies, mailbox: Mailbox
) -> Iterator[Restorable]:
    def workflow() -> Workflow:
        notifier = SmtpNotifier(
            Templates(shop="Acme"),
            host="localhost",
            port=mailbox.port,
            sender="returns@acme.example",
            security="none",
        )
        return Merchant().parts(notifier=notifier)

    place = Restorable(box, tmp_path, copies, workflow=workflow)
    yield place
    place.shop.close()


def test_a_customer_is_not_mailed_again_of_a_refund_that_waited(
    mailing: Restorable, mailbox: Mailbox
) -> None:
    ticket = waited_and_was_paid(mailing)
    assert len(mailing.fake.refunds) == 1
    assert len(mailbox.mails) == 1
    assert "If the customer did not get it, write to them" in mailing.notes(ticket)


def test_a_customer_is_not_mailed_again_of_a_refund_that_the_backup_lacks(
    mailing: Restorable, mailbox: Mailbox
) -> None:
    ticket = came_and_was_paid(mailing)
    assert len(mailing.fake.refunds) == 1
    assert len(mailbox.mails) == 1
    assert "If the customer did not get it, write to them" in mailing.notes(ticket)


def request(place: Restorable) -> Ticket:
    shop = place.shop
    shop.fake.add_payment("pi_mail", usd("149.00"))
    ticket = shop.connector.returns.request(
        order_id="1234",
        items=["SKU-001"],
        reason="wrong_size",
        customer_email=EMAIL,
        fields={"payment_intent": "pi_mail"},
    )
    shop.opened_now(ticket)
    shop.event(ticket.id)
    return ticket


def test_a_customer_is_not_mailed_again_of_a_step_whose_mail_waited(
    mailing: Restorable, mailbox: Mailbox
) -> None:
    mailbox.answers["RCPT"] = "450 4.2.0 greylisted"
    ticket = request(mailing)
    mailing.shop.work()
    mailing.back_up()
    del mailbox.answers["RCPT"]
    mailing.shop.work(hours=2)
    sent = len(mailbox.mails)
    assert sent
    mailing.restore(declared=True)
    for _ in range(3):
        mailing.shop.work(minutes=20)
    mailing.shop.run(ticket)
    assert len(mailbox.mails) == sent
    assert "If the customer did not get it, write to them" in mailing.notes(ticket)


@pytest.mark.parametrize("waits", [True, False], ids=["its event is in the backup", "it is not"])
def test_a_customer_is_not_mailed_again_of_a_step_taken_since(
    mailing: Restorable, mailbox: Mailbox, waits: bool
) -> None:
    ticket, _ = requested_around_the_backup(mailing, waits=waits)
    sent = [it["subject"] for it in mailbox.mails]
    assert sent
    mailing.restore(declared=True)
    for _ in range(3):
        mailing.shop.work(minutes=20)
    mailing.shop.run(ticket)
    assert [it["subject"] for it in mailbox.mails] == sent
    assert "If the customer did not get it, write to them" in mailing.notes(ticket)


def test_what_is_new_after_a_restore_is_mailed(mailing: Restorable, mailbox: Mailbox) -> None:
    mailing.kill(is_on=True)
    waits = half(mailing.shop)
    mailing.shop.run(waits)
    mailing.back_up()
    mailing.restore(declared=True)
    mailing.kill(is_on=False)
    for _ in range(3):
        mailing.shop.work(minutes=20)
    assert (len(mailing.fake.refunds), len(mailbox.mails)) == (1, 1)
    request(mailing)
    mailing.shop.work(minutes=1)
    subjects = [it["subject"] for it in mailbox.mails]
    assert (len(subjects), subjects[-1]) == (4, "Your return label is here")


@pytest.mark.parametrize("waits", [True, False], ids=["its event is in the backup", "it is not"])
def test_no_comment_of_a_step_taken_since_is_written_again(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, copies: Copies, waits: bool
) -> None:
    with DispatchClient(
        dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
    ) as client:

        def workflow() -> Workflow:
            return Merchant().parts(notifier=TicketComments(client, Templates(shop="Acme")))

        place = Restorable(box, tmp_path, copies, workflow=workflow)
        try:
            ticket, written = requested_around_the_backup(place, waits=waits)
            assert written
            box.state.replays.clear()  # the API forgets its keys
            place.restore(declared=True)
            for _ in range(3):
                place.shop.work(minutes=20)
            place.shop.run(ticket)
            assert place.told(ticket) == written
        finally:
            place.shop.close()


def requested_around_the_backup(place: Restorable, *, waits: bool) -> tuple[Ticket, list[str]]:
    """Request a return whose steps are taken after the backup; return what was written."""
    if not waits:
        place.back_up()
    ticket = request(place)
    if waits:
        place.back_up()
    place.shop.work()
    return ticket, place.told(ticket)
