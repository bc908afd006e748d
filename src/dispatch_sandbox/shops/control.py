"""What tests and examples use to make orders in the shops, and to arm faults, over HTTP."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dispatch_sandbox.shops.faults import FaultKind, ShopFault, ShopFaults


class _PaidOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    amount: str
    currency: str = "USD"
    gateway: str | None = None


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    says: str = ""


class Shop(Protocol):
    """A shop's memory."""

    faults: ShopFaults
    default_gateway: str

    def pay(self, amount: str, currency: str, *, gateway: str) -> str:
        """Add an order that was paid; return its id."""
        ...


def control_routes(name: str, shop: Shop) -> list[BaseRoute]:
    """Return the routes under ``/_sandbox/<name>``: ``POST`` to ``orders`` and ``faults``."""

    async def orders(request: Request) -> Response:
        try:
            wanted = _PaidOrder.model_validate_json(await request.body())
        except ValidationError as error:
            return _refused(error)
        gateway = wanted.gateway or shop.default_gateway
        made = shop.pay(wanted.amount, wanted.currency, gateway=gateway)
        return JSONResponse({"id": made}, 201)

    async def faults(request: Request) -> Response:
        try:
            wanted = _Fault.model_validate_json(await request.body())
        except ValidationError as error:
            return _refused(error)
        shop.faults.add(ShopFault(wanted.kind, wanted.says))
        return JSONResponse(wanted.model_dump(), 201)

    return [
        Route(f"/_sandbox/{name}/orders", orders, methods=["POST"]),
        Route(f"/_sandbox/{name}/faults", faults, methods=["POST"]),
    ]


def _refused(error: ValidationError) -> Response:
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    return JSONResponse({"errors": problems}, 422)
