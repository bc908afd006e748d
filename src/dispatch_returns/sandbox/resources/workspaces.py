"""Workspaces, which the other style calls brands: the sandbox is told which ones exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns.sandbox.answers import Reply
from dispatch_returns.sandbox.endpoints import Call, Endpoint
from dispatch_returns.sandbox.resources import statuses
from dispatch_returns.sandbox.wire import Record
from dispatch_returns.sandbox.workspace import Workspace

if TYPE_CHECKING:
    from dispatch_returns.sandbox.state import SandboxState


def list_all(state: SandboxState) -> Reply:
    """Answer ``GET /v1/workspaces``, the one call that is not about one workspace."""
    return Reply([workspace.info for workspace in state.workspaces.values()])


def get(call: Call) -> Reply:
    return Reply(call.workspace.info)


def add(state: SandboxState, workspace_id: str) -> Workspace:
    """Create a workspace with the statuses that every workspace has."""
    now = state.now()
    info: Record = {
        "id": workspace_id,
        "name": "Sandbox",
        "slug": workspace_id.replace("_", "-"),
        "ticketPrefix": None,
        "metadata": {},
        "createdAt": now,
        "updatedAt": now,
    }
    workspace = Workspace(info)
    state.save("workspace", info, workspace)
    state.workspaces[workspace_id] = workspace
    statuses.add_system_statuses(state, workspace)
    return workspace


ENDPOINTS = (Endpoint("GET", "", get),)
