"""Fixtures for tests of one's own shop: ``pip install "dispatch-returns[testing]"``.

pytest finds them by entry point; nothing but pytest is imported before one is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dispatch_returns import Connector
    from dispatch_sandbox.shop import SandboxShop, ShiftedClock
    from dispatch_sandbox.stripe import StripeState


@pytest.fixture
def dispatch_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxShop]:
    """A shop in a sandbox of its own. The environment points to it while the test runs."""
    from dispatch_sandbox.server import running
    from dispatch_sandbox.shop import SandboxShop

    with running() as box:
        shop = SandboxShop(box, tmp_path)
        for name, value in shop.environment.items():
            monkeypatch.setenv(name, value)
        yield shop
        shop.close()


@pytest.fixture
def dispatch_processor(dispatch_box: SandboxShop) -> StripeState:
    """The shop's Stripe: its faults, its clock, what it was asked."""
    return dispatch_box.processor


@pytest.fixture
def dispatch_clock(dispatch_processor: StripeState) -> ShiftedClock:
    """The time of `dispatch_connector` and of the shop's Stripe; ``advance`` moves it."""
    from dispatch_sandbox.shop import ShiftedClock

    return ShiftedClock(dispatch_processor)


@pytest.fixture
def dispatch_connector(
    dispatch_box: SandboxShop,  # noqa: ARG001 - it sets the environment
    dispatch_clock: ShiftedClock,
) -> Iterator[Connector]:
    """A connector of the shop, without workers: ``work_off()`` does what is due."""
    from dispatch_returns import Connector

    with Connector.from_env(clock=dispatch_clock) as connector:
        yield connector
