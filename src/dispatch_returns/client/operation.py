"""What a call is, before it is made: its workspace and wire style, what it sends, what it reads.

No I/O. The API has two wire styles. `workspaces` is the returns guide's: ``/workspaces/{id}`` and
snake_case. `brands` is the vendor SDK's: ``/brands/{id}``, camelCase, and ``title`` for a ticket's
subject. Only that SDK documents the paths with neither word (the account, the customer portal).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args

from dispatch_returns.client import arguments
from dispatch_returns.client.arguments import UNSET
from dispatch_returns.client.exact_json import dumps
from dispatch_returns.client.transfer import Download, Upload
from dispatch_returns.errors import APIResponseError, InvalidArgumentError, PaginationError

T = TypeVar("T")

Style: TypeAlias = Literal["workspaces", "brands"]
Query: TypeAlias = tuple[tuple[str, str], ...]


def camel(name: str) -> str:
    """Return the snake_case `name` in camelCase."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_RENAMED = {
    "subject": "title",
    "workspace_id": "brandId",
    "workspace_ids": "brandIds",
    "all_workspaces": "allBrands",
}


@functools.cache
def brands_name(name: str) -> str:
    """Return what the `brands` style calls what we call `name`."""
    return _RENAMED.get(name) or camel(name)


@dataclass(frozen=True, slots=True)
class Scope:
    """A workspace, and the wire style in which it is addressed. Both are checked.

    `people` is the word for customers in a path: the API serves them under both.
    """

    workspace: str
    style: Style = "workspaces"
    people: Literal["customers", "contacts"] = "customers"

    def __post_init__(self) -> None:
        arguments.segment("workspace", self.workspace)
        if self.style not in get_args(Style):
            raise InvalidArgumentError("style", 'must be "workspaces" or "brands"')

    def path(self, *segments: str) -> str:
        """Return the path of something inside the workspace; `segments` are checked ones."""
        return "/".join(("", self.style, self.workspace, *segments))

    def name(self, name: str) -> str:
        """Return the API's name for what we call `name`."""
        return name if self.style == "workspaces" else brands_name(name)

    def body(self, fields: Mapping[str, object]) -> bytes:
        """Return `fields` as a JSON object. Their names are this style's; names and order inside
        the values stay as they are.
        """
        entries = [f'"{self.name(name)}":{dumps(item, name)}' for name, item in fields.items()]
        return f"{{{','.join(entries)}}}".encode("ascii")


class UnreadableError(Exception):
    """An answer does not match the request. ``problem`` names the field, never a value."""

    def __init__(self, problem: str, raises: type[APIResponseError] = APIResponseError) -> None:
        super().__init__(problem)
        self.problem = problem
        self.raises = raises


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One call: what to send, and ``answer``, which reads the body of a good answer.

    ``following`` is there for pages: from a cursor it makes the operation for the next one.
    What may be a customer's stays out of the ``repr``.
    """

    method: str
    path: str
    answer: Callable[[bytes], T] = field(repr=False)
    query: Query = field(default=(), repr=False)
    content: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    following: Callable[[str], Operation[T]] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class UnreadableItem:
    """An item of a page that cannot be understood. ``problem`` names its fields, never a value."""

    id: str | None
    problem: str

    def __str__(self) -> str:
        return f"item {self.id or 'without an id'}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. ``cursor`` asks for the next one; there is one while ``has_more``.

    ``unreadable`` lists the items missing from ``data``: one bad item hides no other.
    """

    data: list[T]
    cursor: str | None
    has_more: bool
    unreadable: tuple[UnreadableItem, ...] = ()


@dataclass(frozen=True, slots=True)
class RawResponse(Generic[T]):
    """What ``with_raw_response`` returns: ``value`` is what the call otherwise returns.

    ``headers`` are found in upper and in lower case. The ``repr`` shows neither them nor a
    customer's data.
    """

    status_code: int
    request_id: str | None
    headers: Mapping[str, str] = field(repr=False)
    value: T = field(repr=False)


