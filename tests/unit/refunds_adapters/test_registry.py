"""Refund adapters of any installed package, found by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.refunds.adapters.manual import ManualAdapter
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.refunds.registry import available, build_adapter, load_adapter

ACME = """
    from dispatch_returns.refunds.adapters.manual import ManualAdapter

    class AcmeRefunds(ManualAdapter):
        name = "acme"

    not_an_adapter = object()
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay a package down as pip would: a module, and a dist-info with its entry point."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    def install(distribution: str, name: str, target: str, source: str = ACME) -> None:
        module = target.partition(":")[0]
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(dedent(source))
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        group = "[dispatch_returns.refund_adapters]"
        (info / "entry_points.txt").write_text(f"{group}\n{name} = {target}\n")

    return install


def test_ours_are_there() -> None:
    assert {"manual", "stripe"} <= set(available())
    found: list[object] = [load_adapter("stripe"), load_adapter("manual")]
    assert found == [StripeAdapter, ManualAdapter]


def test_a_package_that_is_installed_is_found(install: Install) -> None:
    install("acme-refunds", "acme", "acme_refunds:AcmeRefunds")
    assert "acme" in available()
    adapter = build_adapter("acme", {"currency": "EUR"})
    assert adapter.name == "acme"


def test_an_unknown_name_lists_what_is_installed() -> None:
    with pytest.raises(ConfigurationError, match=r"'strype' \(installed: .*manual, .*stripe"):
        load_adapter("strype")


def test_two_packages_with_one_name_are_refused(install: Install) -> None:
    install("acme-refunds", "acme", "acme_refunds:AcmeRefunds")
    install("other-refunds", "acme", "other_refunds:AcmeRefunds")
    with pytest.raises(ConfigurationError, match="acme-refunds, other-refunds"):
        load_adapter("acme")
    assert available().count("acme") == 1


def test_a_name_of_ours_cannot_be_taken_over_in_silence(install: Install) -> None:
    install("evil-refunds", "stripe", "evil_refunds:AcmeRefunds")
    with pytest.raises(ConfigurationError, match="dispatch-returns, evil-refunds"):
        load_adapter("stripe")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "AttributeError"),
    ],
)
def test_one_that_cannot_be_imported_names_its_package(
    install: Install, source: str, says: str
) -> None:
    install("acme-refunds", "acme", "acme_refunds:AcmeRefunds", source)
    with pytest.raises(ConfigurationError, match=rf"of acme-refunds cannot be imported \({says}"):
        load_adapter("acme")


def test_one_that_is_no_adapter_class_is_refused(install: Install) -> None:
    install("acme-refunds", "acme", "acme_refunds:not_an_adapter")
    with pytest.raises(ConfigurationError, match="acme-refunds has no options_model"):
        load_adapter("acme")
