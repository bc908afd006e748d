"""What every mount of the receiver must do."""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatch_returns.store import Store
from dispatch_returns.store.inbox import EventState
from dispatch_returns.webhooks.receiver import InboxStore
from tests.support.web_requests import Reply, Request
from tests.support.webhooks import (
    HEADER,
    NOW,
    SECRET,
    STRIPE_SECRET,
    ClosedStore,
    FullDisk,
    Shop,
    StuckStore,
    event_body,
    shop,
    shop_with_stripe,
    signed,
    stored,
    stripe_event,
    stripe_signed,
)

METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X"]
DESIGNED = {200, 400, 401, 405, 411, 413}


def delivery(body: bytes, **options: Any) -> Request:
    """A delivery as Dispatch makes it."""
    return Request(body, list(signed(body).items()), **options)


bodies = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.floats()).map(
        lambda decoded: json.dumps(decoded).encode()
    ),
    st.builds(
        event_body,
        id=st.uuids().map(str) | st.text(max_size=5) | st.integers(),
        event=st.sampled_from(["ticket.updated", "ticket.created", "comment.created", "x.y", ""]),
        data=st.fixed_dictionaries(
            {"id": st.just("tkt_1") | st.text()},
            optional={"title": st.text(max_size=300), "changes": st.lists(st.text()) | st.text()},
        ),
        timestamp=st.just(NOW.isoformat()) | st.datetimes().map(str) | st.text(max_size=20),
    ),
)
latin = st.text(st.characters(max_codepoint=255), max_size=100)
signatures = latin | latin.map("sha256=".__add__) | st.just("sha256=" + "0" * 64)
names = st.sampled_from(["Content-Type", "X-Other", "Transfer-Encoding", "Content-Encoding"])


def _is_no_number(text: str) -> bool:
    """A server lets no length through that is a number and not the body's."""
    return not (text.isascii() and text.isdigit())


@st.composite
def forged(draw: st.DrawFn) -> Request:
    """Anything that a server could pass on."""
    all_names = names | st.sampled_from([HEADER, HEADER.lower()])
    return Request(
        draw(bodies),
        draw(st.lists(st.tuples(all_names, signatures), max_size=3)),
        draw(st.sampled_from(["POST", "POST", "GET", "X"])),
        draw(st.sampled_from(["true", None]) | latin.filter(_is_no_number)),
        draw(st.integers(1, 100)),
    )


@st.composite
def authentic(draw: st.DrawFn) -> Request:
    """Anything with a good signature, whether it is an event or not."""
    body = draw(bodies)
    noise = draw(st.lists(st.tuples(names, latin), max_size=3))
    length = draw(st.sampled_from(["true", None]))
    return Request(body, [*signed(body).items(), *noise], "POST", length, draw(st.integers(1, 100)))


def stripes(body: bytes, **options: Any) -> Request:
    """A delivery as Stripe makes it."""
    return Request(body, list(stripe_signed(body).items()), **options)


stripe_bodies = bodies | st.builds(
    stripe_event,
    id=st.uuids().map(str) | st.text(max_size=5) | st.integers(),
    type=st.sampled_from(["refund.updated", "charge.refunded", "payout.paid", ""]) | st.none(),
    created=st.integers() | st.floats() | st.text(max_size=5) | st.just(1705319970),
    data=st.none() | st.fixed_dictionaries({"object": st.none() | st.dictionaries(latin, latin)}),
)
stripe_signatures = latin | st.builds("t={},v1={}".format, st.integers() | latin, latin)


@st.composite
def stripe_forged(draw: st.DrawFn) -> Request:
    """Anything that a server could pass on to Stripe's path."""
    header = st.tuples(st.sampled_from(["Stripe-Signature", "stripe-signature"]), stripe_signatures)
    return Request(
        draw(stripe_bodies),
        draw(st.lists(header | st.tuples(names, latin), max_size=3)),
        draw(st.sampled_from(["POST", "POST", "GET", "X"])),
        draw(st.sampled_from(["true", None]) | latin.filter(_is_no_number)),
        draw(st.integers(1, 100)),
    )


