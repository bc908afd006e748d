"""Categories of tickets."""

from __future__ import annotations

from dispatch_returns.client import Category, CategoryStats
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Reply, not_found
from dispatch_sandbox.endpoints import Call, Endpoint, array, gone, one
from dispatch_sandbox.resources import ordering
from dispatch_sandbox.wire import Record, new_id

_CHANGE = checks.Form(
    {
        "name": checks.filled,
        "color": checks.nullable(checks.text),
        "description": checks.nullable(checks.text),
        "sortOrder": checks.integer,
    }
)
_CREATE = checks.Form(_CHANGE.checks, required=("name",))
_ORDER = ordering.form("categoryIds")


def create(call: Call) -> Reply:
    values = call.accept()
    now = call.state.now()
    fresh: Record = {
        "id": new_id("cat"),
        "brandId": call.workspace.id,
        "name": values["name"],
        "color": None,
        "description": None,
        "sortOrder": len(call.workspace.categories),
        "createdAt": now,
        "updatedAt": now,
    }
    category = fresh | values
    call.workspace.add_category(category)
    call.state.save("category", category, call.workspace)
    return Reply(category)


def list_all(call: Call) -> Reply:
    return Reply(sorted(call.workspace.categories.values(), key=lambda it: it["sortOrder"]))


def get(call: Call, category_id: str) -> Reply:
    return Reply(_find(call, category_id))


def update(call: Call, category_id: str) -> Reply:
    category = _find(call, category_id)
    category.update(call.accept(), updatedAt=call.state.now())
    call.state.save("category", category, call.workspace)
    return Reply(category)


def delete(call: Call, category_id: str) -> Reply:
    category = _find(call, category_id)
    del call.workspace.categories[category_id]
    call.state.forget("category", category)
    for ticket in call.workspace.tickets.values():
        if ticket["categoryId"] == category_id:
            ticket["categoryId"] = None
            call.state.save("ticket", ticket, call.workspace)
    return call.gone(category)


def stats(call: Call) -> Reply:
    shown = ("id", "name", "color")
    return Reply(
        [
            {name: category[name] for name in shown}
            | {"ticketCount": call.workspace.count("categoryId", category["id"])}
            for category in call.workspace.categories.values()
        ]
    )


def reorder(call: Call) -> Reply:
    return Reply(ordering.reorder(call, "category", "categoryIds", call.workspace.categories))


def _find(call: Call, category_id: str) -> Record:
    category = call.workspace.categories.get(category_id)
    if category is None:
        raise not_found("Category")
    return category


ENDPOINTS = (
    Endpoint("POST", "categories", create, one(Category), _CREATE, status=201),
    Endpoint("GET", "categories", list_all, array(Category)),
    Endpoint("GET", "categories/stats", stats, array(CategoryStats)),
    Endpoint("POST", "categories/reorder", reorder, array(Category), _ORDER),
    Endpoint("GET", "categories/*", get, one(Category)),
    Endpoint("PATCH", "categories/*", update, one(Category), _CHANGE),
    Endpoint("DELETE", "categories/*", delete, gone(Category)),
)
