"""The faces are the public API: pinned, complete, and all that docs and the sandbox import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import dispatch_returns
from tests.support import structure
from tests.support.faces import FACES
from tests.support.structure import PACKAGE, SANDBOX, Import, Module

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
OURS = (PACKAGE, SANDBOX)


def objections(found: Import) -> Iterator[str]:
    """Say what is wrong with an import of ours by somebody who may know the faces only."""
    if found.target.partition(".")[0] not in OURS:
        return
    here = f"line {found.line}: {found.target}"
    if found.name is not None and f"{found.target}.{found.name}" in FACES:
        return  # `from dispatch_returns.returns import labels`
    if found.target not in FACES:
        yield f"{here} is no face"
    elif found.name is not None and found.name not in FACES[found.target]:
        yield f"{here} does not hand on {found.name}"


def problems(path: Path, code: str) -> list[str]:
    """Return what is wrong with the imports of some code."""
    imports = Module(path.stem, path, ast.parse(code)).imports()
    return [f"{path.name}, {objection}" for found in imports for objection in objections(found)]


def python_of(page: Path) -> str:
    """Return the Python blocks of a page, one after the other."""
    blocks = structure.blocks(page.read_text(encoding="utf-8"), "python")
    return "\n".join(blocks)


@pytest.mark.parametrize("face", FACES)
def test_the_public_names_are_these(face: str) -> None:
    module = import_module(face)
    assert tuple(module.__all__) == FACES[face]
    assert set(FACES[face]) <= set(dir(module))


@pytest.mark.parametrize("face", FACES)
def test_each_public_name_can_be_had(face: str) -> None:
    module = import_module(face)
    assert all(getattr(module, name) is getattr(module, name) for name in FACES[face])


@pytest.mark.parametrize(
    "face", [face for face in FACES if structure.modules()[face].path.name == "__init__.py"]
)
def test_dir_of_a_room_lists_its_face(face: str) -> None:
    module = import_module(face)
    assert dir(module) == sorted(module.__all__)


@pytest.mark.parametrize("face", FACES)
def test_type_checkers_see_what_runs(face: str) -> None:
    here = structure.modules()[face]
    seen = {found.name: found.target for found in here.imports() if found.name in FACES[face]}
    for name, home in seen.items():
        assert name is not None
        its_own = f"{home}.{name}" in structure.modules()
        wanted = import_module(f"{home}.{name}") if its_own else getattr(import_module(home), name)
        assert getattr(import_module(face), name) is wanted, f"{face} has another {name}"
    assert set(FACES[face]) <= {*seen, *here.defined()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_docs_import_from_faces_only(page: Path) -> None:
    assert problems(page, python_of(page)) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_examples_import_from_faces_only(path: Path) -> None:
    assert problems(path, path.read_text(encoding="utf-8")) == []


def test_the_sandbox_knows_the_faces_only() -> None:
    wrong = [
        f"{module.name}, {objection}"
        for module in structure.modules().values()
        if module.name.startswith(SANDBOX)
        for found in module.imports()
        if found.target.startswith(PACKAGE)
        for objection in objections(found)
    ]
    assert wrong == []


def test_a_face_is_for_the_rooms_above_it() -> None:
    wrong = [
        f"{importer}:{found.line} imports its own face, {imported}"
        for importer, imported, found in structure.edges()
        if imported in FACES and importer.startswith(f"{imported}.")
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("from dispatch_returns.refunds import RefundAdapter", False),
        ("from dispatch_returns.returns import labels", False),
        ("import dispatch_returns.webhooks.flask", False),
        ("import json", False),
        ("from dispatch_returns.refunds.adapter import RefundAdapter", True),
        ("from dispatch_returns.refunds import RefundService", True),
        ("from dispatch_returns.returns import records", True),
        ("import dispatch_returns.store.schema", True),
    ],
)
def test_the_rule_itself_says_yes_and_no(code: str, wrong: bool) -> None:
    assert bool(problems(Path("x.py"), code)) is wrong


def test_a_class_comes_from_its_own_module() -> None:
    from dispatch_returns.money import Money

    assert dispatch_returns.Money is Money


@pytest.mark.parametrize("face", FACES)
def test_an_unknown_name_is_an_attribute_error(face: str) -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'Nope'$"):
        getattr(import_module(face), "Nope")  # noqa: B009 - the name is known to none of them
