from __future__ import annotations

from collections.abc import Iterator

import pytest
import stripe

from tests.support.stripe_sandbox import Sandbox, Stage, sandbox_on, serving


@pytest.fixture(scope="session", name="served_stage")
def _served_stage() -> Iterator[tuple[Stage, str]]:
    stage = Stage()
    with serving(stage) as url:
        yield stage, url


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe, "enable_telemetry", False)


@pytest.fixture
def sandbox(served_stage: tuple[Stage, str]) -> Iterator[Sandbox]:
    stage, url = served_stage
    with sandbox_on(url, stage) as made:
        yield made
