from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dispatch_returns.cli import db
from dispatch_returns.connector.settings import MIN_KEEP_EVENTS
from dispatch_returns.store.schema import REVISION
from tests.support.cli import Shop, run


def at(path: Path) -> dict[str, str]:
    return {"DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{path}"}


def test_upgrade_makes_the_database_and_says_so(tmp_path: Path) -> None:
    said = run("db", "upgrade", environment=at(tmp_path / "new.db"))
    assert said.code == 0
    assert said.text == f"The database was empty and is at {REVISION} now."
    assert (tmp_path / "new.db").is_file()


def test_upgrading_twice_does_nothing_the_second_time(tmp_path: Path) -> None:
    first = run("db", "upgrade", "--json", environment=at(tmp_path / "new.db"))
    second = run("db", "upgrade", "--json", environment=at(tmp_path / "new.db"))
    assert first.json == {"from": None, "to": REVISION, "changed": True}
    assert second.json == {"from": REVISION, "to": REVISION, "changed": False}


def test_the_default_is_a_file_in_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("db", "upgrade").code == 0
    assert (tmp_path / "dispatch-returns.db").is_file()


def test_a_folder_that_is_not_there_is_one_sentence_and_exit_4(tmp_path: Path) -> None:
    said = run("db", "upgrade", environment=at(tmp_path / "no" / "such.db"))
    assert said.code == 4
    assert said.err.startswith("Error: the database cannot be used now")
    assert said.err.count("\n") == 1


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    text = "not a database, but somebody's letter " * 100
    (tmp_path / "letter.txt").write_text(text)
    said = run("db", "upgrade", environment=at(tmp_path / "letter.txt"))
    assert said.code == 4
    assert "file is not a database" in said.err
    assert (tmp_path / "letter.txt").read_text() == text


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    run("db", "upgrade", environment=at(tmp_path / "new.db"))
    db = sqlite3.connect(tmp_path / "new.db")
    with db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    said = run("db", "upgrade", environment=at(tmp_path / "new.db"))
    assert said.code == 3
    assert "9999" in said.err
    assert "upgrade dispatch-returns" in said.err


def test_a_url_that_is_none_is_a_mistake_in_the_settings() -> None:
    said = run("db", "upgrade", environment={"DISPATCH_RETURNS_DATABASE_URL": "returns.db"})
    assert said.code == 3
    assert "sqlite:///" in said.err


def test_looking_makes_no_database(tmp_path: Path) -> None:
    for command in (["events", "list"], ["refunds", "list"], ["events", "replay", "1"]):
        said = run(*command, environment=at(tmp_path / "typo.db"))
        assert said.code == 4
        assert f"there is no database at {tmp_path}/typo.db" in said.text
    assert list(tmp_path.iterdir()) == []


def test_acting_makes_no_database_either(bare_shop: Shop) -> None:
    said = bare_shop.run("refunds", "cancel", "rfd_1")
    assert said.code == 4
    assert list(bare_shop.folder.iterdir()) == []


def test_thinning_says_how_many_it_deletes_and_is_recorded(shop: Shop) -> None:
    for number in range(3):
        shop.event(f"tkt_{number}", f"evt_{number}", "ticket.deleted")
    shop.work()
    db = sqlite3.connect(shop.folder / "returns.db")
    with db:
        db.execute("UPDATE inbox SET received_at = '2001-01-01', finished_at = '2001-01-01'")
    db.close()
    dry = shop.offline("db", "thin", "--older-than", "30", "--dry-run")
    assert (dry.code, dry.text) == (0, "2 events would be deleted.")
    said = shop.offline("db", "thin", "--older-than", "30", "--by", "Ann", "--json")
    assert said.json == {"events": 2, "older_than_days": 30, "dry_run": False}
    assert len(shop.offline("events", "list", "--json").json["events"]) == 1
    (act,) = shop.offline("audit-log", "--json").json["actions"]
    assert (act["action"], act["who"], act["subject"]) == (
        "thin",
        "Ann",
        "2 events older than 30 days",
    )


def test_thinning_wants_to_be_told_how_old(shop: Shop) -> None:
    assert shop.offline("db", "thin").code == 3
    assert shop.offline("db", "thin", "--older-than", "7").code == 2
    assert shop.run("db", "thin", DISPATCH_RETURNS_KEEP_EVENTS="3").code == 3
    assert shop.run("db", "thin", DISPATCH_RETURNS_KEEP_EVENTS="90").code == 0


def test_the_least_number_of_days_is_the_settings_own() -> None:
    assert db._LEAST_DAYS == MIN_KEEP_EVENTS
