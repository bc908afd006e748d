"""Categories of tickets: ``/workspaces/{id}/categories``."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.models import Category, CategoryStats
from dispatch_returns.client.operation import Operation, Scope

_CATEGORY = answers.one(Category)


def create(
    scope: Scope,
    *,
    name: str,
    color: str | None = None,
    description: str | None = None,
    sort_order: int | None = None,
    idempotency_key: str | None = None,
) -> Operation[Category]:
    """Create a category and return it."""
    fields = {
        "name": arguments.text("name", name),
        "color": color,
        "description": description,
        "sort_order": sort_order,
    }
    return operation.post(scope, scope.path("categories"), _CATEGORY, fields, idempotency_key)


def list_all(scope: Scope) -> Operation[list[Category]]:
    """Return the workspace's categories."""
    return operation.get(scope.path("categories"), answers.many(Category))


def get(scope: Scope, category_id: str) -> Operation[Category]:
    """Return the category."""
    return operation.get(_path(scope, category_id), _CATEGORY)


def update(
    scope: Scope,
    category_id: str,
    *,
    name: str | Unset = UNSET,
    color: str | Unset = UNSET,
    description: str | Unset = UNSET,
    sort_order: int | Unset = UNSET,
) -> Operation[Category]:
    """Change what is given and return the category."""
    named = name if name is UNSET else arguments.text("name", name)
    fields = {
        "name": named,
        "color": color,
        "description": description,
        "sort_order": sort_order,
    }
    return operation.patch(scope, _path(scope, category_id), _CATEGORY, fields)


def delete(scope: Scope, category_id: str) -> Operation[None]:
    """Delete the category; tickets lose it."""
    return operation.delete(_path(scope, category_id))


def stats(scope: Scope) -> Operation[list[CategoryStats]]:
    """Return how many tickets each category has."""
    return operation.get(scope.path("categories", "stats"), answers.keyed(CategoryStats))


def reorder(scope: Scope, *, category_ids: Sequence[str]) -> Operation[None]:
    """Put the categories into this order."""
    fields = {"category_ids": arguments.strings("category_ids", category_ids)}
    path = scope.path("categories", "reorder")
    return operation.post(scope, path, answers.nothing, fields, None)


def _path(scope: Scope, category_id: str) -> str:
    return scope.path("categories", arguments.segment("category_id", category_id))
