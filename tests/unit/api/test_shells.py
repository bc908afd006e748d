"""The two clients offer the same, and importing them costs next to nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

from dispatch_returns import api
from dispatch_returns.api import async_client, async_resources, client, resources

RESOURCES = {
    "tickets": ["create", "delete", "get", "list", "list_page", "update"],
    "comments": ["create", "delete", "get", "list", "update"],
    "webhooks": ["create", "delete", "deliveries", "get", "list"],
    "statuses": ["create", "delete", "get", "list", "update"],
    "fields": ["create", "delete", "list", "update"],
    "customers": ["create", "get", "list", "list_page", "search", "update"],
    "workspaces": ["get", "list"],
}
METHODS = [(resource, method) for resource in RESOURCES for method in RESOURCES[resource]]


@pytest.fixture(scope="module")
def blocking() -> client.DispatchClient:
    return client.DispatchClient("k", "w")


@pytest.fixture(scope="module")
def asynchronous() -> async_client.AsyncDispatchClient:
    return async_client.AsyncDispatchClient("k", "w")


def public(it: object) -> list[str]:
    return [name for name in dir(it) if not name.startswith("_")]


def test_the_clients_have_the_same_resources(
    blocking: client.DispatchClient, asynchronous: async_client.AsyncDispatchClient
) -> None:
    rest = {"call", "walk", "scope"}
    assert set(public(blocking)) == {*RESOURCES, *rest, "close"}
    assert set(public(asynchronous)) == {*RESOURCES, *rest, "aclose"}


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_resource_has_the_same_methods_in_both(
    blocking: client.DispatchClient,
    asynchronous: async_client.AsyncDispatchClient,
    resource: str,
) -> None:
    wanted = sorted([*RESOURCES[resource], "client"])
    assert public(getattr(blocking, resource)) == wanted
    assert public(getattr(asynchronous, resource)) == wanted


@pytest.mark.parametrize(("resource", "method"), METHODS)
def test_a_method_has_the_same_parameters_types_and_docstring_in_both(
    blocking: client.DispatchClient,
    asynchronous: async_client.AsyncDispatchClient,
    resource: str,
    method: str,
) -> None:
    ours = getattr(getattr(blocking, resource), method)
    theirs = getattr(getattr(asynchronous, resource), method)
    ours_signature, theirs_signature = inspect.signature(ours), inspect.signature(theirs)
    assert ours_signature.parameters == theirs_signature.parameters
    answer = str(ours_signature.return_annotation)
    assert answer.replace("Iterator[", "AsyncIterator[") == theirs_signature.return_annotation
    assert "Operation" not in answer
    assert ours.__doc__ == theirs.__doc__
    assert ours.__doc__


def kinds(signature: inspect.Signature) -> dict[str, Any]:
    return {name: parameter.kind for name, parameter in signature.parameters.items()}


@pytest.mark.parametrize(("resource", "method"), METHODS)
def test_all_but_ids_are_keyword_only(
    blocking: client.DispatchClient, resource: str, method: str
) -> None:
    found = kinds(inspect.signature(getattr(getattr(blocking, resource), method)))
    keyword = inspect.Parameter.KEYWORD_ONLY
    positional = [name for name, kind in found.items() if kind is not keyword]
    assert all(name.endswith("_id") or name in {"key", "text"} for name in positional)


def test_the_clients_take_the_same_arguments() -> None:
    ours = inspect.signature(client.DispatchClient).parameters
    theirs = inspect.signature(async_client.AsyncDispatchClient).parameters
    assert list(ours) == list(theirs)
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing == {"http_client", "sleep"}


@pytest.mark.parametrize("module", [resources, async_resources])
def test_the_methods_of_the_resources_are_three_lines_at_most(module: object) -> None:
    for maker in ("_method", "_pages"):
        source = inspect.getsource(getattr(module, maker))
        inner = source[source.index("def method") :].split("method.__dict__")[0].strip()
        assert len(inner.splitlines()) <= 3


def test_the_public_names_are_these() -> None:
    assert dir(api) == sorted(api.__all__)
    assert sorted(api.__all__) == [
        "AsyncDispatchClient", "Comment", "Customer", "Delivery", "DispatchClient", "Field",
        "Hooks", "JsonValue", "Page", "RequestInfo", "ResponseInfo", "RetryInfo", "Status",
        "Style", "Ticket", "UNSET", "Unset", "Webhook", "Workspace",
    ]  # fmt: skip


@pytest.mark.parametrize("name", api.__all__)
def test_each_public_name_can_be_had(name: str) -> None:
    assert getattr(api, name) is getattr(api, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nope'"):
        api.Nope  # noqa: B018 - looking it up is the act


def modules_after(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    shown = subprocess.check_output([sys.executable, "-c", script], text=True, timeout=60)
    return {name.partition(".")[0] for name in shown.split()}


def test_the_package_alone_imports_no_http_client() -> None:
    assert not {"httpx", "pydantic", "tenacity"} & modules_after("import dispatch_returns.api")


@pytest.mark.parametrize("name", ["DispatchClient", "AsyncDispatchClient"])
def test_importing_a_client_imports_neither_pydantic_nor_tenacity(name: str) -> None:
    found = modules_after(f"from dispatch_returns.api import {name}")
    assert "httpx" in found
    assert not {"pydantic", "tenacity", "sqlalchemy", "stripe"} & found


def test_a_call_that_succeeds_does_not_import_tenacity() -> None:
    called = """
import httpx
from dispatch_returns.api import DispatchClient
answer = httpx.MockTransport(lambda _: httpx.Response(200, json=[]))
DispatchClient("k", "w", http_client=httpx.Client(transport=answer)).webhooks.list()
"""
    found = modules_after(called)
    assert "pydantic" in found
    assert "tenacity" not in found
