"""Six floors: a room stands above all that it imports, and no file is part of a circle.

Read from the source. Imports inside functions count, and so do those for types alone.
"""

from __future__ import annotations

import ast

import pytest

from tests.support import structure
from tests.support.structure import SANDBOX

# What no one has who did not ask for it, and the only places that may import it.
EXTRAS = {
    "easypost": {"dispatch_returns.returns.labels"},
    "requests": {"dispatch_returns.returns.labels"},
    "shippo": {"dispatch_returns.returns.labels"},
    "anyascii": {"dispatch_returns.returns.labels"},
    "babel": {
        "dispatch_returns.portal",
        "dispatch_returns.returns.labels",
        "dispatch_returns.returns.notifications",
    },
    "idna": {"dispatch_returns.returns.notifications"},
    "cryptography": {
        "dispatch_returns.refunds.adapters.paypal",
        "dispatch_sandbox.paypal.signing",
    },
    "celery": {"dispatch_returns.connector.celery"},
    "django": {"dispatch_returns.webhooks.django"},
    "font_roboto": {"dispatch_returns.returns.labels"},
    "jinja2": {
        SANDBOX,
        "dispatch_returns.portal",
        "dispatch_returns.returns.notifications",
        "dispatch_returns.returns.timeline",
    },
    "reportlab": {"dispatch_returns.returns.labels"},
    "fastapi": {"dispatch_returns.webhooks.fastapi"},
    "flask": {"dispatch_returns.webhooks.flask"},
    "opentelemetry": {"dispatch_returns.telemetry.otel"},
    "psycopg": {"dispatch_returns.store.postgres"},
    "pytest": {"dispatch_returns.testing", "dispatch_sandbox.pytest_plugin"},
    "rich": {"dispatch_returns.cli", "dispatch_sandbox.demo"},
    "starlette": {SANDBOX, "dispatch_returns.webhooks.fastapi"},
    "stripe": {"dispatch_sandbox.demo", "dispatch_returns.refunds.adapters.stripe"},
    "typer": {"dispatch_returns.cli", "dispatch_sandbox.command", "dispatch_sandbox.demo.command"},
    "uvicorn": {"dispatch_returns.cli", SANDBOX},
}


def test_imports_point_down() -> None:
    assert structure.arrows_up() == []


def test_no_file_is_part_of_a_circle() -> None:
    assert structure.circle(structure.known()) == []


def test_a_circle_would_be_found() -> None:
    assert set(structure.circle([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])) == {
        "a",
        "b",
        "c",
    }
    assert structure.circle([("a", "b"), ("a", "c"), ("b", "c")]) == []


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("dispatch_returns.store.inbox", "dispatch_returns.store.schema", True),
        ("dispatch_returns.store.inbox", "dispatch_returns.errors", True),
        ("dispatch_returns.store.inbox", "dispatch_returns.client.models", False),
        ("dispatch_returns.store.inbox", "dispatch_returns.refunds.ledger", False),
        ("dispatch_returns.refunds.service", "dispatch_returns.refunds.ledger", True),
        ("dispatch_returns.refunds.service", "dispatch_returns.webhooks.events", False),
        ("dispatch_returns.refunds.service", "dispatch_returns.connector.connector", False),
        ("dispatch_returns.webhooks.flask", "dispatch_returns.connector.health", False),
        ("dispatch_returns.connector.connector", "dispatch_returns.returns.service", True),
        ("dispatch_returns.returns.service", "dispatch_returns.connector.settings", False),
        ("dispatch_returns.cli.app", "dispatch_returns", False),
        ("dispatch_returns.cli.app", "dispatch_sandbox.command", False),
        ("dispatch_sandbox.app", "dispatch_returns.client", True),
        ("dispatch_returns.errors", "dispatch_returns.money", False),
    ],
)
def test_the_rule_itself_says_yes_and_no(importer: str, imported: str, allowed: bool) -> None:
    assert structure.may(importer, imported) is allowed


def test_no_public_class_name_stands_twice_in_a_package() -> None:
    assert structure.twice() == {}


def test_an_optional_dependency_is_imported_only_in_its_place() -> None:
    wrong = [
        f"{module.name}:{found.line} imports {found.target}"
        for module in structure.modules().values()
        for found in module.imports()
        if (places := EXTRAS.get(found.target.partition(".")[0])) is not None
        and not any(f"{module.name}.".startswith(f"{place}.") for place in places)
    ]
    assert wrong == []


def reads_environment(node: ast.AST) -> bool:
    """Whether this is `os.environ`, `os.getenv` in any spelling, or typer's `envvar=`."""
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "request":
            return False  # WSGI's word for a request's own values
        return node.attr in {"environ", "environb", "getenv", "getenvb"}
    if isinstance(node, ast.ImportFrom) and node.module == "os":
        return any(alias.name.startswith(("environ", "getenv")) for alias in node.names)
    return isinstance(node, ast.keyword) and node.arg == "envvar"


def test_only_one_module_reads_the_environment() -> None:
    readers = {
        module.name
        for module in structure.modules().values()
        if any(reads_environment(node) for node in ast.walk(module.tree))
    }
    assert readers <= {"dispatch_returns.environment"}


@pytest.mark.parametrize(
    "code", ["os.environ['X']", "from os import getenv", "Option(envvar='X')", "os.getenv('X')"]
)
def test_every_way_to_the_environment_is_known(code: str) -> None:
    assert any(reads_environment(node) for node in ast.walk(ast.parse(code)))
