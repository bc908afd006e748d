"""The two clients offer the same, and importing them costs next to nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

from dispatch_returns.client import client

RESOURCES = {
    "accounts": ["me", "usage"],
    "api_keys": ["create", "delete", "list", "set_scope"],
    "workspaces": ["create", "delete", "get", "list", "preview_delete", "update"],
    "tickets": [
        "bulk", "create", "delete", "get", "list", "list_page", "mark_spam", "merge", "update",
    ],
    "comments": ["create", "delete", "get", "list", "update"],
    "attachments": ["confirm", "create", "delete", "download", "get", "list", "upload"],
    "webhooks": ["create", "delete", "deliveries", "get", "list"],
    "statuses": ["create", "delete", "get", "list", "reorder", "stats", "update"],
    "fields": ["all", "create", "delete", "list", "reorder", "update"],
    "customers": ["create", "delete", "get", "list", "list_page", "search", "update"],
    "contacts": ["create", "delete", "get", "list", "list_page", "search", "update"],
    "categories": ["create", "delete", "get", "list", "reorder", "stats", "update"],
    "tags": ["create", "delete", "list", "merge", "update"],
    "portal": ["create_token", "send_magic_link"],
}  # fmt: skip
PORTAL = {
    "tickets": ["comment", "create", "get", "list", "list_page"],
    "attachments": ["confirm", "create", "download", "get", "list", "upload"],
}
METHODS = [(resource, method) for resource in RESOURCES for method in RESOURCES[resource]]
PORTAL_METHODS = [(resource, method) for resource in PORTAL for method in PORTAL[resource]]
FILES = {"source", "target"}
OF_A_CLIENT = {
    "call", "call_raw", "rate_limit", "run", "scope", "walk", "watch_clock", "with_options"
}  # fmt: skip


@pytest.fixture(scope="module")
def blocking() -> client.DispatchClient:
    return client.DispatchClient("k", "w")


@pytest.fixture(scope="module")
def asynchronous() -> client.AsyncDispatchClient:
    return client.AsyncDispatchClient("k", "w")


def public(it: object) -> list[str]:
    return [name for name in dir(it) if not name.startswith("_")]


def test_the_clients_have_the_same_resources(
    blocking: client.DispatchClient, asynchronous: client.AsyncDispatchClient
) -> None:
    assert set(public(blocking)) == {*RESOURCES, *OF_A_CLIENT, "close"}
    assert set(public(asynchronous)) == {*RESOURCES, *OF_A_CLIENT, "aclose"}


def test_the_portals_clients_have_the_same_resources() -> None:
    rest = {*PORTAL, *OF_A_CLIENT, "refresh", "verify"}
    assert set(public(client.PortalClient("t"))) == {*rest, "close"}
    assert set(public(client.AsyncPortalClient("t"))) == {*rest, "aclose"}


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_resource_has_the_same_methods_in_both(
    blocking: client.DispatchClient,
    asynchronous: client.AsyncDispatchClient,
    resource: str,
) -> None:
    wanted = sorted([*RESOURCES[resource], "with_options", "with_raw_response"])
    assert public(getattr(blocking, resource)) == wanted
    assert public(getattr(asynchronous, resource)) == wanted


def same(ours: Any, theirs: Any) -> None:
    ours_signature, theirs_signature = inspect.signature(ours), inspect.signature(theirs)
    assert ours_signature.parameters == theirs_signature.parameters
    assert "scope" not in ours_signature.parameters
    answer = str(ours_signature.return_annotation)
    assert answer.replace("Iterator[", "AsyncIterator[") == theirs_signature.return_annotation
    assert "Operation" not in answer
    assert "Flow" not in answer
    assert ours.__doc__ == theirs.__doc__
    assert ours.__doc__


@pytest.mark.parametrize(("resource", "method"), METHODS)
def test_a_method_has_the_same_parameters_types_and_docstring_in_both(
    blocking: client.DispatchClient,
    asynchronous: client.AsyncDispatchClient,
    resource: str,
    method: str,
) -> None:
    ours = getattr(getattr(blocking, resource), method)
    theirs = getattr(getattr(asynchronous, resource), method)
    same(ours, theirs)
    assert ours.__name__ == theirs.__name__ == method


@pytest.mark.parametrize(("resource", "method"), PORTAL_METHODS)
def test_a_method_of_the_portal_is_the_same_in_both(resource: str, method: str) -> None:
    clients = client.PortalClient("t"), client.AsyncPortalClient("t")
    same(*(getattr(getattr(it, resource), method) for it in clients))


@pytest.mark.parametrize(("resource", "method"), METHODS)
def test_the_raw_view_has_the_same_arguments_and_another_answer(
    blocking: client.DispatchClient, resource: str, method: str
) -> None:
    plain = getattr(blocking, resource)
    answer = str(inspect.signature(getattr(plain, method)).return_annotation)
    if method in {"download", "upload"} or answer.startswith("Iterator"):
        with pytest.raises(AttributeError, match="more than one answer"):
            getattr(plain.with_raw_response, method)
        return
    raw = inspect.signature(getattr(plain.with_raw_response, method))
    assert raw.parameters == inspect.signature(getattr(plain, method)).parameters
    assert raw.return_annotation == f"RawResponse[{answer}]"


def kinds(signature: inspect.Signature) -> dict[str, Any]:
    return {name: parameter.kind for name, parameter in signature.parameters.items()}


@pytest.mark.parametrize(("resource", "method"), METHODS)
def test_all_but_ids_are_keyword_only(
    blocking: client.DispatchClient, resource: str, method: str
) -> None:
    found = kinds(inspect.signature(getattr(getattr(blocking, resource), method)))
    keyword = inspect.Parameter.KEYWORD_ONLY
    positional = [name for name, kind in found.items() if kind is not keyword]
    assert all(name.endswith("_id") or name in {"key", "text"} | FILES for name in positional)


def test_the_clients_take_the_same_arguments() -> None:
    ours = inspect.signature(client.DispatchClient).parameters
    theirs = inspect.signature(client.AsyncDispatchClient).parameters
    assert list(ours) == list(theirs)
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing == {"http_client", "sleep"}


def test_the_clients_of_the_portal_take_the_same_arguments() -> None:
    ours = inspect.signature(client.PortalClient).parameters
    theirs = inspect.signature(client.AsyncPortalClient).parameters
    assert list(ours) == list(theirs)
    assert {it for it in ours if ours[it] != theirs[it]} == {"http_client", "sleep"}


def modules_after(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    shown = subprocess.check_output([sys.executable, "-c", script], text=True, timeout=60)
    return {name.partition(".")[0] for name in shown.split()}


def test_the_package_alone_imports_no_http_client() -> None:
    assert not {"httpx", "pydantic", "tenacity"} & modules_after("import dispatch_returns.client")


@pytest.mark.parametrize("name", ["DispatchClient", "AsyncDispatchClient"])
def test_importing_a_client_imports_no_pydantic(name: str) -> None:
    found = modules_after(f"from dispatch_returns.client import {name}")
    assert "httpx" in found
    assert not {"pydantic", "sqlalchemy", "stripe"} & found
