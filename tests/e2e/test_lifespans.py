"""The documented way to combine lifespans, as it stands in docs/receivers.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dispatch_returns.connector.connector import Connector

PAGE = Path(__file__).parents[2] / "docs" / "receivers.md"


def test_the_documented_lifespans_run_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("### An application with a lifespan")[2]
    block = re.search("```python\n(.*?)```", section, re.DOTALL)
    assert block is not None
    for name, value in {
        "DISPATCH_API_KEY": "sk_test_1",
        "DISPATCH_WORKSPACE": "ws_1",
        "DISPATCH_BASE_URL": "http://127.0.0.1:9",
        "DISPATCH_RETURNS_ADAPTERS": "manual",
        "DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{tmp_path}/returns.db",
    }.items():
        monkeypatch.setenv(name, value)
    page: dict[str, Any] = {"__name__": "page"}
    exec(compile(block[1], str(PAGE), "exec", dont_inherit=True), page)
    connector: Connector = page["connector"]
    with connector:
        with TestClient(page["app"]) as client:
            assert connector.runner.is_running
            assert client.post("/returns/webhooks/dispatch").status_code == 401
        assert not connector.runner.is_running