@st.composite
def stripe_authentic(draw: st.DrawFn) -> Request:
    """Anything with a good signature of Stripe's, whether it is an event or not."""
    body = draw(stripe_bodies)
    noise = draw(st.lists(st.tuples(names, latin), max_size=3))
    return Request(body, [*stripe_signed(body).items(), *noise], "POST", "true")


class MountContract(ABC):
    """Inherit it, say how to mount and how to ask, and every behaviour is tested."""

    PATH = "/webhooks/dispatch"
    STRIPE = "/webhooks/stripe"

    @abstractmethod
    def mount(self, connector: Shop) -> Any:
        """Return the application, with the receiver mounted."""

    @abstractmethod
    def ask(self, app: Any, request: Request, path: str) -> Reply:
        """Send one request to it; exceptions come through."""

    @abstractmethod
    def serve(self, app: Any) -> contextlib.AbstractContextManager[str]:
        """Run it behind a real server; give the URL's beginning."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Generator[Store]:
        with Store.open(f"sqlite:///{tmp_path / 'inbox.db'}") as opened:
            yield opened

    def send(self, store: InboxStore, request: Request, **options: Any) -> Reply:
        return self.ask(self.mount(shop(store, **options)), request, self.PATH)

    def test_a_delivery_is_accepted_and_on_disk(self, store: Store) -> None:
        body = b'  {"id": "evt_1", "event": "x.y", "data": {"n": 149.00, "\xc3\xbc": "\\u00fc"}, '
        body += b'"timestamp": "2024-01-15T12:00:00Z"}\n'  # no serializer would write it so again
        reply = self.send(store, delivery(body))
        assert (reply.status, reply.word) == (200, "accepted")
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["content-length"] == str(len(reply.body))
        assert [event.body for event in stored(store)] == [body]

    def test_a_repeated_delivery_is_acknowledged(self, store: Store) -> None:
        app = self.mount(shop(store))
        words = [self.ask(app, delivery(event_body()), self.PATH).word for _ in range(3)]
        assert words == ["accepted", "repeated", "repeated"]
        assert len(stored(store)) == 1

    def test_a_body_that_is_not_understood_is_kept(self, store: Store) -> None:
        for body in (b"\xff\x00 not JSON", b""):
            reply = self.send(store, delivery(body))
            assert (reply.status, reply.word) == (200, "unreadable")
        assert {event.state for event in stored(store)} == {EventState.UNREADABLE}

    def test_a_body_may_come_in_small_pieces(self, store: Store) -> None:
        reply = self.send(store, delivery(event_body(), piece=7))
        assert (reply.status, reply.word) == (200, "accepted")

    def test_a_body_may_come_without_its_length(self, store: Store) -> None:
        reply = self.send(store, delivery(event_body(), length=None, piece=100))
        assert (reply.status, reply.word) == (200, "accepted")

    @pytest.mark.parametrize("name", [HEADER.lower(), HEADER.upper()])
    def test_the_headers_name_is_of_any_case(self, store: Store, name: str) -> None:
        request = Request(event_body(), [(name, signed(event_body())[HEADER])])
        assert self.send(store, request).status == 200

    @pytest.mark.parametrize(
        "values",
        [
            [],
            [""],
            ["sha256=" + "0" * 64],
            [signed(event_body(), "another")[HEADER]],
            [signed(event_body())[HEADER]] * 2,
            ["", signed(event_body())[HEADER]],
            [signed(event_body())[HEADER], "sha256=" + "0" * 64],
            ["sha256=\xe9" + "0" * 63],
        ],
    )
    def test_a_wrong_signature_is_refused_without_a_reason(
        self, store: Store, values: list[str]
    ) -> None:
        reply = self.send(store, Request(event_body(), [(HEADER, value) for value in values]))
        assert (reply.status, reply.word) == (401, "unauthorized")
        assert stored(store) == []

    def test_a_replay_is_refused(self, store: Store) -> None:
        old = event_body(timestamp=(NOW - timedelta(days=8)).isoformat())
        assert self.send(store, delivery(old)).status == 401
        assert stored(store) == []

    @pytest.mark.parametrize("method", METHODS)
    def test_every_other_method_is_answered_by_the_receiver(
        self, store: Store, method: str
    ) -> None:
        reply = self.send(store, delivery(event_body(), method=method))
        assert reply.status == 405
        assert reply.headers["allow"] == "POST"
        assert method == "HEAD" or reply.word == "method not allowed"
        assert (reply.read, stored(store)) == (0, [])

    def test_a_large_body_is_refused_unread_when_it_says_so(self, store: Store) -> None:
        reply = self.send(store, delivery(event_body(), piece=10), max_body=300)
        assert (reply.status, reply.word) == (413, "too large")
        assert reply.read <= 10  # the first piece may come with the headers

    def test_a_large_body_is_read_no_further_than_the_limit(self, store: Store) -> None:
        request = delivery(event_body() + b" " * 5000, length=None, piece=10)
        reply = self.send(store, request, max_body=1000)
        assert (reply.status, reply.word) == (413, "too large")
        assert reply.read <= 1010
        assert stored(store) == []

    @pytest.mark.parametrize("length", ["true", None])
    def test_a_body_as_large_as_the_limit_is_taken(self, store: Store, length: str | None) -> None:
        request = delivery(event_body(), length=length)
        assert self.send(store, request, max_body=len(request.body)).status == 200

    @pytest.mark.parametrize("length", ["ten", "-1", "1e3", "0x10", "1, 1", "\xb2", "9" * 5000])
    def test_a_length_that_is_none_is_refused(self, store: Store, length: str) -> None:
        reply = self.send(store, delivery(event_body(), length=length))
        assert reply.status in (400, 413)
        assert stored(store) == []

    def test_a_body_that_breaks_off_is_not_taken(self, store: Store) -> None:
        whole = event_body()
        request = delivery(whole, length=str(len(whole) + 5), breaks_off=True)
        assert self.send(store, request).status in (None, 400)
        assert stored(store) == []

    @pytest.mark.parametrize("broken", [ClosedStore, FullDisk])
    def test_nothing_is_acknowledged_that_is_not_on_disk(self, broken: type[InboxStore]) -> None:
        reply = self.send(broken(), delivery(event_body()))
        assert (reply.status, reply.word) == (503, "unavailable")
        assert reply.headers["retry-after"] == "30"

    def test_a_store_that_does_not_answer_is_not_waited_for_for_ever(self) -> None:
        reply = self.send(StuckStore(), delivery(event_body()), max_wait=timedelta(milliseconds=20))
        assert reply.status == 503

    def test_the_receiver_is_asked_for_at_each_delivery(self, store: Store) -> None:
        connector = shop(store)
        app = self.mount(connector)
        connector.receiver = shop(FullDisk()).receiver
        assert self.ask(app, delivery(event_body()), self.PATH).status == 503

    def test_behind_a_real_server(self, store: Store) -> None:
        body = event_body()
        with (
            self.serve(self.mount(shop(store))) as url,
            httpx.Client(timeout=10, trust_env=False) as client,
        ):
            answers = [
                client.post(url + self.PATH, content=body, headers=signed(body)),
                client.post(url + self.PATH, content=body, headers=signed(body)),
                client.post(url + self.PATH, content=body),
                client.get(url + self.PATH),
            ]
        assert [answer.status_code for answer in answers] == [200, 200, 401, 405]
        assert [answer.json()["status"] for answer in answers[:2]] == ["accepted", "repeated"]
        assert [event.body for event in stored(store)] == [body]

    # What the payment processor sends, at its own path.

    def send_stripe(self, store: InboxStore, request: Request, **options: Any) -> Reply:
        return self.ask(self.mount(shop_with_stripe(store, **options)), request, self.STRIPE)

    def test_an_event_of_stripes_is_accepted_once_and_on_disk(self, store: Store) -> None:
        app, body = self.mount(shop_with_stripe(store)), stripe_event()
        words = [self.ask(app, stripes(body), self.STRIPE).word for _ in range(2)]
        assert words == ["accepted", "repeated"]
        (event,) = stored(store)
        assert (event.source, event.event_id, event.type) == ("stripe", "evt_s1", "refund.updated")
        assert (event.ticket_id, event.body) == ("tkt_1", body)

    def test_each_sender_has_its_own_path_and_its_own_signature(self, store: Store) -> None:
        app = self.mount(shop_with_stripe(store))
        ours, theirs = delivery(event_body()), stripes(stripe_event())
        assert self.ask(app, ours, self.STRIPE).status == 401
        assert self.ask(app, theirs, self.PATH).status == 401
        assert self.ask(app, ours, self.PATH).status == 200
        assert self.ask(app, theirs, self.STRIPE).status == 200

    @pytest.mark.parametrize("minutes", [-6, 6])
    def test_an_old_signature_of_stripes_and_one_from_the_future_are_refused(
        self, store: Store, minutes: int
    ) -> None:
        headers = stripe_signed(stripe_event(), at=NOW + timedelta(minutes=minutes))
        reply = self.send_stripe(store, Request(stripe_event(), list(headers.items())))
        assert (reply.status, reply.word, stored(store)) == (401, "unauthorized", [])

    def test_an_event_of_stripes_that_is_not_understood_is_kept(self, store: Store) -> None:
        for body in (b"\xff not JSON", stripe_event(id="a\x00b"), stripe_event(created=None)):
            assert self.send_stripe(store, stripes(body)).word == "unreadable"
        assert {event.state for event in stored(store)} == {EventState.UNREADABLE}
        assert {event.source for event in stored(store)} == {"stripe"}

    def test_an_event_of_stripes_about_anything_else_is_kept(self, store: Store) -> None:
        other = stripe_event(type="payout.paid", data={"object": {"id": "po_1"}})
        assert self.send_stripe(store, stripes(other)).word == "accepted"

    def test_nothing_of_stripes_is_acknowledged_that_is_not_on_disk(self) -> None:
        reply = self.send_stripe(FullDisk(), stripes(stripe_event()))
        assert (reply.status, reply.word) == (503, "unavailable")

    def test_stripes_path_takes_posts_of_a_limited_size_only(self, store: Store) -> None:
        assert self.send_stripe(store, stripes(stripe_event(), method="GET")).status == 405
        assert self.send_stripe(store, stripes(stripe_event()), max_body=100).status == 413

    @settings(
        max_examples=100,
        suppress_health_check=[
            HealthCheck.differing_executors,
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )
    @given(request_=stripe_authentic() | stripe_forged(), alive=st.booleans())
    def test_whatever_is_sent_to_stripes_path_the_answer_is_a_designed_one(
        self, store: Store, request_: Request, alive: bool
    ) -> None:
        before = len(stored(store))
        reply = self.send_stripe(store if alive else FullDisk(), request_, max_body=600)
        assert reply.status in (DESIGNED if alive else DESIGNED - {200} | {503})
        new = reply.status == 200 and reply.word != "repeated"
        assert len(stored(store)) == before + new
        assert STRIPE_SECRET.encode() not in reply.body

    @settings(
        max_examples=100,
        suppress_health_check=[
            HealthCheck.differing_executors,
            HealthCheck.function_scoped_fixture,  # one inbox for all examples is the point
            HealthCheck.too_slow,
        ],
    )
    @given(request_=authentic() | forged(), alive=st.booleans())
    def test_whatever_is_sent_the_answer_is_a_designed_one(
        self, store: Store, request_: Request, alive: bool
    ) -> None:
        before = len(stored(store))
        reply = self.send(store if alive else FullDisk(), request_, max_body=300)
        assert reply.status in (DESIGNED if alive else DESIGNED - {200} | {503})
        new = reply.status == 200 and reply.word != "repeated"
        assert len(stored(store)) == before + new
        assert SECRET.encode() not in reply.body
