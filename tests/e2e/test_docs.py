"""The docs: every Python example runs, every command exists, every setting and link is real."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns import DispatchClient
from dispatch_returns.connector.settings import VARIABLES
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.telemetry import otel
from tests.support import settings_table, structure

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
RECEIVER = (ROOT / "src/dispatch_returns/webhooks/receiver.py").read_text(encoding="utf-8")
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
COMMAND = str(Path(sys.executable).with_name("dispatch-returns"))

# The pages' own key and workspace, and a client that goes to the sandbox without saying so.
_PRELUDE = """
import json, os, warnings
warnings.simplefilter("error")
from dispatch_returns import client
for made in (
    client.DispatchClient, client.AsyncDispatchClient, client.PortalClient, client.AsyncPortalClient
):
    made.__init__.__kwdefaults__["base_url"] = os.environ["DISPATCH_BASE_URL"]
scope = {"__name__": "page"}
for block in json.loads(os.environ["BLOCKS"]):
    exec(compile(block, "page", "exec"), scope)
if "connector" in scope:
    scope["connector"].close()
"""


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    return structure.blocks(page.read_text(encoding="utf-8"), language)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    state = dispatch_sandbox.SandboxState(api_key="sk_live_...", workspaces=["ws_xxx"])
    with dispatch_sandbox.running(state=state) as box:
        workspace = {"api_key": "sk_live_...", "workspace": "ws_xxx", "base_url": box.api_url}
        _create_statuses(**workspace)
        yield os.environ | {
            "DISPATCH_API_KEY": "sk_live_...",
            "DISPATCH_WORKSPACE": "ws_xxx",
            "DISPATCH_BASE_URL": box.api_url,
            "DISPATCH_WEBHOOK_SECRET": "whsec_test123",
            "DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{tmp_path}/docs.db",
            "STRIPE_API_KEY": dispatch_sandbox.stripe.API_KEY,
            "STRIPE_BASE_URL": box.url,
        }


def _create_statuses(**workspace: str) -> None:
    with DispatchClient(**workspace) as client:  # type: ignore[arg-type]
        for key in ("return_requested", "item_received"):
            client.statuses.create(key=key, name=key)


QUICKSTART = ROOT / "docs" / "quickstart.md"
"""Its blocks are whole files, which tests/e2e/test_examples.py runs."""
TESTING = ROOT / "docs" / "testing.md"
"""Its blocks are files too, which tests/e2e/test_own_shop.py runs."""
RUN_ELSEWHERE = {QUICKSTART, TESTING}
WITH_PYTHON = [page for page in PAGES if page not in RUN_ELSEWHERE and blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_the_python_examples_run(page: Path, environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE],
        env=environment | {"BLOCKS": json.dumps(blocks(page, "python"))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_code_of_the_quickstart_is_that_of_the_examples() -> None:
    shown = re.findall(
        r"`([\w/]+\.py)`:\n\n```python\n(.*?)```\n", QUICKSTART.read_text("utf-8"), re.DOTALL
    )
    assert len(shown) == len(blocks(QUICKSTART, "python"))
    for name, code in shown:
        file = (ROOT / "examples" / name).read_text("utf-8")
        assert file.endswith(f"\n{code}"), name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_commands_exist(page: Path) -> None:
    shown = [*blocks(page, "console"), *blocks(page, "sh")]
    for line in "".join(shown).splitlines():
        command = line.removeprefix("$ ")
        if command.startswith("dispatch-returns "):
            words = shlex.split(command.removeprefix("dispatch-returns "), comments=True)
            known = _help([w for w in words[:2] if re.fullmatch(r"[a-z]+", w)])
            options = {word for word in words if word.startswith("--")} - {"--env-file"}
            assert all(option in known for option in options), line


def _help(words: list[str]) -> str:
    done = subprocess.run(
        [COMMAND, *words, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert all((page.parent / link).exists() for link in links), links


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert set(VARIABLES.values()) <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert text == settings_table.page(), "run: python -m tests.support.settings_table"


def test_every_reason_of_a_refund_is_documented() -> None:
    text = (ROOT / "docs" / "refunds.md").read_text(encoding="utf-8")
    assert [reason for reason in Reason if f"`{reason}`" not in text] == []


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    documented = set(
        re.findall(
            r"^\| `(dispatch_returns\.[a-z._]+)` \| (?:counter|hist|gauge)", text, re.MULTILINE
        )
    )
    assert documented == {
        *(f"{otel.NAME}.{it}" for it in otel.COUNTERS),
        *otel.GAUGES,
        otel.DURATION,
    }
    reasons = set(re.findall(r"refused\(\w+, \"(\w+)\"\)|reason=\"(\w+)\"", RECEIVER))
    assert [it for pair in reasons for it in pair if it and f"`{it}`" not in text] == []
    assert len(reasons) >= 5
