"""The demo: as a program, and whether it would notice a refund that is lost or paid twice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from dispatch_returns.refunds.transitions import State
from dispatch_returns.webhooks.http import Answer, Request
from dispatch_sandbox.demo import comparison, environment, scenarios, steps
from dispatch_sandbox.demo.portal import EMAIL, ORDER, open_portal
from tests.support.portal_shop import Browser
from tests.support.waiting import wait_until

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


def test_something_is_returned_in_the_portal_of_the_demo(tmp_path: Path) -> None:
    mails: list[str] = []
    with open_portal(
        tmp_path, lambda _subject, text: mails.append(text), transit=timedelta(0)
    ) as opened:
        browser = Browser(over_http)
        browser.get(opened.url)
        browser.submit("start", order=ORDER, known=EMAIL)
        wait_until(lambda: bool(mails))
        code = re.search(r"is (\d{6})\.", mails[0])
        assert code
        browser.submit("code", code=code[1])
        browser.submit("reason", **{"q.JUMPER-M": "1"})
        browser.submit("check", r="wrong_size")
        assert "84.10" in browser.text
        browser.submit("confirm")
        place = browser.url

        def paid() -> bool:
            browser.get(place)
            return "Your money is on its way" in browser.text

        wait_until(paid)
        browser.get(opened.link)
        assert browser.page == "open"


def over_http(asked: Request) -> Answer:
    body = asked.read(100_000, 1.0)
    assert isinstance(body, bytes)
    url = f"http://{asked.headers['Host']}{asked.path}?{asked.query}"
    headers = {name: value for name, value in asked.headers.items() if name != "Host"}
    with httpx.Client() as client:
        found = client.request(asked.method, url, content=body, headers=headers)
    return Answer(found.status_code, found.content, tuple(found.headers.items()))
