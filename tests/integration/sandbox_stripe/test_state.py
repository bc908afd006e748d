from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox.stripe import Fault, StripeState
from tests.support.stripe_sandbox import NOW, Sandbox, Stage, sandbox_on


def _reloaded(state: StripeState) -> StripeState:
    again = StripeState(clock=lambda: NOW)
    again.load(json.loads(json.dumps(state.dump())))
    return again


def test_a_state_survives_in_a_file(sandbox: Sandbox, served_stage: tuple[Stage, str]) -> None:
    stage, url = served_stage
    intent = sandbox.pay(1000)
    failing = sandbox.pay(payment_method="pm_card_refundFail")
    shop = sandbox.post(
        "/v1/payment_intents", {"amount": "5", "currency": "usd"}, stripe_account="acct_shop"
    ).json()
    made = sandbox.refund(intent, key="k1", amount=100)
    later = sandbox.refund(failing)
    sandbox.state.faults.add(Fault(kind="rate_limit_429", times=2, fired=1))
    sandbox.state.advance(3)

    with sandbox_on(url, stage, _reloaded(sandbox.state)) as again:
        assert again.state.now() == NOW + 3
        assert again.state.report()["refunded"] == sandbox.state.report()["refunded"]
        assert again.http.get(
            f"/v1/payment_intents/{shop['id']}", headers={"stripe-account": "acct_shop"}
        ).is_success
        form = {"payment_intent": intent.id, "amount": "100"}
        assert again.post("/v1/refunds", form, idempotency_key="k1").status_code == 429
        replay = again.post("/v1/refunds", form, idempotency_key="k1")
        assert replay.json()["id"] == made.id
        assert replay.headers["idempotent-replayed"] == "true"
        again.state.advance(7)
        assert again.sdk.v1.refunds.retrieve(later.id).status == "failed"
        assert again.refund(intent, amount=900).amount == 900
        listed = again.sdk.v1.refunds.list(params={"payment_intent": intent.id})
        assert [refund.amount for refund in listed.data] == [900, 100]


def test_what_was_dumped_does_not_change_with_the_state(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    dump = sandbox.state.dump()
    before = json.dumps(dump)
    other = StripeState()
    other.load(dump)
    sandbox.refund(intent)
    other.book().charges[str(intent.latest_charge)]["disputed"] = True
    assert json.dumps(dump) == before


def test_what_is_not_a_state_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        StripeState().load({"version": 2})


def test_the_clock_is_moved_over_http(sandbox: Sandbox) -> None:
    made = sandbox.refund(sandbox.pay(payment_method="pm_card_pendingRefund"))
    moved = sandbox.http.post("/_sandbox/stripe/clock", json={"advance": 10})
    assert moved.json() == {"now": NOW + 10}
    assert sandbox.sdk.v1.refunds.retrieve(made.id).status == "succeeded"
    for wrong in (b'{"advance": -1}', b'{"advance": "soon"}', b"{}", b"[]", b"soon"):
        assert sandbox.http.post("/_sandbox/stripe/clock", content=wrong).status_code == 400


def test_late_outcomes_come_with_real_time_too(served_stage: tuple[Stage, str]) -> None:
    stage, url = served_stage
    clock = [NOW]
    with sandbox_on(url, stage, StripeState(clock=lambda: clock[0])) as sandbox:
        made = sandbox.refund(sandbox.pay(payment_method="pm_card_pendingRefund"))
        clock[0] += 10
        assert sandbox.sdk.v1.refunds.retrieve(made.id).status == "succeeded"


def test_the_report_counts_what_moved(sandbox: Sandbox) -> None:
    intent, failing = sandbox.pay(1000), sandbox.pay(payment_method="pm_card_refundFail")
    for amount in (100, 200):
        sandbox.refund(intent, amount=amount)
    sandbox.refund(failing)
    sandbox.state.advance(10)

    report = sandbox.http.get("/_sandbox/stripe/state").json()
    assert report["refunds"] == 3
    assert report["refunded"] == {intent.latest_charge: 300}
    assert report["refunds_per_charge"] == {intent.latest_charge: 2}
    assert (report["payment_intents"], report["charges"]) == (2, 2)
    assert (report["requests"], report["replays"]) == (5, 0)
    assert len(report["log"]) == 5
    assert report["now"] == NOW + 10


def test_the_log_is_bounded_and_the_count_is_not(sandbox: Sandbox) -> None:
    for _ in range(1005):
        sandbox.state.record(sandbox.state.log[0]) if sandbox.state.log else sandbox.pay()
    assert len(sandbox.state.log) == 1000
    assert sandbox.state.report()["requests"] == 1005


def test_refunds_from_many_clients_never_exceed_the_charge(sandbox: Sandbox) -> None:
    intent = sandbox.pay(1000)
    form = {"payment_intent": intent.id, "amount": "100"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: sandbox.post("/v1/refunds", form), range(30)))
    assert sum(answer.status_code == 200 for answer in answers) == 10
    assert sandbox.state.report()["refunded"] == {intent.latest_charge: 1000}