def get(path: str, answer: Callable[[bytes], T], query: Query = ()) -> Operation[T]:
    """Return a GET."""
    return Operation("GET", path, answer, query)


def post(
    scope: Scope,
    path: str,
    answer: Callable[[bytes], T],
    fields: Mapping[str, object],
    idempotency_key: str | None,
) -> Operation[T]:
    """Return a POST of those `fields` that are not None."""
    if idempotency_key is not None:
        arguments.token("idempotency_key", idempotency_key)
    given = {name: value for name, value in fields.items() if value is not None}
    return Operation("POST", path, answer, (), scope.body(given), idempotency_key)


def patch(
    scope: Scope, path: str, answer: Callable[[bytes], T], fields: Mapping[str, object]
) -> Operation[T]:
    """Return a PATCH of those `fields` that are not `UNSET`: None clears a field."""
    return Operation("PATCH", path, answer, (), changes(scope, fields))


def changes(scope: Scope, fields: Mapping[str, object]) -> bytes:
    """Return a body of those `fields` that are not `UNSET`."""
    return scope.body({name: value for name, value in fields.items() if value is not UNSET})


def delete(path: str) -> Operation[None]:
    """Return a DELETE. Its answer may be empty or JSON, and is ignored."""
    return Operation("DELETE", path, nothing)


def query(scope: Scope, filters: Mapping[str, str | list[str] | datetime | None]) -> Query:
    """Return those `filters` that are not None as query parameters, lists with commas."""
    return tuple(
        (scope.name(name), _parameter(name, value))
        for name, value in filters.items()
        if value is not None
    )


def signature(build: Callable[..., Operation[Any]], answer: str) -> inspect.Signature:
    """Return the signature of the method made of `build`, for ``help`` and for editors.

    `answer` is what the method returns, ``{}`` in it standing for what is asked for.
    """
    asked = inspect.signature(build)
    # The annotation is a string: Operation[Ticket], Operation[Page[Ticket]] or Flow[Ticket].
    wanted = asked.return_annotation.partition("[")[2].removesuffix("]")
    item = wanted.removeprefix("Page[").removesuffix("]") if "Iterator" in answer else wanted
    _scope, *parameters = asked.parameters.values()
    return asked.replace(parameters=parameters, return_annotation=answer.format(item))


def nothing(content: bytes) -> None:
    """Ignore an answer."""
    del content


def _parameter(name: str, value: str | list[str] | datetime) -> str:
    if isinstance(value, datetime):
        return arguments.moment(name, value)
    return arguments.text(name, ",".join(value) if isinstance(value, list) else value)


class Walk(Generic[T]):
    """A walk over all pages: ``operation`` is the page to fetch now, None at the end."""

    def __init__(self, first: Operation[Page[T]]) -> None:
        self.operation: Operation[Page[T]] | None = first
        self._seen: set[str] = set()

    def take(self, page: Page[T]) -> list[T]:
        """Return what the fetched `page` holds, and turn to the next one.

        Raises `PaginationError` if its cursor was there before: the pages would never end, and
        `APIResponseError` where it holds an item that cannot be understood.
        """
        operation, self.operation = self.operation, None
        if page.unreadable:
            named = "; ".join(map(str, page.unreadable))
            raise APIResponseError(f"{operation}: the answer cannot be understood: {named}")
        if page.cursor is not None and operation is not None and operation.following is not None:
            if page.cursor in self._seen:
                raise PaginationError(f"{operation}: a page cursor repeats")
            self._seen.add(page.cursor)
            self.operation = operation.following(page.cursor)
        return page.data


Step: TypeAlias = Operation[Any] | Upload | Download
Flow: TypeAlias = Generator[Step, Any, T]
"""Several calls that belong together, such as the three of an upload.

A generator: it yields the next step and is sent its result, so one description serves the
blocking and the async client.
"""


def ask(operation: Operation[T]) -> Flow[T]:
    """Carry out `operation` as one step of a flow, and return its answer with its type."""
    answer: T = yield operation
    return answer
