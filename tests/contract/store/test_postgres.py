"""PostgreSQL, held to the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_returns.store import Store
from tests.support import postgres
from tests.support.store_contract import StoreContract


class TestPostgres(StoreContract):
    @pytest.fixture(autouse=True)
    def _database(self) -> Iterator[None]:
        with postgres.new_database() as self.url:
            yield

    def open(self, folder: Path) -> Store:
        return Store.open(self.url)
