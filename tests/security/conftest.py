"""A shop that `serve` can be started for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_sandbox.command import environment_of
from tests.support.cli import Shop


@pytest.fixture
def shop_served(tmp_path: Path) -> Iterator[Shop]:
    with dispatch_sandbox.running() as box:
        settings = {
            **environment_of(box),
            "DISPATCH_WEBHOOK_SECRET": "whsec_test",
            "DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{tmp_path}/returns.db",
        }
        yield Shop(box, tmp_path, settings)
