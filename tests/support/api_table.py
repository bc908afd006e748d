"""The rows of the API's endpoint table, and what of them the clients and the sandbox have.

``python -m tests.support.api_table`` writes docs/api-coverage.md; a test holds it current.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dispatch_returns.client import resources
from dispatch_returns.client.operation import Scope
from dispatch_returns.client.views import Method
from dispatch_sandbox import resources as served

PAGE = Path(__file__).parents[2] / "docs" / "api-coverage.md"

# B is the workspace: /workspaces/:id in one style, /brands/:id in the other; BS is all of them.
_TABLE = """
GET /accounts/me
GET /accounts/me/usage
GET /accounts/me/api-keys
POST /accounts/me/api-keys
PATCH /accounts/me/api-keys/:id/scope
DELETE /accounts/me/api-keys/:id
GET BS
POST BS
GET B
PATCH B
DELETE B
POST B/tickets
GET B/tickets
GET B/tickets/:id
PATCH B/tickets/:id
DELETE B/tickets/:id
POST B/tickets/:id/spam
POST B/tickets/:id/merge
POST B/tickets/bulk
GET B/tickets/:id/comments
POST B/tickets/:id/comments
GET B/tickets/:id/comments/:id
PATCH B/tickets/:id/comments/:id
DELETE B/tickets/:id/comments/:id
POST B/tickets/:id/attachments
POST B/tickets/:id/attachments/:id/confirm
GET B/tickets/:id/attachments
GET B/tickets/:id/attachments/:id
DELETE B/tickets/:id/attachments/:id
GET B/webhooks
POST B/webhooks
GET B/webhooks/:id
DELETE B/webhooks/:id
GET B/webhooks/:id/deliveries
GET B/statuses
POST B/statuses
GET B/statuses/:id
PATCH B/statuses/:id
DELETE B/statuses/:id
GET B/statuses/stats
POST B/statuses/reorder
GET B/fields
GET B/fields/:id
POST B/fields/:id
PATCH B/fields/:id/:id
DELETE B/fields/:id/:id
POST B/fields/:id/reorder
GET B/customers
POST B/customers
GET B/customers/:id
PATCH B/customers/:id
DELETE B/customers/:id
GET B/customers/search
GET B/contacts
POST B/contacts
GET B/contacts/:id
PATCH B/contacts/:id
DELETE B/contacts/:id
GET B/contacts/search
GET B/categories
POST B/categories
GET B/categories/:id
PATCH B/categories/:id
DELETE B/categories/:id
GET B/categories/stats
POST B/categories/reorder
GET B/tags
POST B/tags
PATCH B/tags/:id
DELETE B/tags/:id
POST B/tags/:id/merge
POST B/portal/token
POST B/portal/magic-link
POST /portal/verify
POST /portal/refresh
GET /portal/tickets
POST /portal/tickets
GET /portal/tickets/:id
POST /portal/tickets/:id/comments
POST /portal/tickets/attachments/pending
POST /portal/tickets/attachments/pending/:id/confirm
POST /portal/tickets/:id/attachments
POST /portal/tickets/:id/attachments/:id/confirm
GET /portal/tickets/:id/attachments
GET /portal/tickets/:id/attachments/:id
"""
REFERENCE = _TABLE.strip().splitlines()
_INTRODUCTION = (
    "Made from the code by `python -m tests.support.api_table`; a test holds it current and"
    " complete. Each method is there in the blocking and in the async client, which are bound"
    " from one description, and runs against the sandbox through both, in both wire styles."
    " `B` is `/workspaces/:id` or `/brands/:id`, `BS` is `/workspaces` or `/brands`. A path"
    " that names no workspace has one style, camelCase."
)
PRESIGNED = "PUT uploadUrl"
"""The one row that is no path of the API's."""

# What each operation is called with, to see where it goes: whatever its signature asks for.
_ARGUMENTS: dict[str, Any] = {
    "confirm": True, "events": ["*"], "ticket_ids": ["ID"], "source_ticket_ids": ["ID"],
    "source_tag_ids": ["ID"], "status_ids": ["ID"], "category_ids": ["ID"], "keys": ["ID"],
    "type": "text", "size": 1, "action": "close",
}  # fmt: skip
_STYLES = (Scope("WORKSPACE"), Scope("WORKSPACE", "brands"))


class Row(NamedTuple):
    """An endpoint, the methods that call it by client, and whether the sandbox serves it."""

    endpoint: str
    methods: list[str]
    sandboxed: bool

    @property
    def styles(self) -> str:
        """In which styles it can be spoken of; one that names no workspace has but one."""
        return "both" if " B" in self.endpoint else "one"


