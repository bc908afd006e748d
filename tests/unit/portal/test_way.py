"""The way of a customer, from the order number to the refund."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.errors import APIConnectionError
from dispatch_returns.returns.transitions import Step
from tests.support.desk import usd
from tests.support.portal_shop import PortalShop, an_order
from tests.support.workshop import EMAIL


def tickets(shop: PortalShop) -> list[str]:
    with shop.store.read() as conn:
        found = conn.exec_driver_sql("SELECT ticket_id FROM online_requests").scalars()
        return [it for it in found if it is not None]


def test_the_whole_way_by_a_mailed_code(shop: PortalShop) -> None:
    browser = shop.browser()
    browser.get()
    browser.submit("start", order="#1234", known="Jane@Example.com ")
    assert browser.page == "code"
    shop.work()
    assert shop.mailer.told[-1].email == EMAIL
    browser.submit("code", code=f"{shop.mailer.code[:3]} {shop.mailer.code[3:]}")
    assert browser.page == "order"
    assert "Wool jumper, navy" in browser.text
    browser.submit("reason", **{"q.SKU-001": "1"})
    browser.submit("check", r="wrong_size")
    assert "What is it exactly?" in browser.text
    browser.submit("check", t="too_small")
    # 149.00, less 10 % and the label: 149.00 - 14.90 - 4.90
    assert "$129.20" in browser.text
    assert "\u2212$14.90" in browser.text
    assert "\u2212$4.90" in browser.text
    browser.submit("confirm", note="The left sleeve.")
    assert browser.page == "return"
    assert "We have your request" in browser.text
    shop.work()
    browser.get(browser.url)
    assert "Your label is ready" in browser.text

    (ticket_id,) = tickets(shop)
    ticket = shop.client.tickets.get(ticket_id)
    assert ticket.subject == "Return Request - Order #1234"
    assert ticket.customer_email == EMAIL
    assert ticket.body == "The left sleeve."
    fields = ticket.custom_fields
    assert fields["return_reason"] == "wrong_size"
    assert fields["return_reason_detail"] == "too_small"
    assert fields["items_to_return"] == ["SKU-001"]
    assert str(fields["original_order_total"]) == "208.00"

    browser.get(next(it for it in browser.links if it.startswith("label?")))
    assert browser.answer.body.startswith(b"%PDF")
    assert browser.header("cache-control") == "no-store"


def test_the_postcode_is_as_good_as_the_address(shop: PortalShop) -> None:
    browser = shop.browser()
    browser.get()
    browser.submit("start", order="1234", known=" 123 45")
    shop.work()
    assert shop.mailer.told[-1].email == EMAIL


def test_a_mailed_link_opens_the_order_once_and_asks_first(shop: PortalShop) -> None:
    browser = shop.browser()
    browser.get()
    browser.submit("start", order="1234", known=EMAIL)
    shop.work()
    other = shop.browser()  # the mail is read on another device
    other.get(shop.mailer.link)
    assert other.page == "open"
    assert "1234" not in other.text
    other.get(shop.mailer.link)  # as a program that scans mails does
    other.submit("open")
    assert other.page == "order"
    again = shop.browser()
    again.get(shop.mailer.link)
    again.submit("open")
    assert again.answer.status == 410


def test_a_signed_link_is_proof_as_often_as_it_is_used(shop: PortalShop) -> None:
    for _ in range(3):
        assert shop.proven().page == "order"


def test_what_is_shown_follows_the_policy(shop: PortalShop) -> None:
    text = shop.proven().text
    assert "Can come back until" in text
    assert "Only for certain reasons" in text  # the outlet: only if it is faulty
    assert "It is broken or faulty" in text


def test_a_reason_that_the_policy_refuses_cannot_be_chosen(shop: PortalShop) -> None:
    browser = shop.proven()
    browser.submit("reason", **{"q.OUTLET-1": "1"})
    assert "Not possible for what you chose" in browser.text
    browser.submit("check", r="changed_mind")  # a browser may send anything
    assert "This return isn't possible" in browser.text
    assert "It was a final sale" in browser.text


def test_after_the_window_only_a_fault_brings_it_back(shop: PortalShop) -> None:
    shop.merchant.orders.known["1234"] = an_order(days=40)
    browser = shop.proven()
    assert "The time to return it is over" not in browser.text
    assert "Only for certain reasons" in browser.text
    shop.merchant.orders.known["1234"] = an_order(days=400)
    browser.get("order")
    assert "Nothing of this order can come back" in browser.text
    assert "The time to return it is over" in browser.text


def test_nothing_is_lost_on_the_way_back(shop: PortalShop) -> None:
    browser = shop.proven()
    browser.submit("reason", BELT="", **{"q.BELT": "2"})
    browser.submit("check", r="changed_mind")
    back = next(it for it in browser.links if it.startswith("reason?"))
    browser.get(back)
    assert browser.form("check").fields["r"] == "changed_mind"
    browser.get(next(it for it in browser.links if it.startswith("order?")))
    assert "<option selected>2</option>" in browser.html


def test_no_article_and_no_reason_are_said_beside_the_question(shop: PortalShop) -> None:
    browser = shop.proven()
    browser.submit("reason")
    assert (browser.answer.status, "Choose at least one article" in browser.text) == (422, True)
    browser.submit("reason", **{"q.SKU-001": "1"})
    browser.submit("check")
    assert (browser.answer.status, "Choose a reason." in browser.text) == (422, True)


def test_whatever_is_sent_twice_opens_one_ticket(shop: PortalShop) -> None:
    browser = shop.proven()
    browser.submit("reason", **{"q.SKU-001": "1"})
    browser.submit("check", r="changed_mind")
    fields, url = browser.form("confirm").fields, browser.url
    for _ in range(3):
        browser.url = url
        browser.post("confirm", fields)
        assert browser.page == "return"
    shop.work()
    browser.url = url
    browser.post("confirm", fields)
    shop.work()
    assert len(tickets(shop)) == 1
    listed = [it for it in shop.client.tickets.list() if it.id in tickets(shop)]
    assert len(listed) == 1


def test_a_ticket_whose_answer_was_lost_is_found_again(
    shop: PortalShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {it.id for it in shop.client.tickets.list()}
    shop.asked()
    returns = shop.connector.returns
    request = returns.request

    def lose_answer(**given: Any) -> Any:
        monkeypatch.setattr(returns, "request", request)
        request(**given)
        raise APIConnectionError("no answer arrived")

    monkeypatch.setattr(returns, "request", lose_answer)
    shop.work()
    assert tickets(shop) == []
    # How long the API remembers a key is not documented.
    shop.box.state.replays.clear()
    shop.work(minutes=5)
    assert len({it.id for it in shop.client.tickets.list()} - before) == 1
    assert len(tickets(shop)) == 1


def test_a_request_counts_from_when_it_was_sent_however_late_its_ticket_is(
    shop: PortalShop,
) -> None:
    shop.merchant.orders.known["1234"] = an_order(days=30)
    browser = shop.asked()
    shop.fault(status=503, times=1, match={"method": "POST", "path": "*/tickets"})
    shop.work()
    assert tickets(shop) == []
    browser.get(browser.url)
    assert "We have your request" in browser.text
    shop.work(days=2)
    browser, place = shop.proven(), browser.url
    browser.get(place)
    assert "Your label is ready" in browser.text


def test_what_changed_since_it_was_shown_is_shown_again(shop: PortalShop) -> None:
    browser = shop.proven()
    browser.submit("reason", **{"q.SKU-001": "1"})
    browser.submit("check", r="changed_mind")
    fields = browser.form("confirm").fields
    order = an_order()
    cheaper = replace(order.lines[0], price=replace(order.lines[0].price, minor=9900))
    shop.merchant.orders.known["1234"] = replace(order, lines=(cheaper, *order.lines[1:]))
    browser.post("confirm", fields)
    assert browser.answer.status == 409
    assert "Something has changed" in browser.text
    assert tickets(shop) == []


def test_pieces_in_another_return_are_not_offered_again(shop: PortalShop) -> None:
    browser = shop.asked()
    shop.work()
    browser.get("order")
    assert "It is already in a return" in browser.text
    assert "Your returns" in browser.text
    browser.submit("reason", **{"q.SKU-001": "1"})
    assert browser.answer.status == 422


def test_one_of_two_pieces_goes_to_a_person_while_the_other_is_open(shop: PortalShop) -> None:
    browser = shop.asked(BELT=1)
    shop.work()
    browser.get("order")
    browser.submit("reason", **{"q.BELT": "1"})
    browser.submit("check", r="changed_mind")
    assert "A colleague looks at it first" in browser.text
    browser.submit("confirm")
    shop.work()
    browser.get(browser.url)
    assert "A colleague is looking at it" in browser.text


def test_an_order_without_an_address_asks_for_one_and_carries_the_proof(shop: PortalShop) -> None:
    shop.merchant.orders.known["1234"] = an_order(customer_email=None)
    browser = shop.proven()
    browser.submit("reason", **{"q.SKU-001": "1"})
    browser.submit("check", r="changed_mind")
    browser.submit("confirm", email="nowhere")
    assert (browser.answer.status, "Type in an e-mail address" in browser.text) == (422, True)
    browser.submit("confirm", email="relay@market.example")
    shop.work()
    (ticket_id,) = tickets(shop)
    ticket = shop.client.tickets.get(ticket_id)
    assert ticket.customer_email == "relay@market.example"
    assert shop.row(ticket).step is Step.LABEL_SENT


def test_what_a_stranger_asked_for_is_not_shown_to_the_owner(shop: PortalShop) -> None:
    ticket = shop.connector.returns.request(
        order_id="1234", items=["SKU-001"], reason="x", customer_email="stranger@example.com"
    )
    shop.opened_now(ticket)
    shop.arrive(ticket)
    browser = shop.proven()
    assert "Your returns" not in browser.text
    assert "Wool jumper" in browser.text


def test_a_return_by_mail_from_the_orders_address_is_shown(shop: PortalShop) -> None:
    shop.ask("SKU-001")
    assert "Your returns" in shop.proven().text


def test_the_refund_is_shown(shop: PortalShop) -> None:
    browser = shop.asked()
    shop.work()
    (ticket_id,) = tickets(shop)
    shop.fake.add_payment("pi_1", usd("208.00"))
    ticket = shop.client.tickets.get(ticket_id)
    shop.set(ticket, payment_intent="pi_1", **ticket.custom_fields)
    shop.connector.returns.receive(ticket_id, condition="good", who="Bob")
    shop.work()
    shop.work()
    browser.get(browser.url)
    assert "Your money is on its way" in browser.text
    assert "$129.20" in browser.text


def test_german_where_the_browser_asks_for_it_and_where_it_is_chosen(shop: PortalShop) -> None:
    browser = shop.proven(**{"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"})
    assert "Was möchten Sie zurückschicken?" in browser.text
    browser.get("order?lang=en")
    assert "What would you like to send back?" in browser.text
    browser.get("order")
    assert "What would you like to send back?" in browser.text


def test_an_expired_link_says_so(shop: PortalShop) -> None:
    link = shop.portal.link("1234", valid_for=timedelta(days=1))
    shop.clock.turn(days=2)
    browser = shop.browser()
    browser.get(link)
    assert (browser.answer.status, "This has expired" in browser.text) == (410, True)


def test_without_a_mail_server_the_link_is_the_way(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    shop = PortalShop(box, tmp_path, mails=False)
    try:
        browser = shop.browser()
        browser.get()
        assert "Open the returns link" in browser.text
        assert shop.proven().page == "order"
    finally:
        shop.close()


def test_a_return_is_cancelled_after_a_question_and_can_be_asked_for_again(
    shop: PortalShop,
) -> None:
    browser = shop.asked()
    shop.work()
    browser.get(browser.url)
    place = browser.url
    browser.get(next(it for it in browser.links if it.startswith("cancel?")))
    assert "Cancel this return?" in browser.text
    fields = browser.form("cancel").fields
    for _ in range(2):
        browser.post("cancel", fields)
        assert "We are cancelling your return" in browser.text
    shop.work()
    browser.get(place)
    assert "This return is cancelled" in browser.text
    browser.post("cancel", fields | {"csrf": browser.form("leave").fields["csrf"]})
    assert "This return is cancelled" in browser.text
    (ticket_id,) = tickets(shop)
    ticket = shop.client.tickets.get(ticket_id)
    shop.arrive(ticket)
    assert shop.row(ticket).step is Step.CANCELLED
    assert shop.merchant.labels.voided == ["label_1"]
    assert shop.merchant.notifier.kinds[-1] == "cancelled"
    assert any("cancelled this return in the portal" in it for it in shop.notes(ticket))
    browser.get("order")
    browser.submit("reason", **{"q.SKU-001": "1"})
    assert browser.page == "reason"


def test_what_has_arrived_cannot_be_cancelled(shop: PortalShop) -> None:
    browser = shop.asked()
    shop.work()
    (ticket_id,) = tickets(shop)
    shop.connector.returns.receive(ticket_id, condition="good", who="Bob")
    browser.get(browser.url)
    assert not [it for it in browser.links if it.startswith("cancel?")]
    browser.get(f"cancel?r={browser.query['r']}")
    assert (browser.answer.status, "can't be cancelled" in browser.text) == (409, True)


def test_a_cancelled_return_whose_parcel_comes_is_received(shop: PortalShop) -> None:
    ticket = shop.ask("SKU-001")
    shop.put(ticket, "cancelled")
    assert shop.row(ticket).step is Step.CANCELLED
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    assert shop.row(ticket).step in {Step.RECEIVED, Step.REFUNDED}
