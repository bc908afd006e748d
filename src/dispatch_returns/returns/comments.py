"""Comments that are written once, whatever is repeated."""

from __future__ import annotations

from dispatch_returns.client import DispatchClient

_MARK = "dispatch_returns"
"""The metadata key by which a comment of ours is recognised."""


def write_once(
    client: DispatchClient, ticket_id: str, body: str, key: str, *, internal: bool, again: bool
) -> None:
    """Write a comment under `key`. With `again` it may be there already, and is looked for first.

    How long the API remembers an idempotency key is not documented, so that alone is not enough.
    """
    if again and _is_there(client, ticket_id, key):
        return
    client.comments.create(
        ticket_id, body=body, internal=internal, metadata={_MARK: key}, idempotency_key=key
    )


def _is_there(client: DispatchClient, ticket_id: str, key: str) -> bool:
    return any((it.metadata or {}).get(_MARK) == key for it in client.comments.list(ticket_id))
