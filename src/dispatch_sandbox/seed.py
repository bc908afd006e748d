"""A new workspace, with the statuses that every workspace has."""

from __future__ import annotations

from dispatch_sandbox.memory import Memory
from dispatch_sandbox.wire import Record, new_id
from dispatch_sandbox.workspace import Workspace

SYSTEM_STATUSES = ("open", "pending", "resolved", "closed")


def add_workspace(memory: Memory, workspace_id: str, values: Record | None = None) -> Workspace:
    """Create a workspace with its statuses; ``values`` are the fields that its caller sets."""
    now = memory.now()
    fresh: Record = {
        "id": workspace_id,
        "name": "Sandbox",
        "slug": workspace_id.replace("_", "-"),
        "ticketPrefix": None,
        "url": None,
        "fromName": None,
        "fromEmail": None,
        "portalOrigins": [],
        "metadata": {},
        "createdAt": now,
        "updatedAt": now,
    }
    workspace = Workspace(fresh | (values or {}))
    memory.save("workspace", workspace.info, workspace)
    memory.workspaces[workspace_id] = workspace
    for key in SYSTEM_STATUSES:
        add_status(memory, workspace, {"name": key.capitalize(), "key": key, "isSystem": True})
    return workspace


def add_status(memory: Memory, workspace: Workspace, values: Record) -> Record:
    """Add a status after the existing ones; ``values`` have at least its name and key."""
    now = memory.now()
    fresh: Record = {
        "id": new_id("sts"),
        "brandId": workspace.id,
        "name": values["name"],
        "key": values["key"],
        "color": None,
        "description": None,
        "isSystem": False,
        "isActive": True,
        "sortOrder": len(workspace.statuses),
        "createdAt": now,
        "updatedAt": now,
    }
    status = fresh | values
    workspace.add_status(status)
    memory.save("status", status, workspace)
    return status
