"""One call of the client, and a walk through very many tickets."""

from __future__ import annotations

import subprocess
import sys

import httpx
import stripe

from dispatch_returns import DispatchClient
from tests.benchmarks import canned, processes
from tests.benchmarks.harness import Goal, Result, Side, interleave, repeated

CALL = (
    "Getting one object of about 0.7 kB from a local server that answers at once: a ticket as a"
    " typed model; the same JSON with a bare `httpx.Client`; a charge with Stripe's SDK."
)
LISTING = (
    f"{canned.PAGES * canned.PAGE_SIZE:,} tickets, {canned.PAGE_SIZE} a page, through"
    " `tickets.list()`: how much the process's peak size grew after the first page."
)
# Not getrusage's ru_maxrss: on Linux a process inherits that from the one that started it.
WALK = """
import re
from pathlib import Path
from dispatch_returns import DispatchClient

def size():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

with DispatchClient("sk_test_bench", "{workspace}", base_url="{url}/v1") as dispatch:
    for number, ticket in enumerate(dispatch.tickets.list(), 1):
        if number == {page_size}:
            first = size()
assert number == {total}, number
print(size() - first)
"""


def call() -> Result:
    """Against a bare httpx client and Stripe's SDK."""
    with processes.serving("tests.benchmarks.canned") as url:
        path = f"{url}/v1/workspaces/{canned.WORKSPACE}/tickets/tkt_1"
        stripes = stripe.StripeClient("sk_test_bench", base_addresses={"api": url})
        with (
            DispatchClient("sk_test_bench", canned.WORKSPACE, base_url=f"{url}/v1") as dispatch,
            httpx.Client(headers={"Authorization": "Bearer sk_test_bench"}) as http,
        ):
            rounds = interleave(
                repeated("tickets.get", lambda: dispatch.tickets.get("tkt_1")),
                repeated("httpx.Client", lambda: http.get(path).raise_for_status().json()),
                repeated("stripe SDK", lambda: stripes.v1.charges.retrieve("ch_1")),
                rounds=61,
            )
    return Result("One call of the client", CALL, rounds, (Goal(1.15, "httpx.Client"),))


def listing() -> Result:
    """How much memory grows with the length of a list."""
    with processes.serving("tests.benchmarks.canned") as url:
        rounds = interleave(Side("tickets.list", lambda: _growth(url)), rounds=3)
    return Result("Listing 100,000 tickets", LISTING, rounds, (Goal(10e6),), unit="B")


def _growth(url: str) -> float:
    total = canned.PAGES * canned.PAGE_SIZE
    names = {"url": url, "workspace": canned.WORKSPACE, "page_size": canned.PAGE_SIZE}
    script = WALK.format(total=total, **names)
    return float(subprocess.check_output([sys.executable, "-c", script], timeout=300))
