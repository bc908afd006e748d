"""API keys: ``/accounts/me/api-keys``. The path names no style: the names are camelCase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.models import ApiKey
from dispatch_returns.client.operation import Operation, Scope

_PATH = "/accounts/me/api-keys"


def create(
    scope: Scope,
    *,
    name: str,
    all_workspaces: bool | None = None,
    workspace_ids: Sequence[str] | None = None,
    idempotency_key: str | None = None,
) -> Operation[ApiKey]:
    """Create a key and return it. Keep its ``key`` from this answer: no other one holds it."""
    fields = {
        "name": arguments.text("name", name),
        "all_workspaces": all_workspaces,
        "workspace_ids": None if workspace_ids is None else _ids(workspace_ids),
    }
    brands = replace(scope, style="brands")
    return operation.post(brands, _PATH, answers.one(ApiKey), fields, idempotency_key)


def list_all(scope: Scope) -> Operation[list[ApiKey]]:
    """Return the account's keys, without what one needs to use them."""
    del scope
    return operation.get(_PATH, answers.many(ApiKey))


def set_scope(
    scope: Scope,
    key_id: str,
    *,
    all_workspaces: bool | Unset = UNSET,
    workspace_ids: Sequence[str] | Unset = UNSET,
) -> Operation[None]:
    """Change which workspaces the key can see. What the API answers is not documented."""
    fields = {
        "all_workspaces": all_workspaces,
        "workspace_ids": workspace_ids if workspace_ids is UNSET else _ids(workspace_ids),
    }
    path = f"{_path(key_id)}/scope"
    return operation.patch(replace(scope, style="brands"), path, answers.nothing, fields)


def delete(scope: Scope, key_id: str) -> Operation[None]:
    """Revoke the key."""
    del scope
    return operation.delete(_path(key_id))


def _ids(workspace_ids: Sequence[str]) -> list[str]:
    return arguments.strings("workspace_ids", workspace_ids)


def _path(key_id: str) -> str:
    return f"{_PATH}/{arguments.segment('key_id', key_id)}"
