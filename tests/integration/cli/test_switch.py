"""A switch thrown in one process stops the others before their next payment."""

from __future__ import annotations

from typing import get_args

import httpx
import pytest

from dispatch_returns.cli.switch import Name
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.refunds import ledger
from dispatch_returns.store import inbox
from dispatch_returns.store.inbox import EventState
from dispatch_returns.store.switches import Switch
from tests.support.cli import Shop, started
from tests.support.waiting import wait_until


def test_every_switch_can_be_thrown() -> None:
    # A restored database is switched by `db restored`, and by its comparison's end.
    assert get_args(Name) == tuple(it for it in Switch if it is not Switch.RESTORED)


def test_a_switch_stops_another_process_before_its_next_payment(shop: Shop) -> None:
    paid, stopped = (shop.ticket(payment_intent=shop.pay()) for _ in range(2))
    with started("worker", environment=shop.settings, until="Ctrl-C", cwd=shop.folder):
        shop.event(paid, "evt_1")
        wait_until(lambda: state(shop, paid) == "succeeded", 20)
        said = shop.offline("switch", "kill", "on", "--by", "Ann", "--why", "wrong amounts")
        assert said.code == 0
        assert "No worker starts another payment" in said.text
        shop.event(stopped, "evt_2")
        wait_until(lambda: state(shop, stopped) == "requested", 20)
        wait_until(lambda: shop.row(stopped).detail == "the kill switch is on", 20)
    assert refunds_at_stripe(shop) == 1
    assert shop.offline("switch", "kill", "off").code == 2, "money moves again: that needs a why"
    assert shop.offline("switch", "kill", "off", "--why", "corrected").code == 0
    shop.work_off_in(minutes=1)
    assert shop.row(stopped).state == "succeeded"
    assert refunds_at_stripe(shop) == 2


def test_dry_run_holds_and_writes_to_no_ticket(shop: Shop) -> None:
    ticket = shop.ticket(payment_intent=shop.pay())
    shop.offline("switch", "dry-run", "on")
    for limits in ({}, {"DISPATCH_RETURNS_APPROVE_ABOVE": "1 USD"}):
        refund = shop.refund(ticket, **limits)
        assert (refund.state, refund.reason) == ("held", "dry_run")
    with shop.client() as client:
        assert client.tickets.get(ticket).status == "refunded"
    assert refunds_at_stripe(shop) == 0
    shop.offline("switch", "dry-run", "off", "--why", "it looks right")
    assert shop.run("refunds", "retry", ticket).code == 0
    shop.work()
    assert shop.row(ticket).state == "succeeded"


@pytest.mark.parametrize(
    ("switch", "setting"), [("kill", "KILL_SWITCH"), ("dry-run", "DRY_RUN")], ids=str
)
def test_the_store_cannot_switch_off_what_the_environment_keeps_on(
    shop: Shop, switch: str, setting: str
) -> None:
    shop.offline("switch", switch, "off", "--why", "a try")
    kept = {f"DISPATCH_RETURNS_{setting}": "1"}
    refund = shop.refund(shop.ticket(payment_intent=shop.pay()), **kept)
    assert refund.state in {"requested", "held"}
    assert refunds_at_stripe(shop) == 0


def test_where_they_stand_and_who_put_them_there(shop: Shop) -> None:
    document = shop.offline("switch", "--json").json["switches"]
    nobody = {"on": False, "since": None, "who": None, "why": None}
    assert document == {name: {"switch": name, **nobody} for name in ("kill", "dry-run")}
    shop.offline("switch", "kill", "on", "--who", "Ann", "--why", "wrong amounts")
    document = shop.offline("switch", "--json").json["switches"]["kill"]
    assert (document["on"], document["who"], document["why"]) == (True, "Ann", "wrong amounts")
    assert "wrong amounts" in shop.offline("switch").text
    (act,) = shop.offline("audit-log", "--json").json["actions"]
    assert (act["action"], act["subject"], act["who"]) == ("on", "switch kill", "Ann")
    assert "switch kill" in shop.offline("audit-log").text


def test_doctor_and_worker_say_so(shop: Shop) -> None:
    shop.offline("switch", "kill", "on")
    checks = {it["name"]: it for it in shop.run("doctor", "--json").json["checks"]}
    assert checks["paying"]["detail"] == "the kill switch is on: nothing is paid"
    assert "dispatch-returns switch kill off" in checks["paying"]["remedy"]
    with started("worker", environment=shop.settings, until="Ctrl-C", cwd=shop.folder) as worker:
        assert "kill switch  yes" in worker.first


@pytest.mark.parametrize(
    "arguments", [("kill",), ("kill", "maybe"), ("other", "on"), ("kill", "on", "--by", "")]
)
def test_what_is_no_switch_is_a_wrong_usage(shop: Shop, arguments: tuple[str, ...]) -> None:
    assert shop.offline("switch", *arguments).code == 2
    assert shop.offline("audit-log", "--json").json == {"actions": []}


def test_nobody_did_anything(shop: Shop) -> None:
    assert "Nothing has been done by hand" in shop.offline("audit-log").text


def test_throwing_makes_no_database(bare_shop: Shop) -> None:
    assert bare_shop.offline("switch", "kill", "on").code == 4
    assert list(bare_shop.folder.iterdir()) == []


def test_a_python_program_can_ask_too(shop: Shop) -> None:
    shop.offline("switch", "dry-run", "on")
    settings = Settings.from_env({**shop.settings, "DISPATCH_RETURNS_KILL_SWITCH": "1"})
    with Connector(settings) as connector:
        assert connector.refunds.stopped_by() == {"kill", "dry-run"}


def state(shop: Shop, ticket: str) -> str | None:
    with shop.store() as store, store.read() as conn:
        found = next(iter(ledger.newest(conn, limit=1, ticket_id=ticket)), None)
        done = inbox.newest(conn, limit=1, ticket_id=ticket)[0].state is EventState.DONE
    return str(found.state) if found is not None and done else None


def refunds_at_stripe(shop: Shop) -> int:
    answer = httpx.get(
        f"{shop.box.url}/v1/refunds", auth=(shop.settings["STRIPE_API_KEY"], ""), timeout=10
    )
    return len(answer.json()["data"])
