"""The stand-in's webhooks: as Stripe's own library reads them, when Stripe would send them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import stripe

import dispatch_sandbox
from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox.stripe import API_KEY, Fault, StripeState
from dispatch_sandbox.stripe.events import Events, sign
from tests.support.hook_server import HookServer, Post, hook_server

SECRET = "whsec_stand_in"


@pytest.fixture(scope="module")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        yield box


@pytest.fixture
def hook(box: dispatch_sandbox.Sandbox) -> Iterator[HookServer]:
    with hook_server() as hook:
        box.state.stripe.events.listen(hook.url, SECRET)
        yield hook
        box.state.stripe.events.forget()


@pytest.fixture
def client(box: dispatch_sandbox.Sandbox) -> stripe.StripeClient:
    return stripe.StripeClient(API_KEY, base_addresses={"api": box.url})


def pay(client: stripe.StripeClient) -> stripe.PaymentIntent:
    return client.v1.payment_intents.create(
        {"amount": 14900, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
    )


def read(post: Post) -> stripe.Event:
    """What Stripe's own library makes of a delivery, signature included."""
    return stripe.Webhook.construct_event(post.body, post.headers["stripe-signature"], SECRET)  # type: ignore[no-any-return]


def kinds(hook: HookServer) -> list[str]:
    return sorted(read(post).type for post in hook.posts)


def test_a_new_refund_makes_events_that_stripes_library_reads(
    hook: HookServer, client: stripe.StripeClient
) -> None:
    intent = pay(client)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 4900})
    posts = hook.wait_for(2)
    assert kinds(hook) == ["charge.refunded", "refund.created"]
    events = {event.type: event for event in map(read, posts)}
    shown = events["refund.created"].data.object
    assert (shown["id"], shown["amount"], shown["status"]) == (refund.id, 4900, "succeeded")
    charge = events["charge.refunded"].data.object
    assert (charge["object"], charge["amount_refunded"]) == ("charge", 4900)
    assert "refunds" not in charge
    assert events["refund.created"].id != events["charge.refunded"].id
    assert not events["refund.created"].livemode


def test_a_refund_that_fails_later_is_told_while_nobody_asks(
    box: dispatch_sandbox.Sandbox, hook: HookServer, client: stripe.StripeClient
) -> None:
    intent = pay(client)
    box.state.stripe.faults.add(Fault(kind="fail_later", seconds=0.2, payment_intent=intent.id))
    client.v1.refunds.create({"payment_intent": intent.id})
    hook.wait_for(5)
    changed = ["charge.refund.updated", "refund.failed", "refund.updated"]
    assert kinds(hook) == sorted(["charge.refunded", "refund.created", *changed])
    failed = next(event for event in map(read, hook.posts) if event.type == "refund.failed")
    assert failed.data.object["status"] == "failed"
    created = next(event for event in map(read, hook.posts) if event.type == "refund.created")
    assert created.data.object["status"] == "succeeded", "each shows the refund as it was then"


def test_changes_of_a_refund_are_told_under_both_names(
    hook: HookServer, client: stripe.StripeClient
) -> None:
    refund = client.v1.refunds.create({"payment_intent": pay(client).id})
    client.v1.refunds.update(refund.id, {"metadata": {"note": "x"}})
    hook.wait_for(4)
    assert kinds(hook)[:2] == ["charge.refund.updated", "charge.refunded"]


def test_a_delivery_that_is_refused_is_made_again(
    hook: HookServer, client: stripe.StripeClient, box: dispatch_sandbox.Sandbox
) -> None:
    hook.statuses += [500, 503]
    client.v1.refunds.create({"payment_intent": pay(client).id})
    hook.wait_for(4)
    ids = [read(post).id for post in hook.posts]
    assert len(set(ids)) == 2
    assert box.state.stripe.events.wait_until_settled(5)


def test_an_event_of_a_connected_account_names_it(
    hook: HookServer, client: stripe.StripeClient
) -> None:
    account = {"stripe_account": "acct_other"}
    intent = client.v1.payment_intents.create(
        {"amount": 100, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"},
        account,  # type: ignore[arg-type]
    )
    client.v1.refunds.create({"payment_intent": intent.id}, account)  # type: ignore[arg-type]
    assert {post.json.get("account") for post in hook.wait_for(2)} == {"acct_other"}


def test_over_http_an_address_is_set_listed_and_forgotten(box: dispatch_sandbox.Sandbox) -> None:
    with httpx.Client(base_url=box.url, trust_env=False) as http:
        path = "/_sandbox/stripe/webhooks"
        wanted = {"url": "http://127.0.0.1:1/hook", "enabled_events": ["refund.failed"]}
        made = http.post(path, json=wanted)
        assert made.status_code == 201
        assert made.json()["secret"].startswith("whsec_")
        assert http.get(path).json() == {"webhooks": [made.json()]}
        for wrong in ({"url": "http://example.com/"}, {"url": "x"}, {"secret": "y"}):
            refused = http.post(path, json=wrong)
            assert refused.status_code == 400
            assert refused.json()["errors"][0]["field"] == "url"
        assert http.delete(path).json() == {"webhooks": []}


def test_only_what_was_asked_for_is_sent() -> None:
    events = Events()
    events.listen("http://localhost/", enabled_events=["refund.failed"])
    events.emit(None, "refund.created", {}, 1.0)
    assert events.take() == []
    events.emit(None, "refund.failed", {}, 1.0)
    assert len(events.take()) == 1
    assert not events.wait_until_settled(0)
    events.settle()
    assert events.wait_until_settled(0)


def test_the_addresses_are_part_of_the_state() -> None:
    state, other = StripeState(), StripeState()
    state.events.listen("http://127.0.0.1:1/hook", SECRET)
    other.load(state.dump())
    assert other.events.endpoints == state.events.endpoints
    other.load(StripeState().dump() | {"webhooks": []})
    assert other.events.endpoints == []


@pytest.mark.parametrize("url", ["http://example.com/", "ftp://127.0.0.1/", "http:///x", ""])
def test_the_sandbox_calls_no_other_machine(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="on this machine"):
        Events().listen(url)


def test_a_signature_is_stripes() -> None:
    header = sign(b"{}", SECRET, 1_700_000_000)
    assert stripe.WebhookSignature.verify_header("{}", header, SECRET)
