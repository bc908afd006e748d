"""A local Dispatch API, and local processors: test doubles, not the services, and they say so.

It serves, on this machine, ``/v1/workspaces/ws_sandbox/...`` and ``/v1/brands/ws_sandbox/...``
with the key ``sk_test_sandbox``, delivers real signed webhooks, and has Stripe's payments,
charges and refunds beside it (`dispatch_sandbox.stripe`). The other processors' doubles are under
``/processors`` (`dispatch_sandbox.paypal` and so on). What goes wrong is asked for under
``/_sandbox``. Needs the extra ``sandbox``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dispatch_sandbox import extra

if TYPE_CHECKING:
    from dispatch_sandbox import (
        adyen,
        braintree,
        checkout_com,
        klarna,
        mollie,
        paypal,
        square,
        stripe,
    )
    from dispatch_sandbox.app import create_app
    from dispatch_sandbox.deliveries import DeliveryPolicy
    from dispatch_sandbox.faults import FaultRule
    from dispatch_sandbox.resources.tickets import add_ticket
    from dispatch_sandbox.server import Sandbox, running
    from dispatch_sandbox.shop import SandboxShop, ShiftedClock
    from dispatch_sandbox.state import API_KEY, WORKSPACE, SandboxState

__all__ = [
    "API_KEY",
    "WORKSPACE",
    "DeliveryPolicy",
    "FaultRule",
    "Sandbox",
    "SandboxShop",
    "SandboxState",
    "ShiftedClock",
    "add_ticket",
    "adyen",
    "braintree",
    "checkout_com",
    "create_app",
    "klarna",
    "mollie",
    "paypal",
    "running",
    "square",
    "stripe",
]

_HOMES = {
    "API_KEY": "state",
    "WORKSPACE": "state",
    "DeliveryPolicy": "deliveries",
    "FaultRule": "faults",
    "Sandbox": "server",
    "SandboxShop": "shop",
    "SandboxState": "state",
    "ShiftedClock": "shop",
    "add_ticket": "resources.tickets",
    "create_app": "app",
    "running": "server",
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import the name, now that it is used. Raises `MissingExtraError` without the extra."""
        if name in {
            "adyen",
            "braintree",
            "checkout_com",
            "klarna",
            "mollie",
            "paypal",
            "square",
            "stripe",
        }:
            return import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        extra.require()
        globals()[name] = value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return __all__
