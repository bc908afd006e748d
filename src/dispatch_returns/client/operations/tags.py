"""Tags of tickets: ``/workspaces/{id}/tags``."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.models import Tag
from dispatch_returns.client.operation import Operation, Scope

_TAG = answers.one(Tag)


def create(
    scope: Scope,
    *,
    name: str,
    color: str | None = None,
    idempotency_key: str | None = None,
) -> Operation[Tag]:
    """Create a tag and return it."""
    fields = {"name": arguments.text("name", name), "color": color}
    return operation.post(scope, scope.path("tags"), _TAG, fields, idempotency_key)


def list_all(scope: Scope) -> Operation[list[Tag]]:
    """Return the workspace's tags."""
    return operation.get(scope.path("tags"), answers.many(Tag))


def update(
    scope: Scope,
    tag_id: str,
    *,
    name: str | Unset = UNSET,
    color: str | Unset = UNSET,
) -> Operation[Tag]:
    """Change what is given and return the tag."""
    named = name if name is UNSET else arguments.text("name", name)
    fields = {"name": named, "color": color}
    return operation.patch(scope, _path(scope, tag_id), _TAG, fields)


def delete(scope: Scope, tag_id: str) -> Operation[None]:
    """Delete the tag; tickets lose it."""
    return operation.delete(_path(scope, tag_id))


def merge(scope: Scope, tag_id: str, *, source_tag_ids: Sequence[str]) -> Operation[Tag]:
    """Merge other tags into this one, and return it."""
    fields = {"source_tag_ids": arguments.strings("source_tag_ids", source_tag_ids)}
    return operation.post(scope, f"{_path(scope, tag_id)}/merge", _TAG, fields, None)


def _path(scope: Scope, tag_id: str) -> str:
    return scope.path("tags", arguments.segment("tag_id", tag_id))
