"""Who may use the page, and what it says when something is not there."""

from __future__ import annotations

import asyncio

import httpx
import pytest

import dispatch_sandbox
from tests.support.sandbox_shop import Shop

HTML = {"accept": "text/html"}


def test_a_program_reads_json_where_a_person_reads_a_page(shop: Shop) -> None:
    answer = httpx.get(shop.box.url)
    assert answer.json()["page"] == "/"
    assert "moves no money" in httpx.get(shop.box.url, headers=HTML).text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9", "http://localhost"]
)
@pytest.mark.parametrize("path", ["/page/ws_sandbox/tickets/{}/status", "/_sandbox/reset"])
def test_a_post_for_another_origin_is_refused(shop: Shop, path: str, origin: str) -> None:
    url = shop.box.url + path.format(shop.ticket_id)
    answer = httpx.post(url, headers={"origin": origin}, data={"status": "closed"})
    assert (answer.status_code, "another origin" in answer.text) == (403, True)
    [ticket] = shop.box.state.workspaces[dispatch_sandbox.WORKSPACE].tickets.values()
    assert ticket["status"] == "label_sent"


def test_a_post_of_its_own_origin_is_done(shop: Shop) -> None:
    form = {"status": "closed"}
    headers = {"origin": shop.box.url}
    answer = httpx.post(f"{shop.ticket}/status", headers=headers, data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, httpx.URL(shop.ticket).path)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil"])
@pytest.mark.parametrize("path", ["/", "/page/ws_sandbox", "/_sandbox/state"])
def test_a_name_that_may_be_anybodys_is_refused(shop: Shop, path: str, host: str) -> None:
    """DNS rebinding: the browser takes the two for one origin, so only the name gives it away."""
    answer = httpx.get(shop.box.url + path, headers=HTML | {"host": host})
    assert answer.status_code in (400, 403)
    assert "jane" not in answer.text


@pytest.mark.parametrize("path", ["/", "/page/ws_sandbox"])
def test_it_is_for_this_machine(path: str) -> None:
    async def ask(client: str) -> int:
        app = dispatch_sandbox.create_app(dispatch_sandbox.SandboxState())
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return (await http.get(path, headers=HTML)).status_code

    assert asyncio.run(ask("192.0.2.7")) == 403
    assert asyncio.run(ask("127.0.0.1")) == 200


@pytest.mark.parametrize(
    "path",
    ["ws_none", "ws_sandbox/tickets/tkt_none", "ws_sandbox/deliveries/del_none"],
)
def test_what_is_not_there_is_said_plainly(shop: Shop, path: str) -> None:
    answer = httpx.get(f"{shop.box.url}/page/{path}")
    assert (answer.status_code, "not found" in answer.text) == (404, True)


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"status": "unheard_of"}, 400, "is not a status of this workspace"),
        ({}, 400, "is not a status of this workspace"),
        ({"status": "x" * 5000}, 413, "smaller"),
    ],
)
def test_a_form_that_cannot_be_is_refused(
    shop: Shop, form: dict[str, str], status: int, said: str
) -> None:
    answer = httpx.post(f"{shop.ticket}/status", data=form)
    assert (answer.status_code, said in answer.text) == (status, True)


def test_a_delivery_of_another_workspace_is_not_here() -> None:
    state = dispatch_sandbox.SandboxState(workspaces=["ws_a", "ws_b"])
    with dispatch_sandbox.running(state=state) as box:
        hook = {"url": "http://127.0.0.1:9/", "events": ["*"]}
        headers = {"authorization": f"Bearer {dispatch_sandbox.API_KEY}"}
        httpx.post(f"{box.api_url}/brands/ws_a/webhooks", json=hook, headers=headers)
        dispatch_sandbox.add_ticket(state, "ws_a", title="x")
        [made] = state.deliveries.of_workspace(state.workspaces["ws_a"])
        for workspace, status in (("ws_a", 200), ("ws_b", 404)):
            answer = httpx.get(f"{box.url}/page/{workspace}/deliveries/{made['id']}")
            assert answer.status_code == status


def test_many_tickets_come_in_pages_and_odd_text_is_shown(shop: Shop) -> None:
    for number in range(50):
        dispatch_sandbox.add_ticket(shop.box.state, title=f"another {number} \ud800")
    first = httpx.get(shop.page)
    assert "51 tickets" in first.text
    assert "Order #1234" not in first.text
    older = first.text.partition('class="more" href="')[2].partition('"')[0]
    assert "Order #1234" in httpx.get(f"{shop.page}{older}").text


def test_amounts_keep_their_digits(shop: Shop) -> None:
    assert "149.00" in httpx.get(shop.ticket).text
