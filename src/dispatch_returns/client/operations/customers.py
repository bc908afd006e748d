"""Customers: ``/workspaces/{id}/customers``, also served as ``contacts``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.exact_json import JsonValue
from dispatch_returns.client.models import Customer
from dispatch_returns.client.operation import Operation, Page, Scope

_CUSTOMER = answers.one(Customer)


def create(
    scope: Scope,
    *,
    email: str,
    name: str | None = None,
    company_id: str | None = None,
    metadata: Mapping[str, JsonValue] | None = None,
    idempotency_key: str | None = None,
) -> Operation[Customer]:
    """Create a customer and return it."""
    fields = {
        "email": arguments.text("email", email),
        "name": name,
        "company_id": company_id,
        "metadata": metadata,
    }
    return operation.post(scope, scope.path(scope.people), _CUSTOMER, fields, idempotency_key)


def get(scope: Scope, customer_id: str) -> Operation[Customer]:
    """Return the customer."""
    return operation.get(_path(scope, customer_id), _CUSTOMER)


def list_page(
    scope: Scope,
    *,
    search: str | None = None,
    company_id: str | None = None,
    sort: Literal["created_at", "name", "email"] | None = None,
    order: Literal["asc", "desc"] | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Operation[Page[Customer]]:
    """Return customers: `list` all that match, page after page, `list_page` one page.

    `limit` is the size of a page, from 1 to 100; `cursor` is where to begin, from an earlier
    page. Raises `PaginationError` when the server's pages would never end.
    """
    filters = operation.query(
        scope,
        {
            "search": search,
            "company_id": company_id,
            "sort": None if sort is None else scope.name(sort),
            "order": order,
        },
    )
    return answers.pages(scope.path(scope.people), Customer, filters, limit=limit, cursor=cursor)


def search(scope: Scope, text: str) -> Operation[list[Customer]]:
    """Return the customers whose name or e-mail fits `text`."""
    return operation.get(
        scope.path(scope.people, "search"),
        answers.many(Customer),
        (("q", arguments.text("text", text)),),
    )


def update(
    scope: Scope,
    customer_id: str,
    *,
    email: str | Unset = UNSET,
    name: str | Unset | None = UNSET,
    company_id: str | Unset | None = UNSET,
    metadata: Mapping[str, JsonValue] | Unset = UNSET,
) -> Operation[Customer]:
    """Change what is given and return the customer; None clears a field, where it can be."""
    fields = {
        "email": email if email is UNSET else arguments.text("email", email),
        "name": name,
        "company_id": company_id,
        "metadata": metadata,
    }
    return operation.patch(scope, _path(scope, customer_id), _CUSTOMER, fields)


def delete(scope: Scope, customer_id: str) -> Operation[None]:
    """Delete the customer."""
    return operation.delete(_path(scope, customer_id))


def _path(scope: Scope, customer_id: str) -> str:
    return scope.path(scope.people, arguments.segment("customer_id", customer_id))
