"""The whole API: nothing of the reference's table is missing, and the page that says so is true."""

from __future__ import annotations

import inspect

from dispatch_returns.client import (
    AsyncDispatchClient,
    AsyncPortalClient,
    DispatchClient,
    PortalClient,
)
from tests.support.api_table import CLIENTS, PAGE, REFERENCE, page, rows


def test_both_clients_call_every_row() -> None:
    assert [row.endpoint for row in rows() if not row.methods and row.endpoint in REFERENCE] == []


def test_the_sandbox_serves_every_row() -> None:
    assert [row.endpoint for row in rows() if not row.sandboxed] == []


def test_what_there_is_besides_the_reference_is_known() -> None:
    extra = [row.endpoint for row in rows() if row.endpoint not in REFERENCE]
    assert extra == ["GET B/fields/:id/:id"]  # one definition: the sandbox's alone


def test_the_table_lists_every_resource_of_both_clients() -> None:
    clients = (
        (DispatchClient("k", "w"), AsyncDispatchClient("k", "w"), ""),
        (PortalClient("t"), AsyncPortalClient("t"), "PortalClient."),
    )
    for blocking, asynchronous, name in clients:
        listed = {(it[1].rstrip("."), it[2]) for it in CLIENTS if it[0] == name and it[1]}
        for client in (blocking, asynchronous):
            have = {
                (attribute, type(it))
                for attribute, it in vars(client).items()
                if not attribute.startswith("_") and inspect.isclass(type(it))
            }
            assert have == listed


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.support.api_table"
