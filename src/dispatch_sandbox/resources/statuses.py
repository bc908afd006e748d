"""Statuses are data: four belong to the system, a workspace adds its own by key."""

from __future__ import annotations

from typing import Any

from dispatch_returns.client import Status
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Refusal, Reply, conflict, not_found
from dispatch_sandbox.endpoints import Call, Endpoint, array, gone, one
from dispatch_sandbox.resources import ordering
from dispatch_sandbox.seed import add_status
from dispatch_sandbox.wire import Record
from dispatch_sandbox.workspace import Workspace

ACTIVE = "active"
"""No status, but the filter for all tickets that are not resolved or closed."""


def create(call: Call) -> Reply:
    values = call.accept()
    if values["key"] in call.workspace.statuses_by_key:
        raise conflict("A status with this key exists already")
    return Reply(add_status(call.state, call.workspace, values))


def list_all(call: Call) -> Reply:
    active = (status for status in call.workspace.statuses.values() if status["isActive"])
    return Reply(sorted(active, key=lambda status: status["sortOrder"]))


def get(call: Call, status_id: str) -> Reply:
    return Reply(_find(call, status_id))


def update(call: Call, status_id: str) -> Reply:
    status = _find(call, status_id)
    values = call.accept()
    if "isActive" in values:
        _set_active(call.workspace, status, active=values["isActive"])
    status.update(values, updatedAt=call.state.now())
    call.state.save("status", status, call.workspace)
    return Reply(status)


def delete(call: Call, status_id: str) -> Reply:
    """Take a status out of use; tickets that have it keep it, and it can still be read."""
    status = _find(call, status_id)
    _set_active(call.workspace, status, active=False)
    status.update(isActive=False, updatedAt=call.state.now())
    call.state.save("status", status, call.workspace)
    return call.gone(status)


def stats(call: Call) -> Reply:
    listed = list_all(call).data
    assert isinstance(listed, list)
    return Reply([it | {"ticketCount": call.workspace.count("status", it["key"])} for it in listed])


def reorder(call: Call) -> Reply:
    active = {key: it for key, it in call.workspace.statuses.items() if it["isActive"]}
    return Reply(ordering.reorder(call, "status", "statusIds", active))


def _set_active(workspace: Workspace, status: Record, *, active: bool) -> None:
    key = status["key"]
    holder = workspace.statuses_by_key.get(key)
    if active:
        if holder is not None and holder is not status:
            raise conflict("Another status has this key now")
        workspace.statuses_by_key[key] = status
    elif status["isSystem"]:
        raise Refusal(400, "system_status", "A system status cannot be taken out of use")
    elif holder is status:
        del workspace.statuses_by_key[key]


def _find(call: Call, status_id: str) -> Record:
    status = call.workspace.statuses.get(status_id)
    if status is None:
        raise not_found("Status")
    return status


@checks.check(**checks.key.schema)
def _key(value: Any) -> str | None:
    return f"must not be {ACTIVE}" if value == ACTIVE else checks.key(value)


_CHECKS = {
    "name": checks.filled,
    "color": checks.nullable(checks.text),
    "description": checks.nullable(checks.text),
    "sortOrder": checks.integer,
}
_CREATE = checks.Form({**_CHECKS, "key": _key}, required=("name", "key"))
_CHANGE = checks.Form({**_CHECKS, "isActive": checks.boolean})
_ORDER = ordering.form("statusIds")

ENDPOINTS = (
    Endpoint("POST", "statuses", create, one(Status), _CREATE, status=201),
    Endpoint("GET", "statuses", list_all, array(Status)),
    Endpoint("GET", "statuses/stats", stats, array(Status)),
    Endpoint("POST", "statuses/reorder", reorder, array(Status), _ORDER),
    Endpoint("GET", "statuses/*", get, one(Status)),
    Endpoint("PATCH", "statuses/*", update, one(Status), _CHANGE),
    Endpoint("DELETE", "statuses/*", delete, gone(Status)),
)
