"""One stand-in for all tests here, and a workshop for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns.client import DispatchClient
from dispatch_returns.returns.steps.statuses import STEPS
from dispatch_returns.store import Store
from tests.support import stores
from tests.support.workshop import Workshop


@pytest.fixture(scope="module")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in STEPS:
                client.statuses.create(key=key, name=key)
        yield box


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[Workshop]:
    shop = Workshop(box, tmp_path)
    yield shop
    shop.close()


@pytest.fixture(params=stores.KINDS)
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each kind, one after the other."""
    with stores.opened(request.param, tmp_path) as store:
        yield store
