"""What holds for every test: a clean environment, Hypothesis' profiles, no silent skip in CI."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

# No deadline: a busy machine is not a failure. In CI the same examples each time.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "dev")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--long`` also runs what takes minutes, such as the whole chaos run."""
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out, rather than skip them: in CI a skip would be a question."""
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if item not in long]
    config.hook.pytest_deselected(items=long)


def pytest_configure() -> None:
    """Take the developer's own settings away: a test sets what it needs, and nothing else counts.

    `STRIPE_TEST_KEY` is how one asks for the tests against Stripe's test mode, so it stays.
    """
    for name in list(os.environ):
        if name.startswith(("DISPATCH_", "STRIPE_")) and name != "STRIPE_TEST_KEY":
            del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_where_ci_lacks_something(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_where_ci_lacks_something(report)
    return report


def fail_where_ci_lacks_something(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip whose reason begins with "needs " into a failure in CI, which has everything."""
    if not (IN_CI and report.skipped and isinstance(report.longrepr, tuple)):
        return
    path, line, reason = report.longrepr
    if reason.removeprefix("Skipped: ").startswith("needs "):
        report.outcome = "failed"
        report.longrepr = f"{path}:{line}: with CI=true nothing may be missing, and this {reason}"
