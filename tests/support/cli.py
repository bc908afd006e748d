"""Runs the command: in this process for most tests, as a process where signals matter."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from dispatch_returns import cli
from dispatch_returns.client import DispatchClient
from dispatch_returns.clock import utc_now
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.store import NewEvent, Store, inbox
from dispatch_sandbox import Sandbox

COMMAND = (
    sys.executable,
    "-c",
    "import sys; from dispatch_returns.cli import main; sys.exit(main())",
)
PATIENCE = 20.0


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """Everything, with the folding of lines undone."""
        return " ".join((self.out + " " + self.err).split())


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> Said:
    """Run the command in this process with nothing of ours in the environment but `environment`."""
    out, err = io.StringIO(), io.StringIO()
    values = {"COLUMNS": "80", **(environment or {})}
    with (
        mock.patch.dict(os.environ, values),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = cli.main(list(arguments))
    return Said(code, out.getvalue(), err.getvalue())


class Process:
    """The command as a process of its own, whose first lines have been read."""

    def __init__(self, popen: subprocess.Popen[str], first: str) -> None:
        self._popen = popen
        self.first = first

    @property
    def said(self) -> Any:
        """The document that it began with."""
        return json.loads(self.first)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._popen.send_signal(number)

    def log(self, until: str) -> None:
        """Wait until a line of stderr holds `until`."""
        assert self._popen.stderr is not None
        while until not in self._popen.stderr.readline():
            assert self._popen.poll() is None, f"{until!r} was never said"

    def end(self, number: signal.Signals) -> Said:
        """Send a signal and wait for the end."""
        self.send(number)
        return self.wait()

    def wait(self) -> Said:
        """Wait for the end."""
        out, err = self._popen.communicate(timeout=PATIENCE)
        return Said(self._popen.returncode, self.first + out, err)


@contextlib.contextmanager
def started(
    *arguments: str, environment: Mapping[str, str], until: str, cwd: Path
) -> Iterator[Process]:
    """Run the command as a process; the block begins when a line of stdout starts with `until`."""
    popen = subprocess.Popen(
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(PATIENCE, popen.kill)
    timer.start()
    try:
        yield Process(popen, _read_until(popen, until))
    finally:
        timer.cancel()
        popen.kill()
        popen.communicate()


def _read_until(popen: subprocess.Popen[str], until: str) -> str:
    assert popen.stdout is not None
    read = ""
    for line in popen.stdout:
        read += line
        if line.startswith(until):
            return read
    _, err = popen.communicate()
    raise AssertionError(f"no line starts with {until!r}: {read}{err}")


@dataclass(frozen=True)
class Shop:
    """A merchant's service: a sandbox, a database, and the settings for both."""

    box: Sandbox
    folder: Path
    settings: Mapping[str, str]

    def run(self, *arguments: str, **changed: str) -> Said:
        """Run the command with the shop's settings, some of them `changed` ("" unsets one)."""
        return run(*arguments, environment={**self.settings, **changed})

    def offline(self, *arguments: str) -> Said:
        """Run the command with no setting but the database."""
        name = "DISPATCH_RETURNS_DATABASE_URL"
        return run(*arguments, environment={name: self.settings[name]})

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        """Open the shop's database."""
        with Store.open(self.settings["DISPATCH_RETURNS_DATABASE_URL"]) as store:
            yield store

    @contextlib.contextmanager
    def client(self) -> Iterator[DispatchClient]:
        """Open a client for the shop's workspace."""
        with DispatchClient(
            self.settings["DISPATCH_API_KEY"],
            self.settings["DISPATCH_WORKSPACE"],
            base_url=self.settings["DISPATCH_BASE_URL"],
        ) as client:
            yield client

    def pay(self, minor: int = 14_900) -> str:
        """Have a customer pay; return the PaymentIntent's id."""
        answer = httpx.post(
            f"{self.box.url}/v1/payment_intents",
            headers={"authorization": f"Bearer {self.settings['STRIPE_API_KEY']}"},
            data={
                "amount": str(minor),
                "currency": "usd",
                "payment_method": "pm_card_visa",
                "confirm": "true",
            },
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def ticket(self, **fields: Any) -> str:
        """Have a ticket set to `refunded`; return its id. A field of None is left out."""
        values = {
            "order_id": "1234",
            "received_date": "2026-01-15",
            "refund_amount": Decimal("149.00"),
            **fields,
        }
        with self.client() as client:
            ticket = client.tickets.create(
                subject="Return",
                customer_email="jane@example.com",
                status="refunded",
                custom_fields={name: value for name, value in values.items() if value is not None},
            )
        return ticket.id

    def event(self, ticket: str, event_id: str = "evt_1", kind: str = "ticket.updated") -> int:
        """Have an event about `ticket` in the inbox; return its number."""
        now = utc_now()
        envelope = {
            "id": event_id,
            "event": kind,
            "brand_id": "ws_sandbox",
            "data": {"id": ticket, "title": "Ms Secret"},
            "timestamp": now.isoformat(),
        }
        new = NewEvent(
            source="dispatch",
            event_id=event_id,
            type=kind,
            workspace_id="ws_sandbox",
            ticket_id=ticket,
            body=json.dumps(envelope).encode(),
            occurred_at=now,
        )
        with self.store() as store:
            store.write("inbox.accept", lambda conn: inbox.add(conn, new, now))
            with store.read() as conn:
                found = inbox.find(conn, "dispatch", event_id)
        assert found is not None
        return found.id

    def refund(self, ticket: str, **changed: str) -> Refund:
        """Have the event about `ticket` worked off; return its row of the ledger."""
        self.event(ticket, f"evt_{ticket}")
        self.work(**changed)
        return self.row(ticket)

    def work(self, **changed: str) -> None:
        """Work off what is due."""
        settings = Settings.from_env({**self.settings, **changed})
        with Connector(settings) as connector:
            connector.work_off()

    def work_off_in(self, **ahead: float) -> None:
        """Work off what will be due in so many minutes, hours ..."""
        with Connector(
            Settings.from_env(self.settings), clock=lambda: utc_now() + timedelta(**ahead)
        ) as connector:
            connector.work_off()

    def row(self, ticket: str) -> Refund:
        """Return the one refund of a ticket."""
        with self.store() as store, store.read() as conn:
            (refund,) = ledger.newest(conn, limit=2, ticket_id=ticket)
        return refund
