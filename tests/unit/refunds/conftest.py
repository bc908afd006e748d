"""A store and a refund desk for each test."""

from __future__ import annotations

import logging
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


@pytest.fixture(autouse=True)
def every_line_has_its_ids(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Hold each line that the service writes to what joins a ticket and a refund in the logs."""
    service = "dispatch_returns.refunds.service"
    caplog.set_level(logging.INFO, logger=service)
    yield
    for record in caplog.get_records("call"):
        if record.name == service:
            values = vars(record)
            assert values["refund_id"] in record.getMessage()
            assert values["ticket_id"].startswith("tkt_")
