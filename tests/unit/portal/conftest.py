"""One stand-in for all tests here, and a shop with a portal for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns.client import DispatchClient
from dispatch_returns.returns.steps.statuses import STEPS
from tests.support.portal_shop import PortalShop


@pytest.fixture(scope="session")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in STEPS:
                client.statuses.create(key=key, name=key)
        yield box


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[PortalShop]:
    shop = PortalShop(box, tmp_path)
    yield shop
    shop.close()
