"""A newer version migrates the schema while this one works on it, with a migration made up here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns.connector.health import Health
from dispatch_returns.errors import ConfigurationError
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store, database, migrate
from dispatch_returns.store.schema import REVISION
from tests.support import stores
from tests.support.desk import Desk, usd
from tests.support.store_contract import accept, claim
from tests.support.webhooks import NOW, clock

_SCRIPT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None
works_with = {works_with!r}


def upgrade():
    {change}
"""
_EXPANDS = (
    "op.add_column('inbox', sa.Column('colour', sa.Text()));"
    " op.add_column('ledger', sa.Column('weight', sa.Integer(), server_default='0'));"
    " op.create_table('later', sa.Column('id', sa.Text(), primary_key=True))"
)
_CONTRACTS = "op.drop_table('later')"


class Newer:
    """The versions that come after this one, as far as the schema is concerned."""

    def __init__(self, folder: Path, url: str, patch: pytest.MonkeyPatch) -> None:
        self._scripts = folder / "migrations"
        self._url = url
        self._patch = patch
        shutil.copytree(migrate.SCRIPTS, self._scripts)

    def upgrade(self, revision: str, *, works_with: str, change: str) -> None:
        """Be the next version, and migrate."""
        script = _SCRIPT.format(
            revision=revision,
            before=f"{int(revision) - 1:04}",
            works_with=works_with,
            change=change,
        )
        (self._scripts / "versions" / f"{revision}_next.py").write_text(script)
        with self._patch.context() as patch:
            patch.setattr(migrate, "SCRIPTS", self._scripts)
            patch.setattr(migrate, "REVISION", revision)
            assert database.upgrade(self._url)


@pytest.fixture(params=stores.KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with stores.opened(request.param, tmp_path) as store:
        yield store


@pytest.fixture
def url(store: Store) -> str:
    return store._engine.url.render_as_string(hide_password=False)


@pytest.fixture
def newer(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Newer:
    return Newer(tmp_path / "newer", url, monkeypatch)


def ready(store: Store) -> Any:
    return Health(store, frozenset, clock).ready()


def test_after_the_next_versions_migration_this_one_is_ready_accepts_and_pays(
    store: Store, newer: Newer
) -> None:
    desk = Desk(store)
    desk.enter()
    newer.upgrade("0002", works_with=REVISION, change=_EXPANDS)
    report = ready(store)
    assert (report.ok, report.document["schema"]) == (True, "0002")
    accept(store, 1)
    assert len(claim(store, NOW)) == 1
    desk.run(hours=1)
    assert desk.only().state is State.SUCCEEDED
    assert desk.paid == [usd("149.00")]


def test_this_version_starts_again_on_the_next_ones_schema_and_leaves_it(
    url: str, newer: Newer
) -> None:
    newer.upgrade("0002", works_with=REVISION, change=_EXPANDS)
    with Store.open(url) as again:
        assert ready(again).ok
    assert not database.upgrade(url)
    assert database.mismatch(url) is None
    assert database.revision(url) == "0002"


def test_a_schema_that_has_dropped_what_this_version_uses_is_refused(
    store: Store, url: str, newer: Newer
) -> None:
    newer.upgrade("0002", works_with=REVISION, change=_EXPANDS)
    newer.upgrade("0003", works_with="0002", change=_CONTRACTS)
    report = ready(store)
    assert not report.ok
    assert "upgrade dispatch-returns" in report.document["problem"]
    for opens in (Store.open, database.upgrade):
        with pytest.raises(ConfigurationError, match=r"0001.* does not work with .*0003"):
            opens(url)


def test_each_migration_goes_on_working_with_the_version_before_it() -> None:
    """Taking away what the version before still uses would take it down in a rolling deploy."""
    scripts = sorted((migrate.SCRIPTS / "versions").glob("*.py"))
    assert [it.name.partition("_")[0] for it in scripts][-1] == REVISION
    for script in scripts:
        text = script.read_text()
        before = re.search(r'^down_revision = "(\w+)"$', text, re.MULTILINE)
        works_with = re.search(r'^works_with = "(\w+)"$', text, re.MULTILINE)
        assert works_with is not None, f"{script.name} does not say what works with it"
        assert before is None or works_with[1] <= before[1]
