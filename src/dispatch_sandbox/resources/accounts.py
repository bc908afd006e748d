"""The one account of a sandbox, and keys of it that see all workspaces, or some."""

from __future__ import annotations

import secrets

from dispatch_returns.client import Account, ApiKey, Usage
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Refusal, Reply, not_found
from dispatch_sandbox.endpoints import AccountCall, Endpoint, array, gone, one
from dispatch_sandbox.wire import Record, new_id

_SCOPE = checks.Form({"allBrands": checks.boolean, "brandIds": checks.texts})
_CREATE = checks.Form({**_SCOPE.checks, "name": checks.filled}, ("name",))


def me(call: AccountCall) -> Reply:
    return Reply(call.state.account)


def usage(call: AccountCall) -> Reply:
    workspaces = call.state.workspaces.values()
    month = call.state.now()[:7]
    tickets = [ticket for known in workspaces for ticket in known.tickets.values()]
    return Reply(
        {
            "ticketsThisMonth": sum(ticket["createdAt"][:7] == month for ticket in tickets),
            "ticketsTotal": len(tickets),
            "brandsCount": len(workspaces),
            "plan": {"name": "Sandbox", "ticketLimit": 1_000_000, "brandLimit": None},
        }
    )


def create_key(call: AccountCall) -> Reply:
    values = call.accept()
    key = f"sk_test_{secrets.token_hex(20)}"
    fresh: Record = {
        "id": new_id("key"),
        "name": values["name"],
        "keyPreview": f"sk_test_...{key[-4:]}",
        "allBrands": not values.get("brandIds"),
        "brandIds": [],
        "lastUsedAt": None,
        "createdAt": call.state.now(),
        "key": key,
    }
    record = fresh | values
    call.state.api_keys[record["id"]] = record
    call.state.save("api_key", record)
    return Reply(record)


def list_keys(call: AccountCall) -> Reply:
    return Reply([_show(record) for record in call.state.api_keys.values()])


def scope_key(call: AccountCall, key_id: str) -> Reply:
    record = _find(call, key_id)
    record.update(call.accept())
    call.state.save("api_key", record)
    # One source promises the key, another {"success": true}: here are both.
    return Reply(_show(record) | {"success": True})


def delete_key(call: AccountCall, key_id: str) -> Reply:
    record = call.state.api_keys.pop(_find(call, key_id)["id"])
    call.state.forget("api_key", record)
    return call.gone(_show(record))


def holder(call_key: Record | None) -> None:
    """Refuse what is the whole account's to a key that sees only some workspaces."""
    if call_key is not None and not call_key["allBrands"]:
        raise Refusal(403, "forbidden", "This key is for some workspaces only")


def _show(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "key"}


def _find(call: AccountCall, key_id: str) -> Record:
    record = call.state.api_keys.get(key_id)
    if record is None:
        raise not_found("API key")
    return record


ENDPOINTS = (
    Endpoint("GET", "accounts/me", me, one(Account)),
    Endpoint("GET", "accounts/me/usage", usage, one(Usage)),
    Endpoint("GET", "accounts/me/api-keys", list_keys, array(ApiKey)),
    Endpoint("POST", "accounts/me/api-keys", create_key, one(ApiKey), _CREATE, status=201),
    Endpoint("PATCH", "accounts/me/api-keys/*/scope", scope_key, one(ApiKey), _SCOPE),
    Endpoint("DELETE", "accounts/me/api-keys/*", delete_key, gone(ApiKey)),
)
