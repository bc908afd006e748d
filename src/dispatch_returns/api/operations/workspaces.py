"""Workspaces, called brands in the other style."""

from __future__ import annotations

from dispatch_returns.api import answers, arguments, operation
from dispatch_returns.api.models import Workspace
from dispatch_returns.api.operation import Operation
from dispatch_returns.api.scope import Scope


def list_all(scope: Scope) -> Operation[list[Workspace]]:
    """Return the workspaces this key can see."""
    return operation.get(f"/{scope.style}", answers.many(Workspace))


def get(scope: Scope, workspace_id: str | None = None) -> Operation[Workspace]:
    """Return a workspace: the client's own, unless another is named."""
    wanted = scope.workspace if workspace_id is None else workspace_id
    return operation.get(
        f"/{scope.style}/{arguments.segment('workspace_id', wanted)}", answers.one(Workspace)
    )
