"""A local Dispatch API and a local Stripe: a test double, not the services, and it says so.

It serves, on this machine, ``/v1/workspaces/ws_sandbox/...`` and ``/v1/brands/ws_sandbox/...``
with the key ``sk_test_sandbox``, delivers real signed webhooks, and has Stripe's payments,
charges and refunds beside it (`dispatch_returns.sandbox.stripe`). What goes wrong is asked for
under ``/_sandbox``. Needs the extra ``sandbox``.
"""

from __future__ import annotations

from importlib.util import find_spec

from dispatch_returns.errors import MissingExtraError

if any(find_spec(needed) is None for needed in ("jinja2", "starlette", "uvicorn")):
    raise MissingExtraError("sandbox", "The sandbox")

from dispatch_returns.sandbox.app import create_app
from dispatch_returns.sandbox.deliveries import DeliveryPolicy
from dispatch_returns.sandbox.faults import FaultRule
from dispatch_returns.sandbox.server import Sandbox, running
from dispatch_returns.sandbox.state import API_KEY, WORKSPACE, SandboxState

__all__ = [
    "API_KEY",
    "WORKSPACE",
    "DeliveryPolicy",
    "FaultRule",
    "Sandbox",
    "SandboxState",
    "create_app",
    "running",
]
