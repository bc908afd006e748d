"""A shop for each test, on one sandbox for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_sandbox import Sandbox
from dispatch_sandbox.command import environment_of
from tests.support.cli import Shop


@pytest.fixture(scope="session")
def served() -> Iterator[Sandbox]:
    with dispatch_sandbox.running() as box:
        yield box


@pytest.fixture
def box(served: Sandbox) -> Sandbox:
    """A sandbox in which nothing has happened yet."""
    served.state.reset()
    return served


@pytest.fixture
def bare_shop(box: Sandbox, tmp_path: Path) -> Shop:
    """A shop on its first day: settings, and nothing else."""
    settings = {
        **environment_of(box),
        "DISPATCH_WEBHOOK_SECRET": "whsec_test",
        "STRIPE_WEBHOOK_SECRET": "whsec_stripe",
        "DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{tmp_path}/returns.db",
    }
    return Shop(box, tmp_path, settings)


@pytest.fixture
def shop(bare_shop: Shop) -> Shop:
    """A shop that is set up: statuses, fields, webhook and database are there."""
    url = "http://127.0.0.1:9/webhooks/dispatch"
    assert bare_shop.run("setup", "--webhook-url", url).code == 0
    assert bare_shop.run("db", "upgrade").code == 0
    return bare_shop
