"""The pytest plugin for merchants: the tests that docs/testing.md shows, and what a shop can do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest

import dispatch_sandbox
from dispatch_returns import Connector, Settings, webhooks
from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox import SandboxShop, ShiftedClock
from tests.support.structure import blocks

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[SandboxShop]:
    with dispatch_sandbox.running() as box:
        made = SandboxShop(box, tmp_path)
        yield made
        made.close()


@pytest.fixture
def connector(shop: SandboxShop) -> Iterator[Connector]:
    with Connector(Settings.from_env(shop.environment)) as made:
        yield made


def test_the_pages_tests_pass_as_they_stand(tmp_path: Path) -> None:
    app, *tests = blocks(PAGE.read_text(encoding="utf-8"), "python")
    (tmp_path / "shop.py").write_text(app, encoding="utf-8")
    (tmp_path / "test_shop.py").write_text("\n".join(tests), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "dispatch_sandbox.pytest_plugin"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert re.search(r"^3 passed", done.stdout, re.MULTILINE), done.stdout + done.stderr


def test_a_wsgi_application_is_served_too(shop: SandboxShop, connector: Connector) -> None:
    app = flask.Flask("shop")
    app.register_blueprint(webhooks.flask.blueprint(connector), url_prefix="/webhooks")
    with shop.serving(app):
        ticket = shop.make_return("25.00 EUR")
        assert shop.box.state.deliveries.wait_until_settled(10)
    connector.work_off()
    assert shop.refunded(ticket) == "25.00 EUR"


def test_a_return_stops_where_a_test_wants_it(shop: SandboxShop) -> None:
    ticket = shop.make_return(until="label_sent", return_reason="broken")
    assert shop.ticket(ticket).status == "label_sent"
    assert shop.ticket(ticket).custom_fields["return_reason"] == "broken"
    with pytest.raises(InvalidArgumentError, match="until: must be one of return_requested, "):
        shop.make_return(until="sent")


def test_a_condition_that_never_comes_says_what_came(
    shop: SandboxShop, connector: Connector
) -> None:
    ticket = shop.make_return("25.00 EUR")
    connector.refund(ticket)
    with pytest.raises(AssertionError, match=r"not within 0 s.*Refunds: 2500 eur succeeded"):
        shop.wait_until(lambda: False, seconds=0)


def test_a_fault_is_found_by_its_name(shop: SandboxShop) -> None:
    for name in ("duplicate", "api_status", "fail_later"):
        shop.fault(name)
    assert len(shop.box.state.faults.rules()) == 2
    with pytest.raises(InvalidArgumentError, match="name: must be one of duplicate, "):
        shop.fault("dupilcate")  # type: ignore[arg-type]


def test_the_clock_moves_the_processor_too(shop: SandboxShop) -> None:
    clock = ShiftedClock(shop.processor)
    before, stripes = clock(), shop.processor.now()
    clock.advance(hours=25)
    assert (clock() - before).total_seconds() >= 25 * 3600
    assert shop.processor.now() - stripes >= 25 * 3600
