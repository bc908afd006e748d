"""One connector with several adapters: each payment goes back where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns.client import Ticket
from dispatch_returns.connector.build import payment_search
from dispatch_returns.connector.celery import take_turn
from dispatch_returns.connector.reconcile.discrepancies import Discrepancy
from dispatch_returns.connector.workers import Crew
from dispatch_returns.errors import AdapterError, ConfigurationError, ErrorKind
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.adapter import PaymentRef, RefundStatus
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.store import Store, installation, switches
from dispatch_returns.store.installation import Entry
from dispatch_returns.store.switches import Switch
from dispatch_returns.testing import FakeAdapter
from dispatch_sandbox import Sandbox
from tests.support.desk import usd
from tests.support.processors import Bank
from tests.support.stores import open_store
from tests.support.waiting import wait_until
from tests.support.workshop import Workshop

AWAY = AdapterError(ErrorKind.NOT_SENT, "no connection")


class Shop(Workshop):
    """A shop with two processors: each has a payment for each ticket."""

    def __init__(self, box: Sandbox, folder: Path, banks: dict[str, Bank], **given: Any) -> None:
        self.banks = banks
        super().__init__(box, folder, adapters=banks, **given)
        for bank in banks.values():
            bank._clock = self.clock

    def ticket_of(self, name: str, number: int = 1, **fields: Any) -> Ticket:
        """Open a ticket that was paid through one of the banks."""
        payment = f"{self.banks[name].prefix}{number}"
        self.banks[name].add_payment(payment, usd("149.00"))
        return self.ticket(payment_intent=None, payment_reference=payment, **fields)

    def row(self, ticket: Ticket) -> ledger.Refund:
        row = self.refund(ticket)
        assert row is not None
        return row

    def throw(self, switch: str, *, is_on: bool) -> None:
        now = self.clock()
        self.store.write(
            "throw",
            lambda conn: switches.throw(conn, switch, now, is_on=is_on, who="Ann", why="a test"),
        )


def two(**accounts: str) -> dict[str, Bank]:
    return {
        name: Bank(prefix, account=accounts.get(name))
        for name, prefix in (("stripe", "pi_"), ("paypal", "pp_"))
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, durable=False) as store:
        yield store


@pytest.fixture
def open_shop(box: Sandbox, store: Store, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Start a process on the database."""
    started: list[Shop] = []

    def open_shop(banks: dict[str, Bank], **given: Any) -> Shop:
        started.append(Shop(box, tmp_path, banks, store=store, **given))
        return started[-1]

    yield open_shop
    for each in started:
        for bank in each.banks.values():
            bank.goes_on.set()
            bank.account_goes_on.set()
        each.close()


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop(two())


def test_each_return_is_paid_back_through_its_own_adapter(shop: Shop) -> None:
    tickets = {name: shop.ticket_of(name) for name in shop.banks}
    for ticket in tickets.values():
        shop.run(ticket)
    for name, ticket in tickets.items():
        row = shop.row(ticket)
        assert (row.adapter, row.state) == (name, "succeeded")
        assert len(shop.banks[name].refunds) == 1


