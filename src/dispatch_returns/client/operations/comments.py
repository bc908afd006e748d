"""Comments: ``/workspaces/{id}/tickets/{id}/comments``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.exact_json import JsonValue
from dispatch_returns.client.models import Comment
from dispatch_returns.client.operation import Operation, Scope
from dispatch_returns.errors import InvalidArgumentError

_COMMENT = answers.one(Comment)


def create(
    scope: Scope,
    ticket_id: str,
    *,
    body: str,
    internal: bool = False,
    author_name: str | None = None,
    author_type: Literal["CUSTOMER", "AGENT", "SYSTEM"] | None = None,
    parent_id: str | None = None,
    metadata: Mapping[str, JsonValue] | None = None,
    set_status: str | None = None,
    cc: Sequence[str] | None = None,
    idempotency_key: str | None = None,
) -> Operation[Comment]:
    """Write a comment and return it.

    An `internal` one is a note the customer does not see (``metadata.isInternal``).
    `set_status` changes the ticket's status with it, to anything but ``closed``. With the
    same `idempotency_key` a repeated call writes no second comment.
    """
    if set_status == "closed":
        raise InvalidArgumentError("set_status", "a comment cannot close a ticket; update it")
    if internal:
        metadata = {**(metadata or {}), "isInternal": True}
    fields = {
        "body": arguments.text("body", body),
        "author_name": author_name,
        "author_type": author_type,
        "parent_id": parent_id,
        "metadata": metadata,
        "set_status": set_status,
        "cc": None if cc is None else arguments.strings("cc", cc),
    }
    return operation.post(scope, _path(scope, ticket_id), _COMMENT, fields, idempotency_key)


def list_all(scope: Scope, ticket_id: str) -> Operation[list[Comment]]:
    """Return the ticket's comments."""
    return operation.get(_path(scope, ticket_id), answers.many(Comment))


def get(scope: Scope, ticket_id: str, comment_id: str) -> Operation[Comment]:
    """Return the comment."""
    return operation.get(_path(scope, ticket_id, comment_id), _COMMENT)


def update(
    scope: Scope,
    ticket_id: str,
    comment_id: str,
    *,
    body: str | Unset = UNSET,
    metadata: Mapping[str, JsonValue] | Unset = UNSET,
) -> Operation[Comment]:
    """Change what is given and return the comment."""
    fields = {
        "body": body if body is UNSET else arguments.text("body", body),
        "metadata": metadata,
    }
    return operation.patch(scope, _path(scope, ticket_id, comment_id), _COMMENT, fields)


def delete(scope: Scope, ticket_id: str, comment_id: str) -> Operation[None]:
    """Delete the comment."""
    return operation.delete(_path(scope, ticket_id, comment_id))


def _path(scope: Scope, ticket_id: str, *comment_id: str) -> str:
    of_ticket = ("tickets", arguments.segment("ticket_id", ticket_id), "comments")
    return scope.path(*of_ticket, *(arguments.segment("comment_id", it) for it in comment_id))
