"""The blocking client's resources. Each method carries out an operation of `api.operations`.

A method has its operation's arguments and docstring, so that what the two clients offer cannot
drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from dispatch_returns.api.operation import Operation, Page, signature
from dispatch_returns.api.operations import (
    comments,
    customers,
    fields,
    statuses,
    tickets,
    webhooks,
    workspaces,
)
from dispatch_returns.api.scope import Scope

if TYPE_CHECKING:
    from dispatch_returns.api.client import DispatchClient

P = ParamSpec("P")
T = TypeVar("T")


class Resource:
    """The base of the resources."""

    def __init__(self, client: DispatchClient) -> None:
        self.client = client


def _method(
    build: Callable[Concatenate[Scope, P], Operation[T]],
) -> Callable[Concatenate[Resource, P], T]:
    """Return the method that carries out what `build` describes, with the same arguments."""

    @wraps(build)
    def method(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.client.call(build(self.client.scope, *args, **kwargs))

    method.__dict__["__signature__"] = signature(build, "{}")
    return method


def _pages(
    build: Callable[Concatenate[Scope, P], Operation[Page[T]]],
) -> Callable[Concatenate[Resource, P], Iterator[T]]:
    """Return the method that walks over all pages from the one `build` describes."""

    @wraps(build)
    def method(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self.client.walk(build(self.client.scope, *args, **kwargs))

    method.__dict__["__signature__"] = signature(build, "Iterator[{}]")
    return method


class Tickets(Resource):
    """Tickets of the workspace."""

    create = _method(tickets.create)
    get = _method(tickets.get)
    list = _pages(tickets.list_page)
    list_page = _method(tickets.list_page)
    update = _method(tickets.update)
    delete = _method(tickets.delete)


class Comments(Resource):
    """Comments and internal notes on a ticket."""

    create = _method(comments.create)
    list = _method(comments.list_all)
    get = _method(comments.get)
    update = _method(comments.update)
    delete = _method(comments.delete)


class Webhooks(Resource):
    """Webhooks of the workspace, and what was delivered to them."""

    create = _method(webhooks.create)
    list = _method(webhooks.list_all)
    get = _method(webhooks.get)
    delete = _method(webhooks.delete)
    deliveries = _method(webhooks.deliveries)


class Statuses(Resource):
    """Statuses that tickets of the workspace can have."""

    create = _method(statuses.create)
    list = _method(statuses.list_all)
    get = _method(statuses.get)
    update = _method(statuses.update)
    delete = _method(statuses.delete)


class Fields(Resource):
    """Definitions of custom fields."""

    list = _method(fields.list_all)
    create = _method(fields.create)
    update = _method(fields.update)
    delete = _method(fields.delete)


class Customers(Resource):
    """Customers of the workspace."""

    create = _method(customers.create)
    get = _method(customers.get)
    list = _pages(customers.list_page)
    list_page = _method(customers.list_page)
    search = _method(customers.search)
    update = _method(customers.update)


class Workspaces(Resource):
    """The workspaces the key can see."""

    list = _method(workspaces.list_all)
    get = _method(workspaces.get)
