"""SQLite, held to the contract."""

from __future__ import annotations

from pathlib import Path

from dispatch_returns.store import Store
from tests.support.store_contract import StoreContract


class TestSqlite(StoreContract):
    def open(self, folder: Path) -> Store:
        return Store.open(f"sqlite:///{folder}/returns.db")