def test_one_that_hangs_does_not_hold_up_the_other(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(two(), workers=1)
    hanging = shop.banks["paypal"]
    hanging.goes_on.clear()
    stuck = [shop.ticket_of("paypal", number) for number in (1, 2, 3)]
    good = shop.ticket_of("stripe")
    for ticket in (*stuck, good):
        shop.event(ticket.id)
    shop.connector.start()
    try:
        wait_until(hanging.called.is_set)
        wait_until(lambda: (row := shop.refund(good)) is not None and row.state == "succeeded")
        assert hanging.refunds == []
    finally:
        hanging.goes_on.set()
        assert shop.connector.stop()
    shop.work()
    assert {shop.row(it).state for it in stuck} == {"succeeded"}


def test_under_celery_one_that_hangs_does_not_hold_up_the_other(shop: Shop) -> None:
    hanging = shop.banks["paypal"]
    tickets = [shop.ticket_of("paypal"), shop.ticket_of("stripe")]
    shop.throw(Switch.KILL, is_on=True)
    for ticket in tickets:
        shop.run(ticket)  # both wait, so that both are sent from the queues of refunds
    shop.throw(Switch.KILL, is_on=False)
    shop.clock.turn(minutes=2)
    hanging.goes_on.clear()
    crew = Crew(1)
    take_turn(shop.connector.queues, lambda: None, crew, seconds=0.1)
    states = [str(shop.row(it).state) for it in tickets]
    hanging.goes_on.set()
    assert crew.close(5.0)
    assert (states, hanging.called.is_set()) == (["sending", "succeeded"], True)


def test_each_adapter_has_slots_of_its_own(shop: Shop) -> None:
    names = [queue.name for queue in shop.connector.queues]
    for work in ("events", "refunds"):
        assert {work, f"{work} of stripe", f"{work} of paypal"} <= set(names)
    assert len(names) == len(set(names)), "a queue's slots go by its name"


def test_one_adapter_needs_no_further_queue(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop({"stripe": Bank("pi_")})
    assert not [it.name for it in shop.connector.queues if " of " in it.name]


def test_each_has_its_own_receiver_and_its_events_reach_its_rows(shop: Shop) -> None:
    tickets = {}
    for name, bank in shop.banks.items():
        bank.first_status = RefundStatus.PENDING
        tickets[name] = shop.ticket_of(name)
        shop.run(tickets[name])
    for name, bank in shop.banks.items():
        # Both call their refund fake_1: only the path says whose it is.
        bank.set_status("fake_1", RefundStatus.SUCCEEDED)
        body, headers = bank.event("fake_1")
        assert shop.connector.receivers[name].receive("POST", headers, body).status == 200
        shop.work()
        assert shop.row(tickets[name]).state == "succeeded"
        if name == "stripe":
            assert shop.row(tickets["paypal"]).state == "pending"
    assert [len(bank.requests) for bank in shop.banks.values()] == [1, 1]


def test_an_event_of_one_that_is_away_waits_and_the_others_go_on(shop: Shop) -> None:
    tickets = {}
    for name, bank in shop.banks.items():
        bank.first_status = RefundStatus.PENDING
        tickets[name] = shop.ticket_of(name)
        shop.run(tickets[name])
        bank.set_status("fake_1", RefundStatus.SUCCEEDED)
        body, headers = bank.event("fake_1")
        shop.connector.receivers[name].receive("POST", headers, body)
    shop.banks["paypal"].fail_next("lost_response", call="refunds_of")
    shop.work()
    assert [shop.row(it).state for it in tickets.values()] == ["succeeded", "pending"]
    shop.work(minutes=1)
    assert shop.row(tickets["paypal"]).state == "succeeded"


def test_a_row_whose_adapter_is_gone_waits_for_it(open_shop: Callable[..., Shop]) -> None:
    banks = two()
    before = open_shop(banks)
    ticket = before.ticket_of("paypal")
    banks["paypal"].refuses = AWAY
    before.run(ticket)
    banks["paypal"].refuses = None
    later = open_shop({"stripe": banks["stripe"]})
    later.clock.now = before.clock.now
    later.work(minutes=10)
    row = later.row(ticket)
    assert (row.state, row.adapter) == ("requested", "paypal")
    assert row.detail == "waits for the adapter paypal"
    later.event(ticket.id)  # the ticket says it again: it stays PayPal's
    later.work(hours=2)
    row = later.row(ticket)
    assert (row.state, row.adapter, banks["paypal"].refunds) == ("requested", "paypal", [])
    assert "DISPATCH_RETURNS_ADAPTERS" in later.connector.health.lag(0).document["problem"]
    again = open_shop(banks)
    again.clock.now = later.clock.now
    again.work(hours=2)
    assert again.row(ticket).state == "succeeded"


# Whose payment it is.


def test_a_payment_of_no_known_form_is_held_until_the_ticket_names_its_adapter(
    box: Sandbox, store: Store, tmp_path: Path
) -> None:
    plain = FakeAdapter({"9XY": usd("149.00")})  # it cannot tell its own payments
    shop = Workshop(box, tmp_path, store=store, adapters={"stripe": Bank("pi_"), "paypal": plain})
    ticket = shop.ticket(payment_intent=None, payment_reference="9XY")
    shop.run(ticket)
    row = shop.refund(ticket)
    assert row is not None
    assert (row.state, row.reason, row.adapter) == ("held", "adapter_unclear", None)
    assert "stripe, paypal" in shop.comments(ticket)[-1].body
    assert "payment_adapter" in shop.comments(ticket)[-1].body
    shop.set(ticket, "refunded", payment_adapter="paypal")
    shop.run(ticket)
    row = shop.refund(ticket)
    assert row is not None
    assert (row.state, row.adapter, len(plain.refunds)) == ("succeeded", "paypal", 1)
    shop.close()


def test_a_ticket_cannot_send_a_payment_to_another_adapter(shop: Shop) -> None:
    ticket = shop.ticket_of("stripe", payment_adapter="paypal")
    shop.run(ticket)
    assert (shop.row(ticket).state, shop.row(ticket).reason) == ("held", "adapter_unclear")
    assert not any(bank.requests for bank in shop.banks.values())


class Searching(Bank):
    """A processor that can search for an order's payment."""

    def __init__(self, prefix: str, orders: dict[str, str]) -> None:
        super().__init__(prefix, dict.fromkeys(orders.values(), usd("149.00")))
        self.orders = orders

    def find_payment(self, order_id: str) -> PaymentRef | None:
        found = self.orders.get(order_id)
        return PaymentRef("payment_intent", found) if found else None


def test_the_search_asks_every_account_and_says_whose_the_payment_is() -> None:
    ours = Searching("pi_", {"1": "pi_1", "3": "pi_3"})
    uk = Searching("pi_", {"2": "pi_2", "3": "pi_33"})
    search = payment_search(Adapters({"stripe": ours, "stripe-uk": uk, "paypal": Bank("pp_")}))
    assert search("1") == PaymentRef("payment_intent", "pi_1", adapter="stripe")
    assert search("2") == PaymentRef("payment_intent", "pi_2", adapter="stripe-uk")
    assert search("3") is None, "two shops have an order 3: it could be either's payment"
    assert search("4") is None
    with pytest.raises(ConfigurationError, match=r"adapter paypal can't search"):
        payment_search(Adapters({"paypal": Bank("pp_")}))


# Stopping one.


def test_the_kill_switch_of_one_stops_only_its_payments(shop: Shop) -> None:
    shop.throw(switches.kill_of("paypal"), is_on=True)
    tickets = {name: shop.ticket_of(name) for name in shop.banks}
    for ticket in tickets.values():
        shop.run(ticket)
    assert shop.row(tickets["stripe"]).state == "succeeded"
    row = shop.row(tickets["paypal"])
    assert (row.state, row.detail) == ("requested", "the kill switch of paypal is on")
    lag = shop.connector.health.lag().document
    assert (lag["kill_switch"], lag["kill_switches"]) == (False, ["paypal"])
    assert lag["adapters"] == {"paypal": {"unsent": 1, "oldest_seconds": 0.0}}
    shop.throw(switches.kill_of("paypal"), is_on=False)
    shop.work(minutes=2)
    assert shop.row(tickets["paypal"]).state == "succeeded"


def test_the_caps_count_all_adapters_together(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(two(), max_per_day={"USD": Decimal(200)})
    first, second = shop.ticket_of("stripe"), shop.ticket_of("paypal")
    for ticket in (first, second):
        shop.run(ticket)
    assert shop.row(first).state == "succeeded"
    assert (shop.row(second).state, shop.row(second).reason) == ("held", "over_day_cap")


def test_an_adapter_may_have_caps_of_its_own(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(
        two(),
        adapter_max_refund={"paypal": {"USD": Decimal(149)}},
        adapter_max_per_day={"paypal": {"USD": Decimal(200)}},
    )
    tickets = [shop.ticket_of(name, number) for number in (1, 2) for name in shop.banks]
    for ticket in tickets:
        shop.run(ticket)
    rows = [shop.row(it) for it in tickets]
    assert [str(it.state) for it in rows] == ["succeeded", "succeeded", "succeeded", "held"]
    assert rows[-1].reason == "over_day_cap"
    assert "today's refunds of paypal to 298.00 USD" in (rows[-1].detail or "")
    more = shop.ticket_of("paypal", 3, refund_amount=Decimal("149.01"))
    shop.banks["paypal"].add_payment("pp_3", usd("500.00"))
    shop.run(more)
    assert shop.row(more).reason == "over_cap"
    assert "the cap per refund of paypal, which is 149 USD" in (shop.row(more).detail or "")


def test_a_cap_of_an_adapter_that_there_is_not_is_refused(open_shop: Callable[..., Shop]) -> None:
    with pytest.raises(ConfigurationError, match="there is no adapter adyen, only: stripe, paypal"):
        open_shop(two(), adapter_max_refund={"adyen": {"USD": Decimal(149)}})


# Whose account it is.


def test_one_whose_account_differs_stops_only_itself(open_shop: Callable[..., Shop]) -> None:
    open_shop(two(stripe="acct_1", paypal="pp_1"))
    other = open_shop(two(stripe="acct_1", paypal="pp_2"))
    tickets = {name: other.ticket_of(name) for name in other.banks}
    for ticket in tickets.values():
        other.run(ticket)
    assert other.row(tickets["stripe"]).state == "succeeded"
    assert other.refund(tickets["paypal"]) is None, "its event waits"
    lag = other.connector.health.lag()
    assert (lag.ok, "PAYPAL_API_KEY" in lag.document["problem"]) == (False, True)
    other.connector.installation.adopt(who="Ann")
    other.work(minutes=2)
    assert other.row(tickets["paypal"]).state == "succeeded"


def test_a_new_adapter_is_adopted_on_purpose_and_stops_nobody_until_then(
    open_shop: Callable[..., Shop],
) -> None:
    banks = two(stripe="acct_1", paypal="pp_1")
    open_shop({"stripe": banks["stripe"]})
    shop = open_shop(banks)
    ticket = shop.ticket_of("stripe")
    shop.run(ticket)
    assert shop.row(ticket).state == "succeeded"
    assert not shop.connector.installation.may_pay("paypal")
    shop.connector.installation.adopt(who="Ann")
    assert shop.connector.installation.may_pay("paypal")


def test_a_first_start_while_one_is_away_goes_on_with_the_other(
    open_shop: Callable[..., Shop],
) -> None:
    banks = two(stripe="acct_1", paypal="pp_1")
    banks["paypal"].account_error = AWAY
    shop = open_shop(banks)
    ticket = shop.ticket_of("stripe")
    shop.run(ticket)
    assert shop.row(ticket).state == "succeeded"
    banks["paypal"].account_error = None
    banks["paypal"].account_goes_on.clear()
    shop.clock.turn(minutes=2)
    ticket = shop.ticket_of("stripe", 2)
    shop.run(ticket)
    assert shop.row(ticket).state == "succeeded", "while it hangs"
    banks["paypal"].account_goes_on.set()
    known = {"stripe": "acct_1", "paypal": "pp_1"}
    wait_until(lambda: {it.name: it.account for it in entries_of(shop.store)} == known)
    ticket = shop.ticket_of("paypal")
    shop.run(ticket)
    assert shop.row(ticket).state == "succeeded"


def test_one_account_under_two_names_is_refused(open_shop: Callable[..., Shop]) -> None:
    banks = {name: Bank("pi_", account="acct_1") for name in ("stripe", "stripe-uk")}
    shop = open_shop(banks)
    assert shop.connector.installation.may_pay("stripe")
    assert not shop.connector.installation.may_pay("stripe-uk")
    assert shop.connector.installation.differing_setting() == "STRIPE_UK_API_KEY"


def entries_of(store: Store) -> list[Entry]:
    with store.read() as conn:
        return [it for it in installation.entries(conn) if it.kind == "adapter"]


# Reconcile.


def reconcile(shop: Shop, **given: Any) -> list[Discrepancy]:
    found: list[Discrepancy] = []
    shop.connector.reconciler.run(found.append, **given)
    return found


def test_reconcile_compares_the_refunds_of_all_adapters(shop: Shop) -> None:
    tickets = {name: shop.ticket_of(name) for name in shop.banks}
    for ticket in tickets.values():
        shop.run(ticket)
    assert reconcile(shop) == []
    # Both call their refund fake_1.
    shop.banks["paypal"].set_status("fake_1", RefundStatus.FAILED)
    (found,) = reconcile(shop)
    assert (found.cause, found.ticket_id) == ("failed_later", tickets["paypal"].id)
    reconcile(shop, fix=True)
    assert [shop.row(it).state for it in tickets.values()] == ["succeeded", "failed"]


def test_a_refund_made_elsewhere_is_found_at_its_own_adapter(shop: Shop) -> None:
    ticket = shop.ticket_of("paypal")
    shop.banks["paypal"].refund_externally("pp_1", usd("149.00"))
    found = reconcile(shop, fix=True)
    assert [it.cause for it in found] == ["made_elsewhere", "never_entered"]
    assert {it.ticket_id for it in found if it.settled} == {ticket.id}
    row = shop.row(ticket)
    assert (row.adapter, row.state, row.adopted) == ("paypal", "succeeded", True)


def test_one_that_does_not_answer_does_not_keep_the_others_from_being_compared(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = {name: shop.ticket_of(name) for name in shop.banks}
    for name, ticket in tickets.items():
        shop.run(ticket)
        shop.banks[name].set_status("fake_1", RefundStatus.FAILED)

    def away(*_: object) -> Any:
        raise AWAY

    monkeypatch.setattr(shop.banks["stripe"], "refunds_between", away)
    found: list[Discrepancy] = []
    report = shop.connector.reconciler.run(found.append, fix=True)
    assert report.silent == {"stripe": AWAY}
    assert [(it.cause, it.settled) for it in found] == [("failed_later", True)]
    assert [shop.row(it).state for it in tickets.values()] == ["succeeded", "failed"]
    monkeypatch.setattr(shop.banks["paypal"], "refunds_between", away)
    with pytest.raises(AdapterError, match="no connection"):
        shop.connector.reconciler.run(found.append)
