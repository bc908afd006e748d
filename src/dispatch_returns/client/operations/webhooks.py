"""Webhooks and their deliveries: ``/workspaces/{id}/webhooks``. The API cannot change one."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.models import Delivery, Webhook
from dispatch_returns.client.operation import Operation, Scope
from dispatch_returns.errors import InvalidArgumentError

_WEBHOOK = answers.one(Webhook)


def create(
    scope: Scope,
    *,
    url: str,
    events: Sequence[str],
    secret: str | None = None,
    idempotency_key: str | None = None,
) -> Operation[Webhook]:
    """Have `events` (``["*"]`` for all) delivered to `url`, and return the webhook.

    Without a `secret` the API makes one. Keep it from this answer: no other one holds it.
    """
    names = arguments.strings("events", events)
    if not names:
        raise InvalidArgumentError("events", 'must name at least one event, or be ["*"]')
    fields = {
        "url": arguments.text("url", url),
        "events": names,
        "secret": None if secret is None else arguments.token("secret", secret),
    }
    return operation.post(scope, scope.path("webhooks"), _WEBHOOK, fields, idempotency_key)


def list_all(scope: Scope) -> Operation[list[Webhook]]:
    """Return the workspace's webhooks, without their secrets."""
    return operation.get(scope.path("webhooks"), answers.many(Webhook))


def get(scope: Scope, webhook_id: str) -> Operation[Webhook]:
    """Return the webhook, without its secret."""
    return operation.get(_path(scope, webhook_id), _WEBHOOK)


def delete(scope: Scope, webhook_id: str) -> Operation[None]:
    """Delete the webhook: nothing is delivered to it any more."""
    return operation.delete(_path(scope, webhook_id))


def deliveries(scope: Scope, webhook_id: str) -> Operation[list[Delivery]]:
    """Return what was delivered to the webhook, with each outcome."""
    return operation.get(_path(scope, webhook_id, "deliveries"), answers.many(Delivery))


def _path(scope: Scope, webhook_id: str, *more: str) -> str:
    return scope.path("webhooks", arguments.segment("webhook_id", webhook_id), *more)
