"""A sandbox of a shop with one return, and a receiver of its webhooks."""

from __future__ import annotations

from collections.abc import Generator

import pytest

import dispatch_sandbox
from tests.support.hook_server import HookServer, hook_server
from tests.support.sandbox_shop import Shop, fill


@pytest.fixture
def hooks() -> Generator[HookServer]:
    with hook_server() as server:
        yield server


@pytest.fixture(scope="module")
def module_box() -> Generator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        yield box


@pytest.fixture
def shop(module_box: dispatch_sandbox.Sandbox, hooks: HookServer) -> Shop:
    module_box.state.reset()
    return fill(module_box, hooks.url)
