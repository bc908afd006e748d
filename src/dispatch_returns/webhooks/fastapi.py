"""Our endpoints as FastAPI routers, and as routes for Starlette.

::

    app.include_router(webhooks.fastapi.router(connector), prefix="/webhooks")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dispatch_returns.errors import MissingExtraError
from dispatch_returns.webhooks import asgi
from dispatch_returns.webhooks.http import MAX_LAG, PROBES, Endpoint, HasHealth
from dispatch_returns.webhooks.receiver import DISPATCH, HasReceivers

try:
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError("fastapi", "the FastAPI mount") from error

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["health_router", "health_routes", "portal_router", "portal_routes", "route", "router"]


def router(connector: HasReceivers) -> APIRouter:
    """Return a router for deliveries: Dispatch's at ``/dispatch``, the processor's at its name.

    The payment processor's path is ``/stripe``, for example. Both are under the router's prefix,
    and not in the OpenAPI schema, because they are not for the API's users.
    """
    return _router([route(connector, sender) for sender in connector.receivers])


def route(connector: HasReceivers, sender: str = DISPATCH, path: str | None = None) -> Route:
    """Return a Starlette route that takes a sender's deliveries; it needs no FastAPI.

    `path` is the sender's name by default, such as ``/dispatch``.
    """
    mount = asgi.app(connector, sender)
    return Route(path or f"/{sender}", mount, name=f"{sender}_webhooks")


def health_router(connector: HasHealth, max_lag: float = MAX_LAG) -> APIRouter:
    """Return a router that answers ``/live``, ``/ready`` and ``/lag`` under its prefix.

    It answers 503 where the connector is not ready, or the oldest event has waited longer than
    `max_lag` seconds.
    """
    return _router(health_routes(connector, max_lag))


def health_routes(connector: HasHealth, max_lag: float = MAX_LAG) -> list[Route]:
    """Return the same as Starlette routes; they need no FastAPI."""
    probes = asgi.health(connector, max_lag)
    return [Route(f"/{probe}", probes, name=f"dispatch_{probe}") for probe in PROBES]


def portal_router(endpoint: Endpoint) -> APIRouter:
    """Return a router that serves a `ReturnsPortal` under its prefix, such as ``/returns``."""
    return _router(portal_routes(endpoint))


def portal_routes(endpoint: Endpoint) -> list[Route]:
    """Return the same as Starlette routes; they need no FastAPI."""
    return [Route("/{page:path}", asgi.portal(endpoint), name="dispatch_portal")]


def _router(routes: Sequence[Route]) -> APIRouter:
    try:
        from fastapi import APIRouter
    except ImportError as error:
        raise MissingExtraError("fastapi", "the FastAPI mount") from error
    return APIRouter(routes=[*routes])
