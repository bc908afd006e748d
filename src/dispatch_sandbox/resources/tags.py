"""Tags: a ticket may name one by its id or by its name."""

from __future__ import annotations

from dispatch_returns.client import Tag
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Problem, Reply, conflict, invalid, not_found
from dispatch_sandbox.endpoints import Call, Endpoint, array, gone, one
from dispatch_sandbox.wire import Record, new_id

_CHANGE = checks.Form({"name": checks.filled, "color": checks.nullable(checks.text)})
_CREATE = checks.Form(_CHANGE.checks, required=("name",))
_MERGE = checks.Form({"sourceTagIds": checks.texts}, required=("sourceTagIds",))


def create(call: Call) -> Reply:
    values = call.accept()
    _require_new(call, values["name"])
    fresh: Record = {
        "id": new_id("tag"),
        "brandId": call.workspace.id,
        "name": values["name"],
        "color": None,
        "createdAt": call.state.now(),
    }
    tag = fresh | values
    call.workspace.add_tag(tag)
    call.state.save("tag", tag, call.workspace)
    return Reply(tag)


def list_all(call: Call) -> Reply:
    return Reply(list(call.workspace.tags.values()))


def update(call: Call, tag_id: str) -> Reply:
    tag = _find(call, tag_id)
    values = call.accept()
    if values.get("name", tag["name"]) != tag["name"]:
        _require_new(call, values["name"])
    tag.update(values)
    call.state.save("tag", tag, call.workspace)
    return Reply(tag)


def delete(call: Call, tag_id: str) -> Reply:
    tag = _find(call, tag_id)
    _replace(call, [tag], [])
    _forget(call, tag)
    return call.gone(tag)


def merge(call: Call, tag_id: str) -> Reply:
    tag = _find(call, tag_id)
    ids = dict.fromkeys(call.accept()["sourceTagIds"])
    if tag_id in ids or not ids.keys() <= call.workspace.tags.keys():
        raise invalid(Problem("sourceTagIds", "must be other tags of this workspace"))
    sources = [call.workspace.tags[source] for source in ids]
    _replace(call, sources, [tag_id])
    for source in sources:
        _forget(call, source)
    return Reply(tag)


def _replace(call: Call, tags: list[Record], by: list[str]) -> None:
    names = {tag[name] for tag in tags for name in ("id", "name")}
    for ticket in call.workspace.tickets.values():
        if not names.isdisjoint(ticket["tags"]):
            kept = (tag for tag in ticket["tags"] if tag not in names)
            ticket["tags"] = list(dict.fromkeys((*kept, *by)))
            call.state.save("ticket", ticket, call.workspace)


def _forget(call: Call, tag: Record) -> None:
    del call.workspace.tags[tag["id"]]
    call.state.forget("tag", tag)


def _require_new(call: Call, name: str) -> None:
    if any(tag["name"].lower() == name.lower() for tag in call.workspace.tags.values()):
        raise conflict("A tag with this name exists already")


def _find(call: Call, tag_id: str) -> Record:
    tag = call.workspace.tags.get(tag_id)
    if tag is None:
        raise not_found("Tag")
    return tag


ENDPOINTS = (
    Endpoint("POST", "tags", create, one(Tag), _CREATE, status=201),
    Endpoint("GET", "tags", list_all, array(Tag)),
    Endpoint("PATCH", "tags/*", update, one(Tag), _CHANGE),
    Endpoint("DELETE", "tags/*", delete, gone(Tag)),
    Endpoint("POST", "tags/*/merge", merge, one(Tag), _MERGE),
)
