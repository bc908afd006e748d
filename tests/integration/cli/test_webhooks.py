from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.cli.test_trigger import receiver
from tests.support.cli import Shop

URL = "http://127.0.0.1:9/webhooks/dispatch"


def hooks(shop: Shop) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = shop.run("webhooks", "list", "--json").json["webhooks"]
    return listed


def test_webhooks_are_listed_without_their_secrets(shop: Shop) -> None:
    (hook,) = hooks(shop)
    assert (hook["url"], hook["enabled"], "secret" in hook) == (URL, True, False)
    assert hook["id"] in shop.run("webhooks", "list").out


def test_without_webhooks_it_says_what_creates_one(bare_shop: Shop) -> None:
    assert "dispatch-returns setup --webhook-url URL" in bare_shop.run("webhooks", "list").text


def test_a_webhook_is_deleted_by_its_url_or_its_id(shop: Shop) -> None:
    assert shop.run("webhooks", "delete", f"{URL}/").code == 0
    assert hooks(shop) == []
    said = shop.run("webhooks", "delete", "whk_none")
    assert (said.code, "there is no webhook whk_none" in said.err) == (2, True)


def test_a_url_of_several_webhooks_deletes_none(shop: Shop) -> None:
    shop.run("webhooks", "rotate", URL)
    said = shop.run("webhooks", "delete", URL)
    assert (said.code, "several webhooks have this URL" in said.err) == (2, True)
    assert len(hooks(shop)) == 2


def test_rotating_keeps_both_secrets_until_the_old_webhook_is_deleted(
    shop: Shop, tmp_path: Path
) -> None:
    (old,) = hooks(shop)
    file = tmp_path / "shop.env"
    said = shop.run("webhooks", "rotate", old["id"], "--write-env", str(file), "--json").json
    assert (said["to_delete"], said["created"]["url"]) == (old["id"], URL)
    assert said["created"]["events"] == old["events"]
    assert file.read_text() == f"DISPATCH_WEBHOOK_SECRET={said['webhook_secret']},whsec_test\n"
    assert f"webhooks delete {old['id']}" in shop.run("webhooks", "rotate", old["id"]).out


@pytest.mark.parametrize("url", [f"{URL}/", "HTTP://127.0.0.1:9/webhooks/dispatch"])
def test_another_spelling_of_the_url_makes_no_second_webhook(shop: Shop, url: str) -> None:
    assert shop.run("setup", "--webhook-url", url, "--json").json["webhook_secret"] is None
    assert len(hooks(shop)) == 1


# doctor --deliver


class _Proxy(ThreadingHTTPServer):
    """Passes deliveries on, as a proxy that decodes bodies and encodes them again."""

    target: str = ""

    class _Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            again = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False)
            kept = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in {"host", "content-length"}
            }
            assert isinstance(self.server, _Proxy)
            answer = httpx.post(self.server.target, content=again.encode(), headers=kept)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
            """Log nothing."""


@contextlib.contextmanager
def rewriting(target: str) -> Iterator[str]:
    with _Proxy(("127.0.0.1", 0), _Proxy._Handler) as proxy:
        proxy.target = target
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_port}/webhooks/dispatch"
        proxy.shutdown()
        thread.join()


def delivered(shop: Shop, url: str, **changed: str) -> dict[str, Any]:
    """Point the workspace's webhook at `url`; return what the test delivery found."""
    shop.run("webhooks", "delete", URL)
    shop.run("setup", "--webhook-url", url)
    found = shop.run("doctor", "--deliver", "--json", **changed).json["checks"]
    (check,) = [it for it in found if it["name"] == "test delivery"]
    assert isinstance(check, dict)
    return check


def test_a_test_delivery_is_accepted_and_nothing_follows_from_it(shop: Shop) -> None:
    with receiver(shop) as url:
        assert delivered(shop, url)["status"] == "ok"
    shop.work()
    assert {it["state"] for it in shop.run("events", "list", "--json").json["events"]} == {"done"}
    assert shop.run("refunds", "list", "--json").json["refunds"] == []


def test_a_receiver_with_another_secret_is_found(shop: Shop) -> None:
    with receiver(shop) as url:
        wrong = delivered(shop, url, DISPATCH_WEBHOOK_SECRET="whsec_other")
        assert (wrong["status"], "refused the signature" in wrong["detail"]) == ("failed", True)


def test_a_proxy_that_rewrites_bodies_is_told_from_a_wrong_secret(shop: Shop) -> None:
    with receiver(shop) as url, rewriting(url) as proxied:
        rewritten = delivered(shop, proxied)
    assert (rewritten["status"], "rewrites bodies" in rewritten["detail"]) == ("failed", True)


def test_a_url_that_is_not_the_receivers_is_found(shop: Shop) -> None:
    elsewhere = delivered(shop, f"{shop.box.url}/nowhere")
    assert (elsewhere["status"], "answered 404" in elsewhere["detail"]) == ("failed", True)
    assert "correct the mount's prefix" in elsewhere["remedy"]


def test_a_receiver_that_does_not_run_is_said(shop: Shop) -> None:
    check = delivered(shop, URL)
    assert (check["status"], "cannot be reached" in check["detail"]) == ("failed", True)


def test_without_the_option_nothing_is_delivered(shop: Shop) -> None:
    names = [it["name"] for it in shop.run("doctor", "--json").json["checks"]]
    assert "test delivery" not in names


def test_a_secret_in_quotes_is_pointed_out(shop: Shop) -> None:
    found = shop.run("doctor", "--json", DISPATCH_WEBHOOK_SECRET='"whsec_x"').json["checks"]
    (check,) = [it for it in found if it["name"] == "webhook secret"]
    assert (check["status"], "in quotes" in check["detail"]) == ("failed", True)
    assert "whsec_x" not in json.dumps(found)
