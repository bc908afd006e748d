"""``notifications preview`` and ``notifications check``, which need no setting at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_returns.returns.notifications.notification import NotificationKind
from tests.support.cli import run


def test_preview_writes_every_notification_and_a_page(tmp_path: Path) -> None:
    said = run("notifications", "preview", "--out", str(tmp_path), "--shop", "Acme")
    assert said.code == 0
    assert f"Wrote {2 * len(NotificationKind)} notifications" in said.text
    index = (tmp_path / "index.html").read_text()
    for kind in NotificationKind:
        for language in ("en", "de"):
            assert f'src="{language}/{kind}.html"' in index
            assert "Acme" in (tmp_path / language / f"{kind}.txt").read_text()


def test_preview_of_one_language(tmp_path: Path) -> None:
    said = run("notifications", "preview", "--out", str(tmp_path), "--language", "de", "--json")
    assert said.json["notifications"] == len(NotificationKind)
    assert not (tmp_path / "en").exists()
    said = run("notifications", "preview", "--out", str(tmp_path), "--language", "xx")
    assert said.code == 2
    assert "de, en" in said.text


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "refunded.txt").write_text("Paid\n\n{{ amuont }}")
    return tmp_path


def test_a_missing_variable_is_an_error_at_preview(own: Path, tmp_path: Path) -> None:
    said = run("notifications", "preview", "--out", str(tmp_path / "out"), "--templates", str(own))
    assert said.code == 1
    assert "en/refunded: 'amuont' is undefined; use one of order_id" in said.text


def test_check_finds_what_is_wrong(own: Path) -> None:
    (own / "en" / "refnuded.txt").write_text("Paid\n\nAll")
    said = run("notifications", "check", str(own), "--json")
    assert said.code == 1
    assert said.json["ok"] is False
    undefined, stray = said.json["problems"]
    assert "'amuont' is undefined" in undefined
    assert stray == "en/refnuded.txt is not the template of any notification"
    (own / "en" / "refnuded.txt").unlink()
    (own / "en" / "refunded.txt").write_text("Paid\n\n{{ amount | money if amount else '' }}!")
    said = run("notifications", "check", str(own))
    assert (said.code, said.text) == (0, "All templates are fine.")


def test_check_tries_a_return_of_which_nothing_is_known(own: Path) -> None:
    (own / "en" / "refunded.txt").write_text("Paid\n\n{{ amount | money }}")
    said = run("notifications", "check", str(own))
    assert said.code == 1
    assert "en/refunded failed (AttributeError)" in said.text
