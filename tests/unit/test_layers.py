"""Imports point down, and only where the design lets them: read from the source.

Imports inside functions count, and so do those for types alone: knowing a type is knowing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "dispatch_returns"
SOURCE = Path(__file__).parents[2] / "src" / PACKAGE

# The mounts live in webhooks/, and stand above it.
MOUNTS = {
    "webhooks.asgi",
    "webhooks.django",
    "webhooks.fastapi",
    "webhooks.flask",
    "webhooks.wsgi",
}
LEVELS = [
    {"clock", "emails", "errors", "money", "plugins", "settings", "telemetry"},
    {"api", "store"},
    {"refunds", "webhooks"},
    {"workflow"},
    {"reconcile"},
    {"health", "runner"},
    {"connector"},
    {"sandbox", "webhooks.asgi", "webhooks.wsgi"},
    # Each is one of the two above in its framework's words.
    {"webhooks.django", "webhooks.fastapi", "webhooks.flask"},
    {"cli", "testing"},
]
GROUND = {
    "emails": set[str](),
    "clock": set[str](),
    "errors": set[str](),
    "money": {"errors"},
    "plugins": {"errors"},
    "settings": {"errors", "money"},
    "telemetry": set[str](),
}
SANDBOX_MAY = {"api.models", "errors", "webhooks.signature"}
# What no one has who did not ask for it, and the only places that may import it.
EXTRAS = {
    "easypost": {"workflow.labels"},
    "requests": {"workflow.labels"},
    "shippo": {"workflow.labels"},
    "anyascii": {"workflow.labels"},
    "babel": {"workflow.labels", "workflow.notices"},
    "idna": {"workflow.notices"},
    "celery": {"runner.celery"},
    "django": {"webhooks.django"},
    "font_roboto": {"workflow.labels"},
    "jinja2": {"sandbox", "workflow.notices", "workflow.timeline"},
    "reportlab": {"workflow.labels"},
    "fastapi": {"webhooks.fastapi"},
    "flask": {"webhooks.flask"},
    "opentelemetry": {"telemetry.otel"},
    "psycopg": {"store.postgres"},
    "pytest": {"testing"},
    "rich": {"cli"},
    "starlette": {"cli.demo", "sandbox", "webhooks.fastapi"},
    "stripe": {"cli.demo", "refunds.adapters.stripe"},
    "typer": {"cli"},
    "uvicorn": {"cli", "sandbox"},
}


class Import(NamedTuple):
    """`target` is a full dotted name; `name` may be a module in it, or something it defines."""

    target: str
    name: str | None
    line: int


@dataclass(frozen=True)
class Module:
    """One of our files: `name` is its place in the package, '' for the package itself."""

    name: str
    folder: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> Module:
        *folder, file = path.relative_to(SOURCE.parent).with_suffix("").parts
        name = folder[1:] if file == "__init__" else [*folder[1:], file]
        return cls(".".join(name), ".".join(folder), ast.parse(path.read_text(encoding="utf-8")))

    def imports(self) -> Iterator[Import]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, None, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                dots = "." * node.level
                target = resolve_name(f"{dots}{node.module or ''}", self.folder)
                yield from (Import(target, alias.name, node.lineno) for alias in node.names)


MODULES = [Module.read(path) for path in sorted(SOURCE.rglob("*.py"))]
NAMES = {module.name for module in MODULES}


def inner(imported: Import) -> str | None:
    """The module of ours that an import reaches; None for somebody else's, and for the version."""
    if imported.target.partition(".")[0] != PACKAGE or imported.name == "__version__":
        return None
    place = imported.target.removeprefix(PACKAGE).lstrip(".")
    deeper = ".".join(filter(None, (place, imported.name)))
    return deeper if deeper in NAMES else place


def unit(module: str) -> str:
    """The part of the design a module belongs to: a top folder or file, or a mount."""
    return module if module in MOUNTS else module.partition(".")[0]


def level(module: str) -> int:
    found = [number for number, units in enumerate(LEVELS) if unit(module) in units]
    assert len(found) == 1, f"{module}: what level is it on? Say so in LEVELS"
    return found[0]


def may(importer: str, imported: str) -> bool:
    """Whether the design lets `importer` know `imported` (both modules of ours)."""
    if unit(importer) == unit(imported):
        return True
    if unit(imported) in {"", "testing"}:  # "" is the package's own file, which is for users
        return False
    if importer == "webhooks" and imported in MOUNTS:  # its index names them, for type checkers
        return True
    if unit(importer) == "sandbox":
        return imported in SANDBOX_MAY
    if level(importer) == 0:
        return imported in GROUND[importer]
    return level(importer) > level(imported)


def test_imports_point_down() -> None:
    wrong = [
        f"{module.name}:{found.line} imports {place}"
        for module in MODULES
        if module.name  # the package's own file is the index of all the others
        for found in module.imports()
        if (place := inner(found)) is not None and not may(module.name, place)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("store.inbox", "store.schema", True),
        ("store.inbox", "errors", True),
        ("store.inbox", "api.models", False),
        ("api.models", "store", False),
        ("refunds.service", "store.ledger", True),
        ("refunds.service", "webhooks.events", False),
        ("refunds.service", "connector", False),
        ("webhooks.receiver", "webhooks.flask", False),
        ("webhooks.flask", "webhooks.receiver", True),
        ("webhooks.flask", "webhooks.fastapi", False),
        ("webhooks.flask", "webhooks.wsgi", True),
        ("webhooks.wsgi", "webhooks.flask", False),
        ("webhooks.django", "webhooks.wsgi", True),
        ("webhooks.django", "webhooks.flask", False),
        ("webhooks", "webhooks.flask", True),
        ("webhooks.flask", "connector", True),
        ("connector", "runner.threads", True),
        ("runner.threads", "connector", False),
        ("runner.celery", "workflow.queues", True),
        ("runner.celery", "connector", False),
        ("sandbox.app", "api.models", True),
        ("sandbox.app", "api.client", False),
        ("sandbox.app", "webhooks.signature", True),
        ("sandbox.app", "money", False),
        ("cli.demo", "sandbox.app", True),
        ("cli.demo", "testing", False),
        ("cli.demo", "", False),
        ("testing.contract", "refunds.adapter", True),
        ("money", "errors", True),
        ("errors", "money", False),
    ],
)
def test_the_rule_itself_says_yes_and_no(importer: str, imported: str, allowed: bool) -> None:
    assert may(importer, imported) is allowed


def test_an_optional_dependency_is_imported_only_in_its_place() -> None:
    wrong = [
        f"{module.name}:{found.line} imports {found.target}"
        for module in MODULES
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


def test_only_settings_reads_the_environment() -> None:
    readers = {
        module.name
        for module in MODULES
        if any(reads_environment(node) for node in ast.walk(module.tree))
    }
    assert readers <= {"settings"}


@pytest.mark.parametrize(
    "code", ["os.environ['X']", "from os import getenv", "Option(envvar='X')", "os.getenv('X')"]
)
def test_every_way_to_the_environment_is_known(code: str) -> None:
    assert any(reads_environment(node) for node in ast.walk(ast.parse(code)))
