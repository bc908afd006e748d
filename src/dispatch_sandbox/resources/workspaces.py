"""Workspaces, which the other style calls brands."""

from __future__ import annotations

import re

from dispatch_returns.client import DeletePreview
from dispatch_returns.client import Workspace as Shop
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Reply, conflict
from dispatch_sandbox.endpoints import AccountCall, Answers, Call, Endpoint, array, one
from dispatch_sandbox.seed import add_workspace
from dispatch_sandbox.state import SandboxState
from dispatch_sandbox.wire import Record, new_id

_CREATE = checks.Form(
    {
        "name": checks.filled,
        "slug": checks.key,
        "ticketPrefix": checks.nullable(checks.text),
        "metadata": checks.mapping,
    },
    required=("name",),
)
_CHANGE = checks.Form(
    {
        **_CREATE.checks,
        "url": checks.nullable(checks.text),
        "fromName": checks.nullable(checks.text),
        "fromEmail": checks.nullable(checks.email),
        "portalOrigins": checks.texts,
    }
)


def list_all(call: AccountCall) -> Reply:
    return Reply([workspace.info for workspace in call.visible()])


def create(call: AccountCall) -> Reply:
    values = call.accept()
    slug = re.sub("[^a-z0-9]+", "-", values["name"].lower()).strip("-")[:80]
    values.setdefault("slug", slug or new_id("shop"))
    _require_new(call.state, values["slug"])
    prefix = "ws" if call.word == "workspaces" else "br"
    return Reply(add_workspace(call.state, new_id(prefix), values).info)


def get(call: Call) -> Reply:
    return Reply(call.workspace.info)


def update(call: Call) -> Reply:
    info = call.workspace.info
    values = call.accept()
    if values.get("slug", info["slug"]) != info["slug"]:
        _require_new(call.state, values["slug"])
    info.update(values, updatedAt=call.state.now())
    call.state.save("workspace", info, call.workspace)
    return Reply(info)


def delete(call: Call) -> Reply:
    """Delete the workspace with all that is in it, if that is confirmed; else say how much."""
    workspace = call.workspace
    if call.query.get("confirm") == "true":
        call.state.remove(workspace)
        return call.gone(workspace.info)
    return Reply(
        {
            "ticketCount": len(workspace.ticket_list),
            "webhookCount": len(workspace.webhooks),
            "categoryCount": len(workspace.categories),
            "tagCount": len(workspace.tags),
        }
    )


def _require_new(state: SandboxState, slug: str) -> None:
    if any(workspace.info["slug"] == slug for workspace in state.workspaces.values()):
        raise conflict("A workspace with this slug exists already")


_CONFIRM: Record = {"type": "string"}

ACCOUNT_ENDPOINTS = (
    Endpoint("GET", "", list_all, array(Shop)),
    Endpoint("POST", "", create, one(Shop), _CREATE, status=201),
)
"""The two calls that are not about one workspace."""

ENDPOINTS = (
    Endpoint("GET", "", get, one(Shop)),
    Endpoint("PATCH", "", update, one(Shop), _CHANGE),
    Endpoint(
        "DELETE", "", delete, Answers(DeletePreview, may_be_empty=True), query={"confirm": _CONFIRM}
    ),
)
