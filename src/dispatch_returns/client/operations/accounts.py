"""The account and its API keys: ``/accounts/me``. The path names no style: names are camelCase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.models import Account, ApiKey, Usage
from dispatch_returns.client.operation import Operation, Scope

_ACCOUNT = "/accounts/me"
_KEYS = f"{_ACCOUNT}/api-keys"


def me(scope: Scope) -> Operation[Account]:
    """Return the account the key belongs to."""
    del scope  # the key knows
    return operation.get(_ACCOUNT, answers.one(Account))


def usage(scope: Scope) -> Operation[Usage]:
    """Return how many tickets and workspaces the account has, and what its plan allows."""
    del scope
    return operation.get(f"{_ACCOUNT}/usage", answers.one(Usage))


def create_key(
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
        "workspace_ids": None if workspace_ids is None else _workspaces(workspace_ids),
    }
    brands = replace(scope, style="brands")
    return operation.post(brands, _KEYS, answers.one(ApiKey), fields, idempotency_key)


def list_keys(scope: Scope) -> Operation[list[ApiKey]]:
    """Return the account's keys, without what one needs to use them."""
    del scope
    return operation.get(_KEYS, answers.many(ApiKey))


def set_key_scope(
    scope: Scope,
    key_id: str,
    *,
    all_workspaces: bool | Unset = UNSET,
    workspace_ids: Sequence[str] | Unset = UNSET,
) -> Operation[None]:
    """Change which workspaces the key can see. What the API answers is not documented."""
    fields = {
        "all_workspaces": all_workspaces,
        "workspace_ids": workspace_ids if workspace_ids is UNSET else _workspaces(workspace_ids),
    }
    path = f"{_key_path(key_id)}/scope"
    return operation.patch(replace(scope, style="brands"), path, answers.nothing, fields)


def delete_key(scope: Scope, key_id: str) -> Operation[None]:
    """Revoke the key."""
    del scope
    return operation.delete(_key_path(key_id))


def _workspaces(workspace_ids: Sequence[str]) -> list[str]:
    return arguments.strings("workspace_ids", workspace_ids)


def _key_path(key_id: str) -> str:
    return f"{_KEYS}/{arguments.segment('key_id', key_id)}"
