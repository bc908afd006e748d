"""Each promise that a page makes names the test that holds it, and those tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
NAMED = re.compile(r"`?\b(tests/[\w/.-]+?)(?:::(\w+))?(?=[`)\s,;]|\.\s|$)", re.MULTILINE)

# What makes no promise: it says how to write something or what was decided, or is generated.
NO_PROMISE = {
    "docs/api-coverage.md",  # generated, and held complete by tests/unit/client/test_coverage.py
    "docs/benchmarks.md",  # measured, and written by a command
    *(f"docs/decisions/{page.name}" for page in (ROOT / "docs" / "decisions").glob("*.md")),
    "docs/getting-started.md",  # its blocks run in tests/e2e/test_docs.py
    "docs/settings.md",  # held complete by tests/e2e/test_docs.py
    "docs/upgrading.md",  # what moved
}


def section(page: str, heading: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    assert found, f"{page} has no section {heading}"
    return found[1]


def rows(table: str) -> list[str]:
    """The rows of a section's tables, without their heads."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    heads = {n - 1 for n, line in enumerate(lines) if set(line) <= set("|-: ")}
    return [line for n, line in enumerate(lines) if n not in heads and not set(line) <= set("|-: ")]


def exists(path: str, name: str | None) -> bool:
    place = ROOT / path.rstrip(".")
    if name is None:
        return place.exists()
    return place.is_file() and f"def {name}(" in place.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert [f"{path}::{name}" for path, name in named if not exists(path, name or None)] == []


def test_a_test_that_is_not_there_would_be_found() -> None:
    (named,) = NAMED.findall("Held by `tests/unit/test_promises.py::test_of_nothing`.")
    assert not exists(*named)
    assert not exists("tests/unit/test_nothing.py", None)
    assert exists("tests/unit/test_promises.py", "test_a_test_that_is_not_there_would_be_found")


def test_each_promise_of_the_readme_names_its_test() -> None:
    promises = re.findall(r"^- (.*)$", section("README.md", "What it promises"), re.MULTILINE)
    assert len(promises) >= 7
    assert [it for it in promises if not NAMED.search(it)] == []


@pytest.mark.parametrize(
    "heading",
    ["Who can make money move, and what stops each", "What holds it"],
)
def test_each_row_of_security_names_its_test(heading: str) -> None:
    promises = rows(section("SECURITY.md", heading))
    assert len(promises) >= 7
    assert [it for it in promises if not NAMED.search(it)] == []


def test_each_page_that_promises_names_its_tests() -> None:
    silent = [
        name
        for page in PAGES
        if (name := page.relative_to(ROOT).as_posix()) not in NO_PROMISE
        and not name.startswith("docs/resources/")  # how each endpoint is called, run as it stands
        and not NAMED.search(page.read_text(encoding="utf-8"))
    ]
    assert silent == []


def test_the_files_that_the_map_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?!tests/)(?:\w+/)+\w+\.py|refunds/adapters/)`", text))
    assert len(named) > 30
    source = ROOT / "src" / "dispatch_returns"
    assert [it for it in sorted(named) if not (source / it).exists()] == []


def test_each_decision_has_a_number_of_its_own_and_each_number_cited_is_one() -> None:
    pages = [
        page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "decisions").glob("*.md")
    ]
    numbers = [it for page in pages for it in re.findall(r"^## (D-\d+) ", page, re.MULTILINE)]
    assert len(set(numbers)) == len(numbers)
    sources = [*PAGES, *(ROOT / "src").rglob("*.py")]
    cited = {it for page in sources for it in re.findall(r"\bD-\d+\b", page.read_text("utf-8"))}
    assert cited <= set(numbers)
