"""A shop that `serve` can be started for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_returns import sandbox
from dispatch_returns.cli.sandbox import environment_of
from tests.support.cli import Shop


@pytest.fixture
def shop_served(tmp_path: Path) -> Iterator[Shop]:
    with sandbox.running() as box:
        settings = {
            **environment_of(box),
            "DISPATCH_WEBHOOK_SECRET": "whsec_test",
            "DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{tmp_path}/returns.db",
        }
        yield Shop(box, tmp_path, settings)
