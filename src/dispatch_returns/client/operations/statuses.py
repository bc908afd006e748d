"""Ticket statuses: ``/workspaces/{id}/statuses``. They are data; each workspace has its own."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.models import Status
from dispatch_returns.client.operation import Operation, Scope

_STATUS = answers.one(Status)


def create(
    scope: Scope,
    *,
    name: str,
    key: str,
    color: str | None = None,
    description: str | None = None,
    idempotency_key: str | None = None,
) -> Operation[Status]:
    """Create a status and return it. A ticket's status is its `key`."""
    fields = {
        "name": arguments.text("name", name),
        "key": arguments.segment("key", key),
        "color": color,
        "description": description,
    }
    return operation.post(scope, scope.path("statuses"), _STATUS, fields, idempotency_key)


def list_all(scope: Scope) -> Operation[list[Status]]:
    """Return the workspace's statuses, its own and the system's."""
    return operation.get(scope.path("statuses"), answers.many(Status))


def get(scope: Scope, status_id: str) -> Operation[Status]:
    """Return the status."""
    return operation.get(_path(scope, status_id), _STATUS)


def update(
    scope: Scope,
    status_id: str,
    *,
    name: str | Unset = UNSET,
    color: str | Unset = UNSET,
    description: str | Unset | None = UNSET,
    is_active: bool | Unset = UNSET,
    sort_order: int | Unset = UNSET,
) -> Operation[Status]:
    """Change what is given and return the status. Its key stays."""
    fields = {
        "name": name if name is UNSET else arguments.text("name", name),
        "color": color,
        "description": description,
        "is_active": is_active,
        "sort_order": sort_order,
    }
    return operation.patch(scope, _path(scope, status_id), _STATUS, fields)


def delete(scope: Scope, status_id: str) -> Operation[None]:
    """Delete the status; the API refuses this for the system's."""
    return operation.delete(_path(scope, status_id))


def stats(scope: Scope) -> Operation[list[Status]]:
    """Return the statuses, each with its ``ticket_count``."""
    return operation.get(scope.path("statuses", "stats"), answers.many(Status))


def reorder(scope: Scope, *, status_ids: Sequence[str]) -> Operation[None]:
    """Put the statuses into this order."""
    fields = {"status_ids": arguments.strings("status_ids", status_ids)}
    return operation.post(scope, scope.path("statuses", "reorder"), answers.nothing, fields, None)


def _path(scope: Scope, status_id: str) -> str:
    return scope.path("statuses", arguments.segment("status_id", status_id))
