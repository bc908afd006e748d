"""A database belongs to a workspace, an adapter, its processor's account and its mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.client import DispatchClient
from dispatch_returns.connector.installation import Identity, Whose, compare
from dispatch_returns.errors import AdapterError, ConfigurationError, ErrorKind
from dispatch_returns.refunds import ledger
from dispatch_returns.store import Store, audit_log, switches
from dispatch_returns.store.inbox import EventState
from dispatch_returns.store.installation import Entry
from dispatch_returns.store.switches import Switch
from dispatch_returns.testing import FakeAdapter
from dispatch_sandbox import SandboxState
from tests.support.stores import open_store
from tests.support.workshop import Workshop


class Bank(FakeAdapter):
    """A processor with accounts."""

    def __init__(self, account: str | None = "acct_1", mode: str | None = "live") -> None:
        super().__init__({})
        self.mode = mode
        self.looks = 0
        self.error: AdapterError | None = None
        self._whose = account

    def account(self) -> str | None:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self._whose


@pytest.fixture
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    state = SandboxState(workspaces=(dispatch_sandbox.WORKSPACE, "ws_b"))
    # One workspace under two names, as the real server has it.
    state.workspaces["br_sandbox"] = state.workspaces[dispatch_sandbox.WORKSPACE]
    with dispatch_sandbox.running(state=state) as box:
        for workspace in (dispatch_sandbox.WORKSPACE, "ws_b"):
            with DispatchClient(
                dispatch_sandbox.API_KEY, workspace, base_url=box.api_url
            ) as client:
                client.statuses.create(key="refunded", name="Refunded")
        yield box


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, durable=False) as store:
        yield store


@pytest.fixture
def shop(
    box: dispatch_sandbox.Sandbox, store: Store, tmp_path: Path
) -> Iterator[Callable[..., Workshop]]:
    """Start another process on the same database."""
    started: list[Workshop] = []

    def shop(workspace: str = dispatch_sandbox.WORKSPACE, **given: Any) -> Workshop:
        started.append(Workshop(box, tmp_path, store=store, workspace=workspace, **given))
        return started[-1]

    yield shop
    for each in started:
        each.close()


def paid(shop: Workshop) -> int:
    return len(shop.fake.refunds)


# The workspace.


def test_a_workspace_by_its_other_name_is_the_same_and_pays_nothing_again(
    shop: Callable[..., Workshop],
) -> None:
    first = shop()
    ticket = first.ticket()
    first.run(ticket)
    other = shop("br_sandbox", fake=first.fake, style="brands")
    other.event(ticket.id)
    other.work()
    assert paid(first) == 1
    assert [it.workspace_id for it in rows(other.store)] == [dispatch_sandbox.WORKSPACE]


def test_another_workspace_on_the_database_pays_nothing_and_its_deliveries_are_kept(
    shop: Callable[..., Workshop],
) -> None:
    shop()
    other = shop("ws_b")
    ticket = other.ticket()
    event_id = other.event(ticket.id, brand_id="ws_b")
    assert other.work() == 0
    assert other.found(event_id).state is EventState.ACCEPTED
    assert rows(other.store) == []
    lag = other.connector.health.lag()
    assert (lag.ok, "DISPATCH_WORKSPACE" in lag.document["problem"]) == (False, True)
    with pytest.raises(ConfigurationError, match=r"^DISPATCH_WORKSPACE is ws_b .* db adopt --who"):
        other.connector.refund(ticket.id)


def test_an_event_of_another_workspace_is_left_alone_and_counted_apart(
    shop: Callable[..., Workshop],
) -> None:
    ours = shop()
    event_id = ours.event("tkt_1", brand_id="ws_b")
    ours.work()
    kept = ours.found(event_id)
    assert (kept.state, kept.tries) == (EventState.ACCEPTED, 0)
    assert ours.work(minutes=10) == 0, "it is not claimed again"
    lag = ours.connector.health.lag()
    assert lag.document["events_of_other_workspaces"] == 1
    assert lag.document["oldest_event_seconds"] == 0.0
    assert not lag.ok


def test_two_workspaces_that_were_adopted_each_do_their_own_work(
    shop: Callable[..., Workshop],
) -> None:
    first = shop()
    second = shop("ws_b", fake=first.fake)
    (new,) = second.connector.installation.adopt(who="Ann", why="two brands")
    assert (new.name, new.account) == ("ws_b", "ws_b")
    second.connector.go_live.complete()
    tickets = first.ticket(), second.ticket()
    first.event(tickets[0].id)
    second.event(tickets[1].id, brand_id="ws_b")
    for each, ticket, workspace in zip(
        (first, second), tickets, (dispatch_sandbox.WORKSPACE, "ws_b"), strict=True
    ):
        assert each.work() > 0
        row = each.refund(ticket)
        assert row is not None
        assert (row.workspace_id, row.state) == (workspace, "succeeded")
    assert first.connector.health.lag().ok
    with first.store.read() as conn:
        (act,) = audit_log.newest(conn, limit=9)
    assert (act.action, act.who, act.why, act.subject) == (
        "adopt", "Ann", "two brands", "workspace ws_b ws_b",
    )  # fmt: skip


def test_a_workspace_that_the_key_does_not_see_is_named_and_nothing_is_marked_done(
    shop: Callable[..., Workshop],
) -> None:
    wrong = shop("ws_typo")
    event_id = wrong.event("tkt_1", brand_id=dispatch_sandbox.WORKSPACE)
    assert wrong.work() == 0
    assert wrong.found(event_id).state is EventState.ACCEPTED
    with pytest.raises(ConfigurationError, match="DISPATCH_WORKSPACE is ws_typo, but this key"):
        wrong.connector.installation.require()


def test_a_key_that_may_not_read_the_workspace_knows_it_from_a_ticket(
    box: dispatch_sandbox.Sandbox, shop: Callable[..., Workshop]
) -> None:
    with DispatchClient(
        dispatch_sandbox.API_KEY, "br_sandbox", base_url=box.api_url, style="brands"
    ) as client:
        client.tickets.create(subject="Return", customer_email="jane@example.com")
    denied = {"path": "/v1/brands/br_sandbox"}
    box.state.faults.add(dispatch_sandbox.FaultRule("api", "status", status=403, match=denied))
    again = shop("br_sandbox", style="brands")
    assert again.connector.installation.known_workspace() == dispatch_sandbox.WORKSPACE


# The processor's account.


def test_a_key_of_another_account_pays_nothing_until_it_is_adopted(
    shop: Callable[..., Workshop],
) -> None:
    shop(fake=Bank("acct_1"))
    other = shop(fake=Bank("acct_2"))
    ticket = other.ticket()
    other.run(ticket)
    assert paid(other) == 0
    with pytest.raises(
        ConfigurationError, match=r"FAKE_API_KEY belongs to fake acct_2 .* fake acct_1"
    ):
        other.connector.installation.require()
    other.connector.installation.adopt(who="Ann")
    other.work(minutes=2)
    assert paid(other) == 1


def test_another_account_is_not_adopted_under_a_name_with_unfinished_refunds(
    shop: Callable[..., Workshop],
) -> None:
    ours = shop(fake=Bank("acct_1"))
    kill(ours, is_on=True)
    ours.run(ours.ticket())
    other = shop(fake=Bank("acct_2"))
    with pytest.raises(
        ConfigurationError,
        match=r"^FAKE_API_KEY belongs to fake acct_2 .* unfinished refunds \(1\), .* its own in",
    ):
        other.connector.installation.adopt(who="Ann")
    kill(ours, is_on=False)
    other.work(minutes=2)
    ours.work(minutes=2)
    assert (paid(other), paid(ours)) == (0, 1)
    (new,) = other.connector.installation.adopt(who="Ann")
    assert (new.name, new.account) == ("fake", "acct_2")


def kill(shop: Workshop, *, is_on: bool) -> None:
    now = shop.clock()
    shop.store.write(
        "throw",
        lambda conn: switches.throw(conn, Switch.KILL, now, is_on=is_on, who="Ann", why="x"),
    )


@pytest.mark.parametrize("account", ["acct_1", None], ids=["full key", "restricted key"])
def test_a_test_key_on_the_live_database_pays_nothing(
    shop: Callable[..., Workshop], account: str | None
) -> None:
    shop(fake=Bank(account, "live"))
    trial = shop(fake=Bank(account, "test"))
    trial.run(trial.ticket())
    assert paid(trial) == 0


def test_an_adapter_of_another_name_needs_to_be_adopted(shop: Callable[..., Workshop]) -> None:
    shop(fake=Bank())
    other = Bank()
    other.name = "acme"
    with pytest.raises(
        ConfigurationError, match=r"^DISPATCH_RETURNS_ADAPTERS belongs to acme acct_1"
    ):
        shop(fake=other).connector.installation.require()


def test_what_a_restricted_key_may_not_read_is_a_warning_and_it_pays(
    shop: Callable[..., Workshop], caplog: pytest.LogCaptureFixture
) -> None:
    ours = shop(fake=Bank(account=None))
    ours.run(ours.ticket())
    assert paid(ours) == 1
    assert "may not read the account at fake" in caplog.text
    named = shop(fake=Bank("acct_1"))
    assert named.connector.installation.ready()
    assert not shop(fake=Bank("acct_2")).connector.installation.ready(), "it was filled in"


# What cannot be asked now.


def test_a_first_start_waits_until_it_is_known_whose_the_database_is(
    box: dispatch_sandbox.Sandbox, shop: Callable[..., Workshop]
) -> None:
    bank = Bank()
    bank.error = AdapterError(ErrorKind.NOT_SENT, "away")
    ours = shop(fake=bank)
    event_id = ours.event(ours.ticket().id)
    assert ours.work() == 0
    assert ours.found(event_id).state is EventState.ACCEPTED
    bank.error = None
    assert ours.work(minutes=1) > 0
    assert ours.found(event_id).state is EventState.DONE


def test_a_later_start_goes_on_while_nobody_can_be_asked_and_asks_again(
    shop: Callable[..., Workshop],
) -> None:
    shop(fake=Bank()).connector.installation.require()
    bank = Bank("acct_2")
    bank.error = AdapterError(ErrorKind.NOT_SENT, "away")
    later = shop(fake=bank)
    later.run(later.ticket())
    assert paid(later) == 1
    bank.error = None
    later.event(later.ticket().id)
    later.work(minutes=2)
    assert paid(later) == 1, "by now it is known to be another account"


def test_it_is_asked_once_and_not_for_each_event(
    box: dispatch_sandbox.Sandbox, shop: Callable[..., Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = Bank()
    ours = shop(fake=bank)
    asked: list[object] = []
    monkeypatch.setattr(ours.client.workspaces, "get", lambda *_: asked.append(1))
    for _ in range(5):
        ours.run(ours.ticket())
    assert (bank.looks, asked, paid(ours)) == (1, [], 5)


# What follows from what, without a database.

STRIPE = Whose("stripe", "live", "acct_1")
SEEN = Identity("ws_a", "ws_a", (STRIPE,))
OURS = [Entry("workspace", "ws_a", "ws_a", id=1), Entry("adapter", "stripe", "acct_1", "live", 2)]


def test_the_first_start_writes_down_everything_and_the_next_one_nothing() -> None:
    first = compare([], SEEN)
    assert [(it.kind, it.name, it.account, it.mode) for it in first.new] == [
        ("workspace", "ws_a", "ws_a", None),
        ("adapter", "stripe", "acct_1", "live"),
    ]
    assert compare(OURS, SEEN).new == ()


def test_a_stranger_that_is_adopted_is_a_stranger_no_more() -> None:
    stranger = Entry("workspace", "ws_b", id=3)
    seen = Identity("ws_b", "ws_b", (STRIPE,))
    assert not compare([*OURS, stranger], seen).may_work
    (new,) = compare([*OURS, stranger], seen, adopting=True).new
    assert (new.id, new.account) == (3, "ws_b")


def rows(store: Store) -> list[ledger.Refund]:
    with store.read() as conn:
        return ledger.newest(conn, limit=99)


def test_the_events_of_the_processor_belong_to_whoever_works(
    shop: Callable[..., Workshop],
) -> None:
    ours = shop()
    ticket = ours.ticket()
    ours.run(ticket)
    row = ours.refund(ticket)
    assert row is not None
    assert row.processor_id is not None
    event_id = ours.news(row.processor_id)
    ours.work()
    assert ours.found(event_id, "fake").state is EventState.DONE
