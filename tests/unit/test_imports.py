"""Importing the package costs next to nothing, and each part imports only what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stores import open_store

# Not rich: httpx imports it for its own command where it is installed.
HEAVY = frozenset(
    {"alembic", "fastapi", "flask", "httpx", "opentelemetry", "psycopg", "pydantic", "sqlalchemy"}
    | {"starlette", "stripe", "tenacity", "typer", "uvicorn"}
)


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
        ("from dispatch_returns import refunds, webhooks", set[str]()),
        ("from dispatch_returns import DispatchClient", {"httpx", "pydantic", "tenacity"}),
        ("from dispatch_returns import Settings", {"pydantic"}),
        ("from dispatch_returns import Store", {"sqlalchemy"}),
        ("from dispatch_returns import Connector", {"httpx", "pydantic", "sqlalchemy", "tenacity"}),
        ("import dispatch_returns.webhooks.fastapi", {"sqlalchemy", "starlette"}),
        ("import dispatch_returns.webhooks.flask", {"flask", "sqlalchemy"}),
        ("import dispatch_returns.refunds.adapters.stripe", {"pydantic"}),
    ],
)
def test_an_import_brings_no_more_than_it_needs(statement: str, needs: set[str]) -> None:
    assert imported(statement) <= needs


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("--help", 0, "sandbox"),
        ("sandbox", 3, 'pip install "dispatch-returns[sandbox]"'),
        ("demo", 3, 'pip install "dispatch-returns[demo]"'),
    ],
)
def test_the_command_runs_without_the_sandboxs_extra(arguments: str, code: int, said: str) -> None:
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['jinja2', 'reportlab', 'starlette', 'stripe']))\n"
        "from dispatch_returns.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


def test_a_list_brings_no_client_and_no_migrations(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    url = f"sqlite:///{tmp_path}/returns.db"
    listing = "with redirect_stdout(io.StringIO()): main(['refunds', 'list'])"
    brought = imported(
        "import io, os",
        "from contextlib import redirect_stdout",
        f"os.environ['DISPATCH_RETURNS_DATABASE_URL'] = {url!r}",
        "from dispatch_returns.cli import main",
        f"exec({listing!r})",
    )
    assert "sqlalchemy" in brought
    assert brought <= {"pydantic", "sqlalchemy", "typer"}


def test_what_is_brought_is_noticed() -> None:
    assert imported("from dispatch_returns import Store") == {"sqlalchemy"}
