"""A client in another language, written from the documented contract, against the sandbox."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox

SCRIPT = Path(__file__).parents[2] / "data" / "foreign_client.mjs"
NODE = shutil.which("node")


@pytest.fixture(scope="module", params=["empty", "json"])
def seen(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the client saw, where a DELETE is answered with nothing, and with JSON."""
    if NODE is None:
        pytest.skip("needs Node.js")
    state = dispatch_sandbox.SandboxState(delete_answers=request.param)
    with dispatch_sandbox.running(state=state) as box:
        done = subprocess.run(
            [NODE, str(SCRIPT), box.api_url, dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"deletes": request.param}


def test_it_creates_a_ticket_once(seen: dict[str, Any]) -> None:
    status, title, fields, created = seen["created"]
    assert (status, title, fields) == (201, "Größe passt nicht", {"orderId": "1"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created)
    assert seen["sameTicket"]
    assert seen["limits"]


def test_it_is_told_which_fields_are_wrong(seen: dict[str, Any]) -> None:
    assert seen["refused"] == [400, ["status", "title"]]


def test_it_uploads_and_downloads_without_its_key(seen: dict[str, Any]) -> None:
    assert (seen["put"], seen["confirmed"]) == (200, [200, "UPLOADED"])
    assert seen["download"] == [0, 1, 2, 253, 254, 255]


def test_it_walks_all_pages_by_either_cursor(seen: dict[str, Any]) -> None:
    titles = ["Größe passt nicht", *(f"Ticket {number}" for number in range(4))]
    assert seen["walks"] == {"cursor": titles, "nextCursor": titles}


def test_it_verifies_a_delivery_and_reads_it(seen: dict[str, Any]) -> None:
    assert seen["secretOnce"]
    assert seen["signed"]
    event = seen["event"]
    assert (event["event"], event["data"]["status"]) == ("ticket.updated", "pending")
    assert event["data"]["changes"] == ["status"]
    assert event["data"]["customerEmail"] == "jane@example.com"


def test_it_understands_how_a_delete_is_answered(seen: dict[str, Any]) -> None:
    assert seen["gone"] == {"empty": 204, "json": 200}[seen["deletes"]]
