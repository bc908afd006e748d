"""A customer's way into the portal: tokens of an hour, and links by e-mail."""

from __future__ import annotations

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.models import PortalToken
from dispatch_returns.client.operation import Operation, Scope

_TOKEN = answers.one(PortalToken)


def create_token(scope: Scope, *, email: str, name: str | None = None) -> Operation[PortalToken]:
    """Return a token with which the customer, and nobody else, uses the portal for an hour."""
    fields = {"email": arguments.text("email", email), "name": name}
    return operation.post(scope, scope.path("portal", "token"), _TOKEN, fields, None)


def send_magic_link(scope: Scope, *, email: str, portal_url: str) -> Operation[None]:
    """Mail the customer a link to `portal_url`, whose ``token`` `PortalClient.verify` takes."""
    fields = {
        "email": arguments.text("email", email),
        "portal_url": arguments.text("portal_url", portal_url),
    }
    path = scope.path("portal", "magic-link")
    return operation.post(scope, path, answers.nothing, fields, None)


def verify(scope: Scope, *, token: str) -> Operation[PortalToken]:
    """Return the portal token for the `token` of a magic link."""
    fields = {"token": arguments.token("token", token)}
    return operation.post(scope, "/portal/verify", _TOKEN, fields, None)


def refresh(scope: Scope) -> Operation[PortalToken]:
    """Return a new token in exchange for the one that is still good."""
    del scope
    return Operation("POST", "/portal/refresh", _TOKEN)
