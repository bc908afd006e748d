"""Importing the package costs next to nothing, and each part imports only what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"httpx", "stripe", "sqlalchemy", "alembic", "fastapi", "flask", "pydantic", "starlette",
         "tenacity", "typer", "rich", "uvicorn", "psycopg"}  # fmt: skip


def imported(*statements: str) -> set[str]:
    """The heavy packages that a fresh interpreter holds after `statements`."""
    # Measuring coverage starts in every interpreter, and imports for itself.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    script = "; ".join([*statements, "import json, sys", "print(json.dumps(list(sys.modules)))"])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    modules: list[str] = json.loads(done.stdout)
    return {module.partition(".")[0] for module in modules} & HEAVY


@pytest.mark.parametrize(
    ("statement", "needs"),
    [
        ("import dispatch_returns", set[str]()),
        ("import dispatch_returns; dir(dispatch_returns)", set[str]()),
        ("from dispatch_returns import Money, errors", set[str]()),
        ("from dispatch_returns import webhooks", set[str]()),
        ("from dispatch_returns import Store", {"sqlalchemy"}),
    ],
)
def test_an_import_brings_only_what_it_needs(statement: str, needs: set[str]) -> None:
    assert imported(statement) == needs
