"""Definitions of custom fields: ``/workspaces/{id}/fields/{entity}``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.exact_json import JsonValue
from dispatch_returns.client.models import Field, FieldDefinitions
from dispatch_returns.client.operation import Operation, Scope

Entity: TypeAlias = Literal["ticket", "customer"]
FieldType: TypeAlias = Literal[
    "text", "number", "boolean", "date", "select", "multiselect", "url", "array", "object"
]
_FIELD = answers.one(Field)


def list_all(scope: Scope, *, entity: Entity = "ticket") -> Operation[list[Field]]:
    """Return the definitions of the fields that tickets, or customers, have."""
    return operation.get(_path(scope, entity), answers.many(Field))


def every(scope: Scope) -> Operation[FieldDefinitions]:
    """Return the definitions of the fields that tickets have, and of those customers have."""
    return operation.get(scope.path("fields"), answers.one(FieldDefinitions))


def create(
    scope: Scope,
    *,
    key: str,
    label: str,
    type: FieldType,  # noqa: A002 - the API's own name for it
    entity: Entity = "ticket",
    required: bool | None = None,
    description: str | None = None,
    placeholder: str | None = None,
    default_value: JsonValue = None,
    options: Sequence[str] | None = None,
    sort_order: int | None = None,
    idempotency_key: str | None = None,
) -> Operation[Field]:
    """Define a custom field and return it. `options` are what a select offers."""
    fields = {
        "key": arguments.segment("key", key),
        "label": arguments.text("label", label),
        "type": type,
        "required": required,
        "description": description,
        "placeholder": placeholder,
        "default_value": default_value,
        "options": None if options is None else arguments.strings("options", options),
        "sort_order": sort_order,
    }
    return operation.post(scope, _path(scope, entity), _FIELD, fields, idempotency_key)


def update(
    scope: Scope,
    key: str,
    *,
    entity: Entity = "ticket",
    label: str | Unset = UNSET,
    required: bool | Unset = UNSET,
    description: str | Unset | None = UNSET,
    placeholder: str | Unset | None = UNSET,
    default_value: JsonValue | Unset = UNSET,
    options: Sequence[str] | Unset = UNSET,
    sort_order: int | Unset = UNSET,
) -> Operation[Field]:
    """Change what is given and return the definition. Its key and type stay."""
    fields = {
        "label": label if label is UNSET else arguments.text("label", label),
        "required": required,
        "description": description,
        "placeholder": placeholder,
        "default_value": default_value,
        "options": options if options is UNSET else arguments.strings("options", options),
        "sort_order": sort_order,
    }
    return operation.patch(scope, _path(scope, entity, key), _FIELD, fields)


def delete(scope: Scope, key: str, *, entity: Entity = "ticket") -> Operation[None]:
    """Delete the definition."""
    return operation.delete(_path(scope, entity, key))


def reorder(scope: Scope, *, keys: Sequence[str], entity: Entity = "ticket") -> Operation[None]:
    """Put the definitions into this order."""
    fields = {"keys": arguments.strings("keys", keys)}
    path = f"{_path(scope, entity)}/reorder"
    return operation.post(scope, path, answers.nothing, fields, None)


def _path(scope: Scope, entity: str, *key: str) -> str:
    of_entity = arguments.segment("entity", entity)
    return scope.path("fields", of_entity, *(arguments.segment("key", it) for it in key))