def rows() -> list[Row]:
    """Return a row for each of the reference's, and for whatever there is besides."""
    called, sandboxed = _called(), set(_served())
    extra = sorted(({*called} | sandboxed) - {*REFERENCE})
    return [
        Row(endpoint, called.get(endpoint, []), endpoint in sandboxed)
        for endpoint in (*REFERENCE, *extra)
    ]


def _called() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, endpoint in _methods():
        found.setdefault(endpoint, []).append(name)
    return found


def _methods() -> Iterator[tuple[str, str]]:
    for client, attribute, kind, people in CLIENTS:
        for name, method in vars(kind).items():
            if not isinstance(method, Method):
                continue
            for arguments in _calls(method.build, client):
                ways = {
                    _place(method.build(scope, **arguments), scope)
                    for scope in (Scope(it.workspace, it.style, people) for it in _STYLES)
                }
                assert len(ways) == 1, f"{attribute}.{name} differs between the styles: {ways}"
                yield f"{client}{attribute}{name}", ways.pop()


CLIENTS: list[tuple[str, str, Any, Any]] = [
    ("", "accounts.", resources.Accounts, "customers"),
    ("", "api_keys.", resources.ApiKeys, "customers"),
    ("", "workspaces.", resources.Workspaces, "customers"),
    ("", "tickets.", resources.Tickets, "customers"),
    ("", "comments.", resources.Comments, "customers"),
    ("", "attachments.", resources.Attachments, "customers"),
    ("", "webhooks.", resources.Webhooks, "customers"),
    ("", "statuses.", resources.Statuses, "customers"),
    ("", "fields.", resources.Fields, "customers"),
    ("", "customers.", resources.Customers, "customers"),
    ("", "contacts.", resources.Customers, "contacts"),
    ("", "categories.", resources.Categories, "customers"),
    ("", "tags.", resources.Tags, "customers"),
    ("", "portal.", resources.Portal, "customers"),
    ("PortalClient.", "", resources.PortalSession, "customers"),
    ("PortalClient.", "tickets.", resources.PortalTickets, "customers"),
    ("PortalClient.", "attachments.", resources.PortalAttachments, "customers"),
]


def _calls(build: Any, client: str) -> list[dict[str, Any]]:
    _scope, *parameters = inspect.signature(build).parameters.values()
    needed = {it.name: _ARGUMENTS.get(it.name, "ID") for it in parameters if it.default is it.empty}
    pending = client and any(it.name == "ticket_id" and it.default is None for it in parameters)
    return [needed, needed | {"ticket_id": "ID"}] if pending else [needed]


def _place(operation: Any, scope: Scope) -> str:
    path = operation.path.replace(f"/{scope.style}/WORKSPACE", "B")
    path = re.sub(r"^/(workspaces|brands)/ID$", "B", path)
    path = re.sub(r"^/(workspaces|brands)$", "BS", path)
    path = re.sub(r"(?<=/fields/)(ticket|customer)(?=/|$)", "ID", path)
    return f"{operation.method} {re.sub('(?<=/)ID(?=/|$)', ':id', path)}"


def _served() -> Iterator[str]:
    for endpoints, base in (
        (served.ENDPOINTS, "B/"),
        (served.ROOT_ENDPOINTS, "BS/"),
        (served.ACCOUNT_ENDPOINTS, "/"),
        (served.OPEN_ENDPOINTS, "/"),
        (served.PORTAL_ENDPOINTS, "/"),
    ):
        for it in endpoints:
            yield f"{it.method} {(base + it.path).rstrip('/').replace('*', ':id')}"


def page() -> str:
    """Return docs/api-coverage.md."""
    found = rows()
    lines = [
        "# The whole API",
        "",
        _INTRODUCTION,
        "",
        "| endpoint | client, sync | client, async | sandbox | style |",
        "|---|---|---|---|---|",
    ]
    for row in found:
        sync = ", ".join(f"`{name}`" for name in row.methods) or "-"
        waits = "the same, awaited" if row.methods else "-"
        lines.append(
            f"| `{row.endpoint}` | {sync} | {waits} | {'yes' if row.sandboxed else '-'}"
            f" | {row.styles} |"
        )
    uploads = "`attachments.upload`, `PortalClient.attachments.upload`"
    lines.append(f"| `{PRESIGNED}` | {uploads} | the same, awaited | yes | - |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
