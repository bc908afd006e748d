"""Definitions of custom fields. Values are not held against them: any custom field is accepted."""

from __future__ import annotations

from dispatch_returns.client import Field, FieldDefinitions
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Reply, conflict, not_found
from dispatch_sandbox.endpoints import Call, Endpoint, array, gone, one
from dispatch_sandbox.resources import ordering
from dispatch_sandbox.wire import Record, new_id

ENTITIES = ("ticket", "customer")
TYPES = (
    "text", "number", "boolean", "date", "select", "multiselect", "url", "array", "object",
)  # fmt: skip

_CHANGE = checks.Form(
    {
        "label": checks.filled,
        "type": checks.one_of(*TYPES),
        "required": checks.boolean,
        "options": checks.nullable(checks.array),
        "description": checks.nullable(checks.text),
        "placeholder": checks.nullable(checks.text),
        "defaultValue": checks.anything,
        "sortOrder": checks.integer,
    }
)
_CREATE = checks.Form({**_CHANGE.checks, "key": checks.key}, ("key", "label", "type"))
_ORDER = ordering.form("keys")


def create(call: Call, entity: str) -> Reply:
    _require_entity(entity)
    values = call.accept()
    if (entity, values["key"]) in call.workspace.fields:
        raise conflict("A field with this key exists already")
    now = call.state.now()
    fresh: Record = {
        "id": new_id("fld"),
        "brandId": call.workspace.id,
        "entity": entity,
        "key": values["key"],
        "label": values["label"],
        "type": values["type"],
        "required": False,
        "options": None,
        "description": None,
        "placeholder": None,
        "defaultValue": None,
        "sortOrder": len(call.workspace.fields),
        "createdAt": now,
        "updatedAt": now,
    }
    field = fresh | values
    call.workspace.add_field(field)
    call.state.save("field", field, call.workspace)
    return Reply(field)


def list_all(call: Call) -> Reply:
    return Reply({entity: _of_entity(call, entity) for entity in ENTITIES})


def list_entity(call: Call, entity: str) -> Reply:
    _require_entity(entity)
    return Reply(_of_entity(call, entity))


def reorder(call: Call, entity: str) -> Reply:
    _require_entity(entity)
    known = {field["key"]: field for field in _of_entity(call, entity)}
    return Reply(ordering.reorder(call, "field", "keys", known))


def get(call: Call, entity: str, key: str) -> Reply:
    return Reply(_find(call, entity, key))


def update(call: Call, entity: str, key: str) -> Reply:
    field = _find(call, entity, key)
    field.update(call.accept(), updatedAt=call.state.now())
    call.state.save("field", field, call.workspace)
    return Reply(field)


def delete(call: Call, entity: str, key: str) -> Reply:
    field = _find(call, entity, key)
    del call.workspace.fields[entity, key]
    call.state.forget("field", field)
    return call.gone(field)


def _of_entity(call: Call, entity: str) -> list[Record]:
    fields = (field for field in call.workspace.fields.values() if field["entity"] == entity)
    return sorted(fields, key=lambda field: field["sortOrder"])


def _require_entity(entity: str) -> None:
    if entity not in ENTITIES:
        raise not_found("Entity")


def _find(call: Call, entity: str, key: str) -> Record:
    field = call.workspace.fields.get((entity, key))
    if field is None:
        raise not_found("Field")
    return field


ENDPOINTS = (
    Endpoint("GET", "fields", list_all, one(FieldDefinitions)),
    Endpoint("GET", "fields/*", list_entity, array(Field)),
    Endpoint("POST", "fields/*", create, one(Field), _CREATE, status=201),
    Endpoint("POST", "fields/*/reorder", reorder, array(Field), _ORDER),
    Endpoint("GET", "fields/*/*", get, one(Field)),
    Endpoint("PATCH", "fields/*/*", update, one(Field), _CHANGE),
    Endpoint("DELETE", "fields/*/*", delete, gone(Field)),
)
