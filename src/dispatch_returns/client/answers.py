"""Reading successful answers: from JSON to models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from pydantic import ValidationError as ModelError

from dispatch_returns.client import arguments
from dispatch_returns.client.exact_json import is_too_deep, loads, loads_shallow
from dispatch_returns.client.models import Model
from dispatch_returns.client.operation import (
    Operation,
    Page,
    Query,
    UnreadableError,
    UnreadableItem,
    nothing,
)
from dispatch_returns.errors import PaginationError

__all__ = ["keyed", "many", "nothing", "one", "pages"]

M = TypeVar("M", bound=Model)

_LONGEST_ID = 255


def pages(
    path: str,
    model: type[M],
    query: Query,
    *,
    limit: int,
    cursor: str | None,
    most: int = 100,
) -> Operation[Page[M]]:
    """Return a GET of one page, which knows how to ask for the page after it."""
    size = ("limit", str(arguments.page_limit(limit, most)))
    position = () if cursor is None else (("cursor", arguments.text("cursor", cursor)),)
    return Operation(
        "GET",
        path,
        lambda content: _page(model, content, cursor),
        (*query, size, *position),
        following=lambda after: pages(path, model, query, limit=limit, cursor=after, most=most),
    )


def one(model: type[M]) -> Callable[[bytes], M]:
    """Return a reader of one object."""
    return lambda content: _model(model, _json(content))


def many(model: type[M]) -> Callable[[bytes], list[M]]:
    """Return a reader of a bare array."""
    return lambda content: _items(model, _json(content), "the answer")


def keyed(model: type[M]) -> Callable[[bytes], list[M]]:
    """Return a reader of a bare array, or of an object of objects by their ids."""

    def read(content: bytes) -> list[M]:
        value = _json(content)
        if isinstance(value, dict):
            by_id = cast("dict[str, Any]", value)
            value = [{"id": key, **_object(item, key)} for key, item in by_id.items()]
        return _items(model, value, "the answer")

    return read


def _page(model: type[M], content: bytes, sent: str | None) -> Page[M]:
    answer = _object(_page_json(content), "the answer")
    pagination = _object(answer.get("pagination"), "pagination")
    has_more = pagination.get("hasMore", pagination.get("has_more"))
    if not isinstance(has_more, bool):
        raise UnreadableError("pagination.hasMore is missing or not true or false")
    cursor = _cursor(pagination) if has_more else None
    if cursor is not None and cursor == sent:
        raise UnreadableError("the cursor repeats", PaginationError)
    data: list[M] = []
    unreadable: list[UnreadableItem] = []
    for item in _list(answer.get("data"), "data"):
        try:
            data.append(_model(model, _shallow(item)))
        except UnreadableError as error:
            unreadable.append(UnreadableItem(_id_of(item), error.problem))
    return Page(data, cursor, has_more, tuple(unreadable))


def _page_json(content: bytes) -> Any:
    try:
        return loads(content)
    except ValueError:
        pass
    try:
        return loads_shallow(content)
    except ValueError:
        raise UnreadableError("it is not JSON") from None


def _shallow(item: Any) -> Any:
    if is_too_deep(item):
        raise UnreadableError("nested too deep")
    return item


def _id_of(item: Any) -> str | None:
    found = cast("dict[str, Any]", item).get("id") if isinstance(item, dict) else None
    return found if isinstance(found, str) and len(found) <= _LONGEST_ID else None


def _cursor(pagination: Mapping[str, Any]) -> str:
    # The vendor's SDK reads `cursor` and its UI `nextCursor`; where both are there,
    # `cursor` can only be an echo of the one that was sent.
    for name in ("nextCursor", "next_cursor", "cursor"):
        if isinstance(found := pagination.get(name), str) and found:
            return found
    raise UnreadableError("more pages are promised without a cursor", PaginationError)


def _items(model: type[M], value: Any, name: str) -> list[M]:
    return [_model(model, item) for item in _list(value, name)]


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableError(f"{name} is not a list")
    return value  # pyright: ignore[reportUnknownVariableType]


def _model(model: type[M], value: Any) -> M:
    try:
        return model.model_validate(value)
    except ModelError as invalid:
        # The error's own text, and its cause, would show the values that were refused.
        first = invalid.errors()[:5]
        problem = ", ".join(
            f"{'.'.join(map(str, it['loc'])) or 'it'}: {it['type']}" for it in first
        )
    raise UnreadableError(problem)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableError(f"{name} is not an object")
    return value  # pyright: ignore[reportUnknownVariableType]


def _json(content: bytes) -> Any:
    try:
        return loads(content)
    except ValueError:
        raise UnreadableError("it is not JSON") from None
