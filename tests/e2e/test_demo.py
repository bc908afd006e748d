"""The demo: as a program, and whether it would notice a refund that is lost or paid twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch_returns.refunds.transitions import State
from dispatch_sandbox.demo import comparison, environment, scenarios, steps

COMMAND = str(Path(sys.executable).with_name("dispatch-returns"))


def test_the_demo_pays_everything_once_and_its_records_agree(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "demo", "--json", "--pages", str(tmp_path / "pages")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    ends = ("returns", "refunded", "held", "failed", "rejected", "expired")
    assert {key: result[key] for key in ends} == {
        "returns": 25,
        "refunded": 20,
        "held": 2,
        "failed": 1,
        "rejected": 1,
        "expired": 1,
    }
    assert (result["duplicates"], result["lost"], result["records_agree"]) == (0, 0, True)
    assert result["seconds"] < 60
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == [tmp_path / "pages"]
    written = {path.name for path in (tmp_path / "pages").iterdir()}
    assert {f"order-{one.order_id}.html" for one in scenarios.scenarios()} < written
    assert {"index.html", "label.pdf"} < written
    assert (tmp_path / "pages" / "label.pdf").read_bytes().startswith(b"%PDF")
    two_parcels = (tmp_path / "pages" / "order-3003.html").read_text(encoding="utf-8")
    assert two_parcels.count("refund: succeeded") == 2


def test_the_comparison_notices_a_double_and_a_lost_refund(tmp_path: Path) -> None:
    paid_twice, not_paid = scenarios.scenarios()[0], scenarios.scenarios()[2]
    few = [paid_twice, not_paid]
    with environment.running_environment(tmp_path, few) as running:
        tickets = steps.walk(running, few, lambda _what, _done: None)
        steps.wait(running, tickets, 30, lambda _what, _done: None)
        assert comparison.compare(running, tickets).agree
        _pay_again(running, paid_twice)
        _lose(running, not_paid)
        result = comparison.compare(running, tickets)
    assert (result.duplicates, result.lost, result.agree) == (1, 1, False)
    assert all(line.problems for line in result.lines)


def _pay_again(running: environment.Environment, one: scenarios.Scenario) -> None:
    """Put a second refund with the same id beside the first, as no processor would."""
    (refund,) = (r for r in _at_stripe(running, one))
    state = running.sandbox.state.stripe
    with state.lock:
        second = state.book().refunds[refund] | {"id": "re_second"}
        state.book().refunds["re_second"] = second


def _lose(running: environment.Environment, one: scenarios.Scenario) -> None:
    (refund,) = (r for r in _at_stripe(running, one))
    with running.sandbox.state.stripe.lock:
        running.sandbox.state.stripe.book().refunds[refund]["status"] = "failed"


def _at_stripe(running: environment.Environment, one: scenarios.Scenario) -> list[str]:
    intent = running.payments[one.order_id].id
    return [r.id for r in running.stripe.v1.refunds.list({"payment_intent": intent}).data]


@pytest.mark.parametrize("end", ["refunded", "held", "failed", "rejected", "expired"])
def test_the_scenarios_have_every_end(end: str) -> None:
    returns = scenarios.scenarios()
    assert len(returns) == 25
    assert any(one.end == end for one in returns)
    assert set(steps.ENDS.values()) == {State.SUCCEEDED, State.HELD, State.FAILED}
