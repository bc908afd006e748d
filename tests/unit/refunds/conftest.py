"""A store and a refund desk for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_returns.store import Store
from tests.support.desk import Desk
from tests.support.stores import open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, durable=False) as store:
        yield store


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)
