"""SIGTERM while a call hangs: the process ends within what it promises, and says nothing false."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Generator

import pytest

import dispatch_sandbox
from tests.support import cli
from tests.support.cli import Shop, started
from tests.support.waiting import wait_until

PROMISED = 30
"""Seconds that a stop waits for what is under way."""


@pytest.fixture(params=[2, pytest.param(PROMISED, marks=pytest.mark.long)])
def drain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How long the command waits for what is under way: as it is, and for less."""
    seconds: int = request.param
    shorter = f"Connector.stop.__defaults__ = ({seconds},)"
    code = f"import sys; from dispatch_returns.connector.connector import Connector; {shorter};"
    code += " from dispatch_returns.cli import main; sys.exit(main())"
    if seconds != PROMISED:
        monkeypatch.setattr(cli, "COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(cli, "PATIENCE", 30.0 + seconds)
    return seconds


@contextlib.contextmanager
def hanging(shop: Shop, what: str) -> Generator[dict[str, str]]:
    """Give the settings with which a call hangs; the block ends once it does."""
    if what == "a ticket":
        shop.event(shop.ticket(payment_intent=shop.pay()))
        faults = shop.box.state.faults
        faults.add(
            dispatch_sandbox.FaultRule("api", "slow", match={"path": "*/tickets/*"}, seconds=60)
        )
        yield {}
        wait_until(lambda: not faults.rules(), 30)
        return
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        yield {what: f"http://127.0.0.1:{silent.getsockname()[1]}"}
        silent.accept()[0].detach()


@pytest.mark.parametrize("what", ["a ticket", "DISPATCH_BASE_URL", "STRIPE_BASE_URL"])
def test_serve_stops_in_time_and_without_an_error_whatever_hangs(
    shop: Shop, drain: int, what: str
) -> None:
    with contextlib.ExitStack() as until_it_hangs:
        changed = until_it_hangs.enter_context(hanging(shop, what))
        environment = {**shop.settings, **changed}
        command = ("serve", "--port", "0")
        with started(*command, environment=environment, until="Ctrl-C", cwd=shop.folder) as process:
            until_it_hangs.close()
            begun = time.monotonic()
            said = process.end(signal.SIGTERM)
    assert said.code == 0
    assert time.monotonic() - begun < drain + 15
    assert "the current work did not end in time" in said.err
    for wrong in ("Traceback", "Error", "ERROR", "closed"):
        assert wrong not in said.err
