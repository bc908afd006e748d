"""What a processor may send: several events at once, a bare hint, a challenge, too early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import NotVerifiableYetError, SignatureError
from dispatch_returns.refunds.adapter import EventHead
from dispatch_returns.store import Store
from dispatch_returns.webhooks.http import AsyncRequest, NoBody, Request
from dispatch_returns.webhooks.receiver import ProcessorReceiver
from tests.support.stores import open_store
from tests.support.webhooks import NOW, stored

Verify = Callable[[WebhookRequest], Sequence[EventHead]]


class Acme:
    """A processor whose verification is the test's."""

    name = "acme"

    def __init__(self, verify: Verify) -> None:
        self.verify_webhook = verify


class Challenger(Acme):
    def answer_challenge(self, request: WebhookRequest) -> bytes:
        if request.query != "challenge=abc":
            raise SignatureError("this is no challenge of Acme's")
        return b"pub|abc"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as store:
        yield store


class Moments:
    """A clock that the test moves."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


def receiver(store: Store, verify: Verify, clock: Moments | None = None) -> ProcessorReceiver:
    return ProcessorReceiver(
        store,
        Acme(verify),
        is_known=lambda _conn, _name, it: it == "tr_1",
        clock=clock or Moments(),
    )


def post(receiver: ProcessorReceiver, body: bytes = b"whole") -> tuple[int, bytes]:
    answer = receiver.receive("POST", {}, body)
    return answer.status, answer.body


def test_each_event_of_a_delivery_is_stored_with_its_own_part(store: Store) -> None:
    heads = [EventHead("a", "REFUND", body=b"one"), EventHead("b", "REFUND", body=b"two")]
    acme = receiver(store, lambda _: heads)
    assert post(acme) == (200, b'{"status": "accepted"}')
    assert post(acme) == (200, b'{"status": "repeated"}')
    assert [(it.event_id, it.body) for it in stored(store)] == [("b", b"two"), ("a", b"one")]


def test_a_delivery_without_an_event_for_us_is_acknowledged(store: Store) -> None:
    assert post(receiver(store, lambda _: [])) == (200, b'{"status": "accepted"}')
    assert stored(store) == []


def test_hints_about_a_payment_make_us_ask_once_after_all_of_them(store: Store) -> None:
    clock = Moments()
    acme = receiver(store, lambda _: [EventHead("x", "hint", hint_of="tr_1")], clock)
    for _ in range(100):
        assert post(acme) == (200, b'{"status": "accepted"}')
        clock.now += timedelta(seconds=0.09)
    (hint,) = stored(store)
    assert hint.due_at is not None
    assert clock.now <= hint.due_at <= NOW + timedelta(seconds=10)
    clock.now += timedelta(seconds=10)
    post(acme)
    assert len(stored(store)) == 2, "a later hint makes us ask again"


def test_a_hint_about_a_payment_that_is_not_ours_is_forgotten(store: Store) -> None:
    known = receiver(store, lambda _: [EventHead("x", "hint", hint_of="tr_1")])
    strange = receiver(store, lambda _: [EventHead("x", "hint", hint_of="tr_2")])
    assert post(strange) == post(known), "the answer does not say which payments are ours"
    assert len(stored(store)) == 1


def test_what_cannot_be_verified_yet_is_to_be_sent_again(store: Store) -> None:
    def verify(_: WebhookRequest) -> Sequence[EventHead]:
        raise NotVerifiableYetError("the certificate is being fetched")

    answer = receiver(store, verify).receive("POST", {}, b"{}")
    assert answer.status == 503
    assert dict(answer.headers)["retry-after"]
    assert stored(store) == []


def no_body(*_: object) -> NoBody:
    raise AssertionError("a challenge has no body to wait for")


def test_a_challenge_is_answered_and_any_other_get_is_refused(store: Store) -> None:
    acme = ProcessorReceiver(store, Challenger(lambda _: []))
    answer = acme.serve(Request("GET", "/webhooks/acme", "challenge=abc", {}, no_body))
    assert (answer.status, answer.body) == (200, b"pub|abc")
    assert dict(answer.headers)["x-content-type-options"] == "nosniff"
    assert acme.serve(Request("GET", "/webhooks/acme", "", {}, no_body)).status == 401

    async def ask() -> int:
        async def read(*_: object) -> NoBody:
            return no_body()

        asked = AsyncRequest("GET", "/webhooks/acme", "challenge=abc", {}, read)
        return (await acme.serve_async(asked)).status

    assert asyncio.run(ask()) == 200


def test_a_processor_without_challenges_takes_posts_only(store: Store) -> None:
    acme = receiver(store, lambda _: [])
    assert acme.serve(Request("GET", "/", "challenge=abc", {}, no_body)).status == 405


def test_verification_sees_the_whole_request(store: Store) -> None:
    seen: list[WebhookRequest] = []

    def verify(request: WebhookRequest) -> Sequence[EventHead]:
        seen.append(request)
        return []

    request = Request("POST", "/hooks/acme", "a=b", {"X-Sig": "s"}, lambda *_: b"body")
    assert receiver(store, verify).serve(request).status == 200
    (whole,) = seen
    assert (whole.method, whole.path, whole.query) == ("POST", "/hooks/acme", "a=b")
    assert (whole.header("x-sig"), whole.body) == ("s", b"body")
    assert "body" not in repr(whole)
