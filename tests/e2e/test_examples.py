"""The examples, run as their headers say: as programs, against the sandbox."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import dispatch_sandbox
from dispatch_returns import DispatchClient
from dispatch_returns.client import Ticket
from dispatch_returns.clock import utc_now
from dispatch_returns.store import NewEvent, Store, heartbeats, inbox
from dispatch_sandbox.command import environment_of
from tests.support import brokers
from tests.support.ports import free_port
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = str(Path(sys.executable).with_name("dispatch-returns"))


class Shop:
    """A folder, the sandbox, and the environment that `dispatch-returns sandbox` prints."""

    def __init__(self, box: dispatch_sandbox.Sandbox, folder: Path) -> None:
        self.box = box
        self.folder = folder
        self.environment = os.environ | {
            "DISPATCH_API_KEY": dispatch_sandbox.API_KEY,
            "DISPATCH_WORKSPACE": dispatch_sandbox.WORKSPACE,
            "DISPATCH_BASE_URL": box.api_url,
            "STRIPE_API_KEY": dispatch_sandbox.stripe.API_KEY,
            "STRIPE_BASE_URL": box.url,
            "DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{folder}/shop.db",
        }

    def run(self, *command: str) -> str:
        """Run a command to its end; return what it printed."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def example(self, name: str, *args: str) -> str:
        """Run an example."""
        return self.run(sys.executable, str(EXAMPLES / name), *args)

    def set_up(self, *args: str) -> None:
        """Run `dispatch-returns setup` and export the secret it prints."""
        printed = self.run(COMMAND, "setup", *args)
        if secret := re.search(r"whsec_\w+", printed):
            self.environment["DISPATCH_WEBHOOK_SECRET"] = secret.group()

    @contextlib.contextmanager
    def serving(self, port: int, *command: str) -> Iterator[None]:
        """Run a server until it listens, and end it afterwards."""
        with self.running(*command):
            wait_until(lambda: _answers(port), 30)
            yield

    @contextlib.contextmanager
    def running(self, *command: str) -> Iterator[None]:
        """Run a program, and end it afterwards."""
        with subprocess.Popen(command, env=self.environment, cwd=self.folder) as program:
            try:
                yield
            finally:
                program.terminate()
                program.wait(30)

    def ticket(self, ticket_id: str) -> Ticket:
        """Read a ticket."""
        key, workspace = dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE
        with DispatchClient(key, workspace, base_url=self.box.api_url) as client:
            return client.tickets.get(ticket_id)

    def refund_status(self, ticket_id: str) -> object:
        """Return what the ticket says of its refund."""
        return self.ticket(ticket_id).custom_fields.get("refund_status")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with dispatch_sandbox.running() as box:
        yield Shop(box, tmp_path)


def test_the_refund_script_pays_once(shop: Shop) -> None:
    shop.set_up()
    ticket_id = shop.example("make_return.py", "149.00")
    first = shop.example("refund_script.py", ticket_id)
    assert first.startswith("149.00 USD: succeeded (re_")
    assert shop.example("refund_script.py", ticket_id) == first
    assert shop.box.state.stripe.report()["refunds"] == 1
    assert shop.refund_status(ticket_id) == "succeeded"


def test_the_paypal_script_pays_once(shop: Shop) -> None:
    paypal = shop.box.state.paypal
    shop.environment |= {
        "DISPATCH_RETURNS_ADAPTERS": "paypal",
        "PAYPAL_CLIENT_ID": dispatch_sandbox.paypal.CLIENT_ID,
        "PAYPAL_CLIENT_SECRET": dispatch_sandbox.paypal.CLIENT_SECRET,
        "PAYPAL_BASE_URL": paypal.base_url,
    }
    shop.set_up()
    assert shop.example("paypal_refund.py", "149.00").startswith("149.00 USD: succeeded")
    refunded = [it for it in paypal.log if it.path.endswith("/refund")]
    assert len(refunded) == 1


