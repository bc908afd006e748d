"""One sandbox for a module's tests, new again before each of them."""

from __future__ import annotations

from collections.abc import Generator

import httpx
import pytest

import dispatch_sandbox
from tests.support.hook_server import HookServer, hook_server

QUICK = dispatch_sandbox.DeliveryPolicy(attempts=4, first_retry=0.02, timeout=5.0)
KEY = {"authorization": f"Bearer {dispatch_sandbox.API_KEY}"}


@pytest.fixture(scope="module")
def module_box() -> Generator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running(state=dispatch_sandbox.SandboxState(deliveries=QUICK)) as box:
        yield box


@pytest.fixture
def box(module_box: dispatch_sandbox.Sandbox) -> dispatch_sandbox.Sandbox:
    module_box.state.reset()
    return module_box


@pytest.fixture
def api(box: dispatch_sandbox.Sandbox) -> Generator[httpx.Client]:
    """Give a client of the workspaces style."""
    base = f"{box.api_url}/workspaces/ws_sandbox"
    with httpx.Client(base_url=base, headers=KEY) as client:
        yield client


@pytest.fixture
def brands(box: dispatch_sandbox.Sandbox) -> Generator[httpx.Client]:
    """Give a client of the brands style."""
    base = f"{box.api_url}/brands/ws_sandbox"
    with httpx.Client(base_url=base, headers=KEY) as client:
        yield client


@pytest.fixture
def control(box: dispatch_sandbox.Sandbox) -> Generator[httpx.Client]:
    with httpx.Client(base_url=f"{box.url}/_sandbox") as client:
        yield client


@pytest.fixture
def hooks() -> Generator[HookServer]:
    with hook_server() as server:
        yield server
