"""``db adopt``, and what ``doctor`` and acts say of a database that is another installation's."""

from __future__ import annotations

from tests.support.cli import Said, Shop


def doctor(shop: Shop, **changed: str) -> dict[str, str]:
    said: Said = shop.run("doctor", "--json", **changed)
    return next(it for it in said.json["checks"] if it["name"] == "installation")


def test_what_is_another_ones_is_named_by_doctor_and_no_act_is_done(shop: Shop) -> None:
    refund = shop.refund(shop.ticket(payment_intent=shop.pay()))
    found = doctor(shop)
    assert (found["status"], "ws_sandbox" in found["detail"]) == ("ok", True)
    other = {"DISPATCH_RETURNS_ADAPTERS": "manual"}
    found = doctor(shop, **other)
    assert found["status"] == "failed"
    assert "DISPATCH_RETURNS_ADAPTERS belongs to manual" in found["detail"]
    assert "db adopt --who NAME" in found["remedy"]
    said = shop.run("refunds", "cancel", refund.id, "--who", "Ann", **other)
    assert said.code == 3
    assert "DISPATCH_RETURNS_ADAPTERS" in said.err


def test_adopting_adds_it_and_is_recorded(shop: Shop) -> None:
    shop.work()
    manual = {"DISPATCH_RETURNS_ADAPTERS": "manual"}
    said = shop.run("db", "adopt", "--who", "Ann", "--why", "by hand now", "--json", **manual)
    assert said.json["added"] == [
        {"kind": "adapter", "name": "manual", "account": None, "mode": None}
    ]
    assert doctor(shop, **manual)["status"] == doctor(shop)["status"] == "ok"
    (act,) = shop.offline("audit-log", "--json").json["actions"]
    assert (act["action"], act["who"], act["why"]) == ("adopt", "Ann", "by hand now")
    again = shop.run("db", "adopt", "--who", "Ann", **manual)
    assert again.text == "It belongs to them already."


def test_events_of_another_workspace_are_named_by_doctor(shop: Shop) -> None:
    shop.work()
    shop.event("tkt_1", "evt_1")
    with shop.store() as store:
        store.write(
            "fill", lambda conn: conn.exec_driver_sql("UPDATE inbox SET workspace_id = 'ws_else'")
        )
    shop.work()
    found = {it["name"]: it for it in shop.run("doctor", "--json").json["checks"]}
    assert "DISPATCH_WORKSPACE" in found["other workspaces"]["remedy"]
    assert found["events"]["detail"] == "none is waiting"
