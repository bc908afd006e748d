"""Our packages as their source says it: modules, what each imports, and the circles among them.

Imports inside functions count, and so do those for types alone: knowing a type is knowing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = "dispatch_returns"
SANDBOX = "dispatch_sandbox"
# A room stands above all that it imports.
FLOORS = [
    {"_faces", "_version"},
    {"clock", "deliveries", "emails", "environment", "errors", "telemetry"},
    {"client", "money", "plugins", "store"},
    {"refunds", "webhooks"},
    {"returns"},
    {"connector", "portal", "testing"},
    {"cli"},
]
# They hand on what is below them, and nothing of ours needs them.
INDEXES = {PACKAGE, SANDBOX, f"{PACKAGE}.__main__"}


class Import(NamedTuple):
    """`target` is a full dotted name; `name` may be a module in it, or something it defines."""

    target: str
    name: str | None
    line: int


@dataclass(frozen=True)
class Module:
    """One of our files, by its full dotted name."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """What a relative import begins from."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    @property
    def room(self) -> str:
        """The top folder or file, '' for the package's own file."""
        return f"{self.name}.".split(".")[1]

    def defined(self) -> Iterator[str]:
        """The names of its own functions, classes and values."""
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            targets = node.targets if isinstance(node, ast.Assign) else []
            yield from (it.id for it in targets if isinstance(it, ast.Name))

    def imports(self) -> Iterator[Import]:
        """Each name that it imports, of ours and of others."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, None, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                dots = "." * node.level
                target = resolve_name(f"{dots}{node.module or ''}", self.package)
                yield from (Import(target, alias.name, node.lineno) for alias in node.names)


@cache
def modules() -> Mapping[str, Module]:
    """All of our modules, by name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = list(path.relative_to(SOURCE).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return found


def reached(imported: Import) -> str | None:
    """The module of ours that an import reaches; None for that of others."""
    deeper = f"{imported.target}.{imported.name}"
    if deeper in modules():
        return deeper
    return imported.target if imported.target in modules() else None


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [dedent(block) for block in found]


def room(name: str) -> str:
    """The room of a module's name."""
    return f"{name}.".split(".")[1]


def circle(edges: Iterable[tuple[str, str]]) -> list[str]:
    """One circle among the imports, as the modules on its way; empty where there is none."""
    graph: dict[str, set[str]] = {}
    for importer, imported in edges:
        if importer != imported:
            graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        way: list[str] = error.args[1]
        return way
    return []


def edges() -> list[tuple[str, str, Import]]:
    """Every import of one module of ours by another: importer, imported, and where."""
    return [
        (module.name, place, found)
        for module in modules().values()
        for found in module.imports()
        if (place := reached(found)) is not None
    ]


def known() -> list[tuple[str, str]]:
    """Which module knows which."""
    return [(importer, imported) for importer, imported, _ in edges()]


def floor(module: str) -> int:
    """The floor of a module, 0 the ground."""
    found = [number for number, rooms in enumerate(FLOORS) if room(module) in rooms]
    assert len(found) == 1, f"{module}: what floor is it on? Say so in FLOORS"
    return found[0]


def may(importer: str, imported: str) -> bool:
    """Whether the design lets `importer` know `imported`."""
    if importer in INDEXES or importer.startswith(f"{SANDBOX}."):
        return True
    if imported in INDEXES or imported.startswith(f"{SANDBOX}."):
        return False
    return room(importer) == room(imported) or floor(importer) > floor(imported)


def arrows_up() -> list[str]:
    """The imports that the design forbids."""
    return [
        f"{importer}:{found.line} imports {imported}"
        for importer, imported, found in edges()
        if not may(importer, imported)
    ]


def twice() -> dict[str, list[str]]:
    """The public classes of one package that share a name, and where they stand."""
    places: dict[str, list[str]] = {}
    for module in modules().values():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                package = module.name.partition(".")[0]
                places.setdefault(f"{package}: {node.name}", []).append(module.name)
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}
