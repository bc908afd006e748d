"""Customers, also served as contacts: one for each email address."""

from __future__ import annotations

from dispatch_returns.client import Customer
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Problem, Reply, conflict, invalid, not_found
from dispatch_sandbox.endpoints import Call, Endpoint, array, gone, one, page
from dispatch_sandbox.index import Paging
from dispatch_sandbox.state import SandboxState
from dispatch_sandbox.wire import Record, new_id
from dispatch_sandbox.workspace import Workspace

_CHANGE = checks.Form(
    {
        "email": checks.email,
        "name": checks.nullable(checks.text),
        "companyId": checks.nullable(checks.text),
        "metadata": checks.mapping,
    }
)
_CREATE = checks.Form(_CHANGE.checks, required=("email",))
_SORTS = {"createdAt": "createdAt", "name": "name", "email": "email", "created_at": "createdAt"}


def create(call: Call) -> Reply:
    values = call.accept()
    _require_new(call.workspace, values["email"])
    return Reply(_add(call.state, call.workspace, values))


def get(call: Call, customer_id: str) -> Reply:
    return Reply(_find(call, customer_id))


def list_page(call: Call) -> Reply:
    company, wanted = call.query.get("companyId"), call.query.get("search", "")
    return Paging.read(call.query, _SORTS).page(
        call.workspace.customer_list,
        keep=lambda customer: (
            company in (None, customer["companyId"]) and _mentions(customer, wanted)
        ),
        show=lambda customer: customer,
    )


def search(call: Call) -> Reply:
    wanted = call.query.get("q")
    if not wanted:
        raise invalid(Problem("q", "is required"))
    customers = call.workspace.customers.values()
    return Reply([customer for customer in customers if _mentions(customer, wanted)])


def update(call: Call, customer_id: str) -> Reply:
    customer = _find(call, customer_id)
    values = call.accept()
    if "email" in values and call.workspace.customer(values["email"]) is not customer:
        _require_new(call.workspace, values["email"])
    if "metadata" in values and call.state.merges:
        values["metadata"] = customer["metadata"] | values["metadata"]
    del call.workspace.customers_by_email[customer["email"].lower()]
    call.workspace.customer_list.change(customer, values | {"updatedAt": call.state.now()})
    call.workspace.customers_by_email[customer["email"].lower()] = customer
    call.state.save("customer", customer, call.workspace)
    return Reply(customer)


def delete(call: Call, customer_id: str) -> Reply:
    """Delete the customer. The tickets stay, without a customer."""
    customer = _find(call, customer_id)
    del call.workspace.customers[customer_id]
    del call.workspace.customers_by_email[customer["email"].lower()]
    call.workspace.customer_list.remove(customer)
    call.state.forget("customer", customer)
    for ticket in call.workspace.tickets.values():
        if ticket["customerId"] == customer_id:
            ticket["customerId"] = None
            call.state.save("ticket", ticket, call.workspace)
    return call.gone(customer)


def link(state: SandboxState, workspace: Workspace, ticket_values: Record) -> str | None:
    """Return the id of a ticket's customer, who is created if the address is new."""
    email = ticket_values.get("customerEmail")
    if email is None:
        return None
    known = workspace.customer(email)
    if known is None:
        name = ticket_values.get("customerName")
        known = _add(state, workspace, {"email": email, "name": name})
    customer_id: str = known["id"]
    return customer_id


def _mentions(customer: Record, wanted: str) -> bool:
    return wanted.lower() in f"{customer['email']}\n{customer['name'] or ''}".lower()


def _add(state: SandboxState, workspace: Workspace, values: Record) -> Record:
    now = state.now()
    fresh: Record = {
        "id": new_id("cus"),
        "brandId": workspace.id,
        "email": values["email"],
        "name": None,
        "companyId": None,
        "metadata": {},
        "createdAt": now,
        "updatedAt": now,
    }
    customer = fresh | values
    workspace.add_customer(customer)
    state.save("customer", customer, workspace)
    data: Record = {name: customer[name] for name in ("id", "email", "name", "createdAt")}
    about: Record = {"customerId": data["id"], "customerEmail": data["email"]}
    data |= about | {"customerName": data["name"]}
    state.deliveries.emit(workspace, "customer.created", data)
    return customer


def _require_new(workspace: Workspace, email: str) -> None:
    if workspace.customer(email) is not None:
        raise conflict("A customer with this email exists already")


def _find(call: Call, customer_id: str) -> Record:
    customer = call.workspace.customers.get(customer_id)
    if customer is None:
        raise not_found("Customer")
    return customer


_SEARCH: dict[str, Record] = {"q": {"type": "string", "minLength": 1}}
_QUERY: dict[str, Record] = {"companyId": {"type": "string"}, "search": {"type": "string"}}

ENDPOINTS = tuple(
    endpoint
    for word in ("customers", "contacts")
    for endpoint in (
        Endpoint("POST", word, create, one(Customer), _CREATE, status=201),
        Endpoint("GET", word, list_page, page(Customer), query=_QUERY | Paging.query(_SORTS)),
        Endpoint(
            "GET", f"{word}/search", search, array(Customer), query=_SEARCH, required_query=("q",)
        ),
        Endpoint("GET", f"{word}/*", get, one(Customer)),
        Endpoint("PATCH", f"{word}/*", update, one(Customer), _CHANGE),
        Endpoint("DELETE", f"{word}/*", delete, gone(Customer)),
    )
)
