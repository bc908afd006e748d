"""The shape of the code, in numbers: ``python3 dev.py shape``; ``--keep`` keeps it to compare with.

Circles, arrows up and public class names that stand twice are mistakes (exit code 1, and tests hold
them); the other numbers are shown, for people to judge.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import sys
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from types import FrameType
from typing import Any

import httpx
from pydantic import SecretStr

import dispatch_sandbox
from dispatch_returns import Connector, Settings, webhooks
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.transitions import State
from dispatch_sandbox.stripe import API_KEY as STRIPE_KEY
from tests.support import structure

SECRET = "whsec_shape"
KEPT = Path(__file__).parent / "data" / "shape.json"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Its lines, without its docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def used_once(module: structure.Module) -> list[str]:
    """The private functions of a file that one place of it uses."""
    private = {it.name for it in functions(module.tree) if it.name.startswith("_")}
    private = {name for name in private if not name.endswith("__")}
    uses = Counter(
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name | ast.Attribute)
    )
    return sorted(name for name in private if uses[name] == 1)


def called_once(module: structure.Module) -> int:
    """Return how many of these are called there.

    The others are handed on: validators, handlers, callbacks, entries of a table, cached builders.
    Python has no other form for them, so they can't go back into a caller.
    """
    called = {
        it.func.id if isinstance(it.func, ast.Name) else it.func.attr
        for it in ast.walk(module.tree)
        if isinstance(it, ast.Call) and isinstance(it.func, ast.Name | ast.Attribute)
    }
    decorated = {it.name for it in functions(module.tree) if it.decorator_list}
    return len(called.intersection(used_once(module)) - decorated)


class Way:
    """The files that one event goes through, from its delivery to what its ticket is told."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.changes = 0
        self._last: dict[int, str] = {}
        self._source = str(structure.SOURCE / structure.PACKAGE)

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Count a call of a function of ours."""
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(self._source):
            return
        thread = threading.get_ident()
        self.files.add(file)
        self.changes += self._last.get(thread, file) != file
        self._last[thread] = file


def walk() -> Way:
    """Take one ticket from the POST of its event to a refund at a stand-in of Stripe."""
    way = Way()
    with dispatch_sandbox.running() as box, _connector(box) as connector:
        _refund(box, connector)  # what is loaded and read only once is not on the way
        threading.setprofile(way)
        sys.setprofile(way)
        try:
            _refund(box, connector)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    return way


@contextlib.contextmanager
def _connector(box: dispatch_sandbox.Sandbox) -> Iterator[Connector]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            api_key=SecretStr(dispatch_sandbox.API_KEY),
            workspace=dispatch_sandbox.WORKSPACE,
            webhook_secrets=(SecretStr(SECRET),),
            base_url=box.api_url,
            database_url=f"sqlite:///{folder}/shape.db",
            adapter_options={"stripe": {"api_key": STRIPE_KEY, "base_url": box.url}},
        )
        with Connector(settings) as connector:
            for key in ("refunded", "needs_review"):
                connector.client.statuses.create(key=key, name=key)
            connector.go_live.complete()
            yield connector


def _refund(box: dispatch_sandbox.Sandbox, connector: Connector) -> None:
    """Deliver the event of a refunded ticket through the WSGI mount, and do what follows."""
    form = {
        "amount": "14900",
        "currency": "usd",
        "confirm": "true",
        "payment_method": "pm_card_visa",
    }
    paid = httpx.post(f"{box.url}/v1/payment_intents", data=form, auth=(STRIPE_KEY, ""))
    fields: dict[str, Any] = {
        "order_id": uuid.uuid4().hex,
        "payment_intent": paid.raise_for_status().json()["id"],
        "received_date": f"{datetime.now(UTC):%Y-%m-%d}",
        "refund_amount": 149,
    }
    ticket = connector.client.tickets.create(
        subject="Return", status="refunded", custom_fields=fields
    )
    event = {
        "id": f"evt_{uuid.uuid4().hex}",
        "event": "ticket.updated",
        "brand_id": dispatch_sandbox.WORKSPACE,
        "data": {"id": ticket.id},
        "timestamp": datetime.now(UTC).isoformat(),
    }
    body = json.dumps(event).encode()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/dispatch",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_DISPATCH_SIGNATURE": webhooks.sign(body, SECRET),
        "wsgi.input": io.BytesIO(body),
    }
    said: list[str] = []
    webhooks.wsgi.app(connector)(environ, lambda status, _headers: said.append(status))
    connector.work_off()
    with connector.store.read() as conn:
        (refund,) = ledger.newest(conn, limit=1, ticket_id=ticket.id)
    assert (said, refund.state) == (["200 OK"], State.SUCCEEDED), (said, refund)


def measured() -> dict[str, float]:
    """The table: a name for each number."""
    ours = list(structure.modules().values())
    found = [it for module in ours for it in functions(module.tree)]
    lengths = [length(it) for it in found]
    lines = [len(module.path.read_text(encoding="utf-8").splitlines()) for module in ours]
    alone = sum(len(used_once(module)) for module in ours)
    called = sum(called_once(module) for module in ours)
    way = walk()
    return {
        "files": len(ours),
        "lines": sum(lines),
        "files under 50 lines": sum(it < 50 for it in lines),
        "files over 400 lines": sum(it > 400 for it in lines),
        "functions": len(found),
        "median function, lines": median(lengths),
        "90th percentile, lines": quantiles(lengths, n=10)[-1],
        "private and used once": alone,
        "of all functions, %": round(100 * alone / len(found), 1),
        "private and called once": called,
        "called, of all functions, %": round(100 * called / len(found), 1),
        "files that one refund goes through": len(way.files),
        "changes of file on its way": way.changes,
        "public class names twice": len(structure.twice()),
        "arrows up": len(structure.arrows_up()),
        "files in a circle": len(structure.circle(structure.known())),
    }


def main() -> int:
    """Print the table with what has changed since the one kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep this table, to compare with")
    arguments = parser.parse_args()
    before: dict[str, float] = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    now = measured()
    for name, value in now.items():
        change = f"{value - before[name]:+g}" if name in before else "new"
        print(f"{name:36} {value:>8g} {change:>8}")
    for name, places in structure.twice().items():
        print(f"twice: {name} in {', '.join(places)}")
    if arguments.keep:
        KEPT.write_text(json.dumps(now, indent=2) + "\n")
    mistakes = ("public class names twice", "arrows up", "files in a circle")
    return int(any(now[name] for name in mistakes))


if __name__ == "__main__":
    raise SystemExit(main())
