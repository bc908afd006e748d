"""The receiver as a FastAPI router, and as a route for Starlette.

::

    app.include_router(webhooks.fastapi.router(connector), prefix="/webhooks")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns.errors import MissingExtraError
from dispatch_returns.webhooks import asgi
from dispatch_returns.webhooks.receiver import HasReceiver

try:
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError("fastapi", "the FastAPI mount") from error

if TYPE_CHECKING:
    from fastapi import APIRouter

PATH = "/dispatch"


def router(connector: HasReceiver) -> APIRouter:
    """Return a router that takes deliveries at ``/dispatch`` under its prefix.

    The path is not in the OpenAPI schema: it is Dispatch's, and not for the users of the API.
    """
    try:
        from fastapi import APIRouter
    except ImportError as error:
        raise MissingExtraError("fastapi", "the FastAPI mount") from error
    return APIRouter(routes=[route(connector)])


def route(connector: HasReceiver, path: str = PATH) -> Route:
    """Return a Starlette route that takes deliveries at `path`; it needs no FastAPI."""
    return Route(path, asgi.app(connector), name="dispatch_webhooks")
