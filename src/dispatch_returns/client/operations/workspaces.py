"""Workspaces, called brands in the other style: ``/workspaces``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.exact_json import JsonValue
from dispatch_returns.client.models import DeletePreview, Workspace
from dispatch_returns.client.operation import Operation, Scope
from dispatch_returns.errors import InvalidArgumentError

_WORKSPACE = answers.one(Workspace)


def create(
    scope: Scope,
    *,
    name: str,
    slug: str | None = None,
    ticket_prefix: str | None = None,
    metadata: Mapping[str, JsonValue] | None = None,
    idempotency_key: str | None = None,
) -> Operation[Workspace]:
    """Create a workspace and return it."""
    fields = {
        "name": arguments.text("name", name),
        "slug": slug,
        "ticket_prefix": ticket_prefix,
        "metadata": metadata,
    }
    return operation.post(scope, f"/{scope.style}", _WORKSPACE, fields, idempotency_key)


def list_all(scope: Scope) -> Operation[list[Workspace]]:
    """Return the workspaces this key can see."""
    return operation.get(f"/{scope.style}", answers.many(Workspace))


def get(scope: Scope, workspace_id: str | None = None) -> Operation[Workspace]:
    """Return a workspace: the client's own, unless another is named."""
    return operation.get(_path(scope, workspace_id), _WORKSPACE)


def update(
    scope: Scope,
    workspace_id: str | None = None,
    *,
    name: str | Unset = UNSET,
    slug: str | Unset = UNSET,
    ticket_prefix: str | Unset | None = UNSET,
    url: str | Unset | None = UNSET,
    from_name: str | Unset | None = UNSET,
    from_email: str | Unset | None = UNSET,
    portal_origins: Sequence[str] | Unset = UNSET,
    metadata: Mapping[str, JsonValue] | Unset = UNSET,
) -> Operation[Workspace]:
    """Change what is given and return the workspace: the client's own, unless another is named.

    `portal_origins` are the web addresses from which a browser may use the portal; an empty
    list lets none.
    """
    origins = portal_origins
    fields = {
        "name": name if name is UNSET else arguments.text("name", name),
        "slug": slug,
        "ticket_prefix": ticket_prefix,
        "url": url,
        "from_name": from_name,
        "from_email": from_email,
        "portal_origins": origins if origins is UNSET else arguments.strings("origins", origins),
        "metadata": metadata,
    }
    return operation.patch(scope, _path(scope, workspace_id), _WORKSPACE, fields)


def preview_delete(scope: Scope, workspace_id: str) -> Operation[DeletePreview]:
    """Return how much would go with the workspace. Nothing is deleted."""
    return Operation("DELETE", _path(scope, workspace_id), answers.one(DeletePreview))


def delete(scope: Scope, workspace_id: str, *, confirm: bool) -> Operation[None]:
    """Delete the workspace and all that is in it. `confirm` must be True."""
    if confirm is not True:
        raise InvalidArgumentError(
            "confirm", "must be True; preview_delete() says what would be deleted"
        )
    path = _path(scope, workspace_id)
    return Operation("DELETE", path, answers.nothing, (("confirm", "true"),))


def _path(scope: Scope, workspace_id: str | None) -> str:
    wanted = scope.workspace if workspace_id is None else workspace_id
    return f"/{scope.style}/{arguments.segment('workspace_id', wanted)}"