def test_the_adyen_script_requests_one_refund(shop: Shop) -> None:
    adyen = shop.box.state.adyen
    shop.environment |= {
        "DISPATCH_RETURNS_ADAPTERS": "adyen",
        "ADYEN_API_KEY": dispatch_sandbox.adyen.API_KEY,
        "ADYEN_MERCHANT_ACCOUNT": dispatch_sandbox.adyen.MERCHANT_ACCOUNT,
        "ADYEN_HMAC_KEY": dispatch_sandbox.adyen.HMAC_KEY,
        "ADYEN_BASE_URL": adyen.base_url,
    }
    shop.set_up()
    assert shop.example("adyen_refund.py", "149.00").startswith("149.00 EUR: pending")
    assert sum(len(it.refunds) for it in adyen.payments.values()) == 1


@pytest.mark.parametrize("name", ["shopify", "woocommerce"])
def test_the_shop_script_has_the_shop_refund_its_order(shop: Shop, name: str) -> None:
    shop.environment |= {
        **environment_of(shop.box),
        "DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{shop.folder}/{name}.db",
        "DISPATCH_RETURNS_ORDERS": name,
        "DISPATCH_RETURNS_ADAPTERS": name,
    }
    shop.set_up()
    assert shop.example("shop_refund.py", "149.00").startswith("149.00 USD: succeeded")
    assert len(getattr(shop.box.state, name).refunds_made) == 1


def test_the_braintree_script_requests_one_refund(shop: Shop) -> None:
    braintree = shop.box.state.braintree
    shop.environment |= {
        "DISPATCH_RETURNS_ADAPTERS": "braintree",
        "BRAINTREE_MERCHANT_ID": dispatch_sandbox.braintree.MERCHANT_ID,
        "BRAINTREE_PUBLIC_KEY": dispatch_sandbox.braintree.PUBLIC_KEY,
        "BRAINTREE_PRIVATE_KEY": dispatch_sandbox.braintree.PRIVATE_KEY,
        "BRAINTREE_BASE_URL": braintree.base_url,
    }
    shop.set_up()
    assert shop.example("braintree_refund.py", "149.00").startswith("149.00 USD: pending")
    assert sum(len(it.refunds) for it in braintree.transactions.values()) == 1


def test_the_store_credit_adapter_gives_credit(shop: Shop) -> None:
    shop.set_up()
    ticket_id = shop.example("make_return.py", "149.00")
    shop.environment["DISPATCH_RETURNS_DATABASE_URL"] = f"sqlite:///{shop.folder}/credit.db"
    given = shop.example("store_credit.py", ticket_id)
    assert given == "149.00 USD: succeeded (credit_1)"
    assert shop.box.state.stripe.report()["refunds"] == 0


def test_the_fastapi_app_pays_when_a_ticket_becomes_refunded(shop: Shop) -> None:
    port = free_port()
    shop.set_up("--webhook-url", f"http://127.0.0.1:{port}/webhooks/dispatch")
    app = ["--app-dir", str(EXAMPLES), "fastapi_app:app", "--port", str(port)]
    with shop.serving(port, sys.executable, "-m", "uvicorn", *app):
        ticket_id = shop.example("make_return.py", "89.90")
        wait_until(lambda: shop.refund_status(ticket_id) == "succeeded", 30)


def test_the_portal_app_opens_an_order_by_its_link(shop: Shop) -> None:
    shop.set_up()
    port = free_port()
    shop.environment |= {
        "DISPATCH_RETURNS_POLICY": str(EXAMPLES / "policy.toml"),
        "DISPATCH_RETURNS_PORTAL_URL": f"http://127.0.0.1:{port}/returns",
    }
    app = ["--app-dir", str(EXAMPLES), "portal_app:app", "--port", str(port)]
    with shop.serving(port, sys.executable, "-m", "uvicorn", *app):
        link = shop.run(
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import portal_app as it;"
            " print(it.link_for_order_mail('1234')); it.connector.close()",
        )
        start = httpx.get(f"http://127.0.0.1:{port}/returns/")
        assert "Open the returns link" in start.text  # no mail server is set
        assert "Open your order" in httpx.get(link).text


def test_the_flask_app_pays_when_a_ticket_becomes_refunded(shop: Shop) -> None:
    port = free_port()
    shop.set_up("--webhook-url", f"http://127.0.0.1:{port}/webhooks/dispatch")
    app = ["--app", str(EXAMPLES / "flask_app"), "run", "--port", str(port)]
    with shop.serving(port, sys.executable, "-m", "flask", *app):
        ticket_id = shop.example("make_return.py", "19.99")
        wait_until(lambda: shop.refund_status(ticket_id) == "succeeded", 30)


def test_a_command_of_flasks_starts_no_worker_and_pays_nothing(shop: Shop) -> None:
    shop.set_up()
    ticket_id = shop.example("make_return.py", "19.99")
    shop.environment["DISPATCH_WEBHOOK_SECRET"] = "whsec_test"
    url = shop.environment["DISPATCH_RETURNS_DATABASE_URL"]
    event = NewEvent(
        "dispatch", "evt_1", "ticket.updated", dispatch_sandbox.WORKSPACE, ticket_id, b"{}", None
    )
    with Store.open(url) as store:
        store.write("accept", lambda conn: inbox.add(conn, event, utc_now()))
    command = "import threading, time, flask.cli as f\n"
    command += "f.cli.main(['--app', {!r}, 'routes'], standalone_mode=False)\ntime.sleep(2)\n"
    command += "print([it.name for it in threading.enumerate() if 'dispatch' in it.name])"
    printed = shop.run(sys.executable, "-c", command.format(str(EXAMPLES / "flask_app")))
    assert "/webhooks/dispatch" in printed
    assert printed.endswith("[]")
    with Store.open(url) as store, store.read() as conn:
        assert heartbeats.last(conn) is None
    assert shop.box.state.stripe.report()["refunds"] == 0


def test_with_a_policy_a_request_walks_to_its_label(shop: Shop) -> None:
    port = free_port()
    (shop.folder / "policy.toml").write_text('version = "1"\n', encoding="utf-8")
    shop.environment |= {
        "DISPATCH_RETURNS_POLICY": "policy.toml",
        "DISPATCH_RETURNS_RETURN_ADDRESS": "Acme; Dock 3; 12345; Springfield; US",
    }
    shop.set_up("--webhook-url", f"http://127.0.0.1:{port}/webhooks/dispatch")
    with shop.serving(port, COMMAND, "serve", "--port", str(port)):
        ticket_id = shop.example("make_return.py", "--request")
        ends = {"label_sent", "needs_review", "rejected"}
        wait_until(lambda: shop.ticket(ticket_id).status in ends, 30)
    assert shop.ticket(ticket_id).status == "label_sent"


DJANGO_SHOP = EXAMPLES / "django_shop"
RUNSERVER = [sys.executable, str(DJANGO_SHOP / "manage.py"), "runserver"]
GUNICORN = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "shop.wsgi"]
GUNICORN += ["--chdir", str(DJANGO_SHOP), "--bind"]


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(GUNICORN, id="preloading"),
        pytest.param(RUNSERVER, id="autoreloading", marks=pytest.mark.long),
    ],
)
def test_the_django_shop_pays_in_threads_of_the_process_that_serves(
    shop: Shop, server: list[str]
) -> None:
    port = free_port()
    shop.set_up("--webhook-url", f"http://127.0.0.1:{port}/webhooks/dispatch")
    with shop.serving(port, *server, f"127.0.0.1:{port}"):
        ticket_id = shop.example("make_return.py", "49.90")
        wait_until(lambda: shop.refund_status(ticket_id) == "succeeded", 30)


def test_the_django_shop_pays_in_celery_workers(shop: Shop) -> None:
    port = free_port()
    shop.set_up("--webhook-url", f"http://127.0.0.1:{port}/webhooks/dispatch")
    celery = [sys.executable, "-m", "celery", "--workdir", str(DJANGO_SHOP), "-A", "shop"]
    celery += ["worker", "--beat", "--schedule", str(shop.folder / "beat"), "-c", "2"]
    with brokers.new_queue("redis") as conf:
        shop.environment["CELERY_BROKER_URL"] = conf["broker_url"]
        shop.environment["CELERY_QUEUE"] = conf["task_default_queue"]
        with shop.serving(port, *RUNSERVER, f"127.0.0.1:{port}"), shop.running(*celery):
            ticket_id = shop.example("make_return.py", "59.90")
            wait_until(lambda: shop.refund_status(ticket_id) == "succeeded", 60)


def test_every_example_is_run_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    programs = [*EXAMPLES.glob("*.py"), *(path.parent for path in EXAMPLES.glob("*/manage.py"))]
    names = {path.stem for path in programs} - {"__init__"}
    assert all(name in here for name in names), names


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
        return True
    return False
