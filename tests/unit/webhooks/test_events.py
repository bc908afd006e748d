"""parse: what is understood, what is not, and what an event shows of itself."""

from __future__ import annotations

import json
import pickle
import sys
import traceback
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dispatch_returns import webhooks
from dispatch_returns.errors import EventError
from dispatch_returns.webhooks import (
    CommentCreated,
    CommentData,
    TicketCreated,
    TicketEvent,
    TicketUpdated,
    UnknownEvent,
    parse,
)
from tests.support.webhooks import body_of, envelope, event_body

CREATED = {
    "id": "tkt_1",
    "ticketNumber": 7,
    "title": "Return",
    "status": "return_requested",
    "priority": None,
    "source": "api",
    "createdAt": "2024-01-15T10:00:00Z",
    "customerId": None,
    "customerEmail": None,
    "customerName": None,
}
COMMENTED = {
    "ticketId": "tkt_1",
    "ticketNumber": "RET-7",
    "comment": {
        "id": "cmt_1",
        "body": "It arrived broken.",
        "authorId": "cus_1",
        "authorType": "CUSTOMER",
        "createdAt": "2024-01-15T12:00:00+02:00",
    },
    "customerId": "cus_1",
    "customerEmail": "jane@example.com",
    "customerName": "Jane Doe",
}


def data(**changes: Any) -> dict[str, Any]:
    """The data of a ``ticket.updated`` with some of it replaced."""
    return {**envelope()["data"], **changes}


def refused(body: Any) -> str:
    """The message with which `body` is refused, where its envelope or its data is read."""
    with pytest.raises(EventError) as caught:
        parse(body).read()
    return str(caught.value)


def test_a_ticket_updated() -> None:
    event = parse(event_body())
    assert type(event) is TicketUpdated
    assert isinstance(event, TicketEvent)
    assert (event.id, event.type, event.workspace_id) == ("evt_1", "ticket.updated", "br_1")
    assert event.timestamp == datetime(2024, 1, 15, 11, 59, 30, tzinfo=UTC)
    assert event.ticket_id == "tkt_1"
    assert event.raw == envelope()
    ticket = event.data
    assert (ticket.id, ticket.ticket_number) == ("tkt_1", 1234)
    assert ticket.subject == "Return Request - Order #1234"
    assert (ticket.status, ticket.priority, ticket.assignee_id) == ("refunded", "normal", None)
    assert ticket.customer_id == "cus_1"
    assert (ticket.customer_email, ticket.customer_name) == ("jane@example.com", "Jane Doe")
    assert ticket.updated_at == datetime(2024, 1, 15, 11, 59, tzinfo=UTC)
    assert ticket.changes == ("status",)


def test_a_ticket_created() -> None:
    event = parse(event_body(event="ticket.created", data=CREATED))
    assert type(event) is TicketCreated
    ticket = event.data
    assert (event.ticket_id, ticket.ticket_number, ticket.subject) == ("tkt_1", 7, "Return")
    assert (ticket.status, ticket.priority, ticket.source) == ("return_requested", None, "api")
    assert ticket.created_at == datetime(2024, 1, 15, 10, tzinfo=UTC)
    assert (ticket.customer_id, ticket.customer_email, ticket.customer_name) == (None, None, None)


@pytest.mark.parametrize("name", ["ticket.comment.created", "comment.created"])
def test_a_comment_created_under_both_its_names(name: str) -> None:
    event = parse(event_body(event=name, data=COMMENTED))
    assert type(event) is CommentCreated
    assert (event.type, event.ticket_id, event.data.ticket_number) == (name, "tkt_1", "RET-7")
    assert (event.data.customer_id, event.data.customer_email, event.data.customer_name) == (
        "cus_1",
        "jane@example.com",
        "Jane Doe",
    )
    comment = event.data.comment
    assert type(comment) is CommentData
    assert (comment.id, comment.body) == ("cmt_1", "It arrived broken.")
    assert (comment.author_id, comment.author_type) == ("cus_1", "CUSTOMER")
    assert comment.created_at == datetime(2024, 1, 15, 10, tzinfo=UTC)
    assert comment.created_at.tzinfo is UTC


def test_the_guides_names_are_read_too() -> None:
    snake = {
        "id": "tkt_1",
        "ticket_number": 5,
        "subject": "Return",
        "assignee_id": "usr_1",
        "customer_id": "cus_1",
        "customer_email": "jane@example.com",
        "customer_name": "Jane",
        "updated_at": "2024-01-15T10:00:00Z",
    }
    event = parse(event_body(data=snake))
    assert isinstance(event, TicketUpdated)
    ticket = event.data
    assert (ticket.ticket_number, ticket.subject, ticket.assignee_id) == (5, "Return", "usr_1")
    assert (ticket.customer_id, ticket.customer_email) == ("cus_1", "jane@example.com")
    assert ticket.customer_name == "Jane"
    assert ticket.updated_at == datetime(2024, 1, 15, 10, tzinfo=UTC)

    comment = {"id": "cmt_1", "author_id": "a", "author_type": "AGENT"}
    commented = parse(
        event_body(event="comment.created", data={"ticket_id": "tkt_2", "comment": comment})
    )
    assert isinstance(commented, CommentCreated)
    assert (commented.ticket_id, commented.data.ticket_number) == ("tkt_2", None)
    said = commented.data.comment
    assert (said.author_id, said.author_type) == ("a", "AGENT")


def test_all_but_the_ids_may_be_missing() -> None:
    event = parse(event_body(data={"id": "tkt_1"}))
    assert isinstance(event, TicketUpdated)
    assert event.ticket_id == "tkt_1"
    said = event.data.model_dump(exclude={"id", "changes"})
    assert event.data.changes == ()
    assert len(said) == 9
    assert set(said.values()) == {None}


@pytest.mark.parametrize("key", ["brand_id", "brandId", "workspace_id", "workspaceId"])
def test_the_workspace_under_each_of_its_names(key: str) -> None:
    sent = envelope()
    del sent["brand_id"]
    assert parse(body_of(sent)).workspace_id is None
    assert parse(body_of({**sent, key: "ws_1"})).workspace_id == "ws_1"


def test_the_type_under_both_of_its_names() -> None:
    sent = envelope()
    del sent["event"]
    assert type(parse(body_of({**sent, "type": "ticket.updated"}))) is TicketUpdated
    assert parse(body_of({**sent, "type": "x.y"})).type == "x.y"
    assert parse(event_body(type="ticket.created")).type == "ticket.updated"


@pytest.mark.parametrize(
    ("name", "about", "ticket"),
    [
        ("ticket.deleted", {"id": "tkt_1"}, "tkt_1"),
        ("ticket.closed", {"id": "tkt_1", "ticketId": "tkt_2"}, "tkt_2"),
        ("comment.updated", {"id": "cmt_1", "ticketId": "tkt_1"}, "tkt_1"),
        ("attachment.created", {"id": "att_1", "ticket_id": "tkt_1"}, "tkt_1"),
        ("customer.created", {"id": "cus_1"}, None),
        ("ticket.deleted", {}, None),
        ("ticket.deleted", {"id": 5}, None),
        ("comment.updated", {"ticketId": {"id": "tkt_1"}}, None),
        ("comment.updated", {"ticketId": "tkt\n"}, None),
    ],
)
def test_an_unknown_event_is_kept_whole(name: str, about: Any, ticket: str | None) -> None:
    event = parse(event_body(event=name, data=about, new="thing"))
    assert type(event) is UnknownEvent
    assert (event.type, event.data, event.ticket_id) == (name, about, ticket)
    assert event.raw["new"] == "thing"


def test_unknown_fields_are_accepted_and_kept() -> None:
    event = parse(event_body(version=2, data=data(customFields={"order_id": "1"})))
    assert isinstance(event, TicketUpdated)
    assert event.raw["version"] == 2
    assert event.raw["data"]["customFields"] == {"order_id": "1"}


def test_numbers_with_a_point_stay_exact() -> None:
    event = parse(event_body(data=data(amount="A")).replace(b'"A"', b"149.10"))
    assert event.raw["data"]["amount"] == Decimal("149.10")
    assert str(event.raw["data"]["amount"]) == "149.10"


def test_of_a_repeated_key_the_last_counts_as_in_javascript() -> None:
    assert parse(event_body().replace(b'{"id"', b'{"id":"evt_0","id"', 1)).id == "evt_1"


def test_space_around_the_object_is_json() -> None:
    assert parse(b" \t\r\n" + event_body() + b"\n \t\r").id == "evt_1"


def test_escapes_and_other_scripts_are_read() -> None:
    event = parse(event_body(data=data(title="Rücksendung 📦 \u2028 \u0000")))
    assert isinstance(event, TicketUpdated)
    assert event.data.subject == "Rücksendung 📦 \u2028 \u0000"


def test_a_title_that_was_cut_in_the_middle_of_an_emoji_loses_no_refund() -> None:
    # JSON.stringify writes what is left of it as an escape.
    event = parse(event_body(data=data(title="cut")).replace(b'"cut"', rb'"cut \ud83d"'))
    assert isinstance(event, TicketUpdated)
    assert event.data.subject == "cut \ud83d"


@pytest.mark.parametrize(
    ("sent", "utc"),
    [
        ("2024-01-15T12:00:00Z", datetime(2024, 1, 15, 12, tzinfo=UTC)),
        ("2024-01-15T12:00:00.123Z", datetime(2024, 1, 15, 12, 0, 0, 123000, tzinfo=UTC)),
        ("2024-01-15T12:00:00+00:00", datetime(2024, 1, 15, 12, tzinfo=UTC)),
        ("2024-01-15T12:00:00-05:30", datetime(2024, 1, 15, 17, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_given_in_utc(sent: str, utc: datetime) -> None:
    timestamp = parse(event_body(timestamp=sent)).timestamp
    assert timestamp == utc
    assert timestamp.utcoffset() == timedelta(0)


def deep(levels: int) -> bytes:
    return event_body(x=0).replace(b'"x":0', b'"x":' + b"[" * levels + b"]" * levels)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"1",
        b'"text"',
        b"[]",
        b"[" + event_body() + b"]",
        b"{",
        event_body()[:-1],
        event_body() + b"x",
        event_body() + event_body(),
        b"\xa0" + event_body(),
        b"\x0b" + event_body(),
        b"\xef\xbb\xbf" + event_body(),
        event_body().decode().encode("utf-16"),
        event_body(data=data(title="\ud83d")),  # the lone surrogate itself, not its escape
        b"\xff" + event_body(),
        event_body(x=float("nan")),
        event_body(x=float("inf")),
        event_body(x=float("-inf")),
        event_body(x="N").replace(b'"N"', b"9" * 5000),
        event_body(x="N").replace(b'"N"', b"1e9999999999999999999"),
        event_body(x="a\tb").replace(b"\\t", b"\t"),
        deep(100_000),
        deep(sys.getrecursionlimit()),
    ],
)
def test_a_body_that_is_not_a_json_object(body: bytes) -> None:
    assert refused(body) == "the body is not a JSON object"


@pytest.mark.parametrize("body", [None, "{}", 1, bytearray(b"{}"), {}, []])
def test_a_body_that_is_not_bytes(body: Any) -> None:
    assert refused(body) == "the body is not a JSON object"


NOT_IDS: list[Any] = [
    "", "x" * 256, "a\x00b", "a\nb", "a\u2028b", "a\x1b[31m", 1, 1.5, True, ["a"], {"a": "b"},
]  # fmt: skip


@pytest.mark.parametrize("value", [None, *NOT_IDS])
def test_an_id_must_be_one(value: Any) -> None:
    assert refused(event_body(id=value)) == "id is missing, or not what it must be"


def test_an_id_may_be_as_long_as_the_database_takes() -> None:
    assert parse(event_body(id="x" * 255)).id == "x" * 255


@pytest.mark.parametrize("escape", [rb"\ud83d", rb"\udc00", rb"\u0000"])
@pytest.mark.parametrize(
    ("marked", "name"),
    [
        (event_body(id="MARK"), "id"),
        (event_body(event="MARK"), "event"),
        (event_body(brand_id="MARK"), "brand_id"),
        (event_body(data=data(id="MARK")), "data.id"),
        (event_body(data=data(customerId="MARK")), "data.customerId"),
        (event_body(data=data(assigneeId="MARK")), "data.assigneeId"),
    ],
)
def test_an_id_that_a_database_cannot_store(escape: bytes, marked: bytes, name: str) -> None:
    body = marked.replace(b"MARK", escape)
    assert refused(body) == f"{name} is missing, or not what it must be"


@pytest.mark.parametrize("value", [None, *NOT_IDS])
def test_a_type_must_be_one(value: Any) -> None:
    assert refused(event_body(event=value)) == "event is missing, or not what it must be"


@pytest.mark.parametrize("value", NOT_IDS)
def test_a_workspace_must_be_one(value: Any) -> None:
    assert refused(event_body(brand_id=value)) == "brand_id is missing, or not what it must be"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "yesterday",
        "2024-01-15",
        "2024-01-15T12:00:00",
        "2024-13-15T12:00:00Z",
        "2024-01-15T12:00:60Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "10000-01-01T00:00:00Z",
        "\uff12\uff10\uff12\uff14-01-15T12:00:00Z",
        1705320000,
        1705320000.5,
        True,
        ["2024-01-15T12:00:00Z"],
        {},
    ],
)
def test_a_timestamp_must_be_a_point_in_time(value: Any) -> None:
    assert refused(event_body(timestamp=value)) == "timestamp is missing, or not what it must be"


@pytest.mark.parametrize("name", ["id", "event", "timestamp", "data"])
def test_the_envelope_must_be_whole(name: str) -> None:
    sent = envelope()
    del sent[name]
    assert refused(body_of(sent)) == f"{name} is missing, or not what it must be"


@pytest.mark.parametrize("name", ["ticket.updated", "something.new"])
@pytest.mark.parametrize("value", [None, [], "data", 1, True])
def test_data_must_be_an_object(name: str, value: Any) -> None:
    body = event_body(event=name, data=value)
    assert refused(body) == "data is missing, or not what it must be"


WRONG: dict[str, list[Any]] = {
    "id": [None, *NOT_IDS],
    "ticketNumber": [-1, 2**63, 10**4000, 1.5, "12", True, [], {}],
    "title": [1, True, [], {}],
    "status": [1, False, ["refunded"], {}],
    "priority": [1, [], {}],
    "customerId": NOT_IDS,
    "customerEmail": [1, ["a"], {}],
    "customerName": [1, ["a"], {}],
    "assigneeId": NOT_IDS,
    "updatedAt": [1, "", "today", "2024-01-15T12:00:00", "0001-01-01T00:00:00+14:00", [], {}],
    "changes": ["status", 1, {"status": "x"}, [1], ["status", None], [["status"]], True],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_a_known_event_with_a_field_of_another_type(name: str, value: Any) -> None:
    body = event_body(data=data(**{name: value}))
    assert refused(body) == f"data.{name} is missing, or not what it must be"


def test_a_number_may_be_as_large_as_the_database_takes() -> None:
    event = parse(event_body(data=data(ticketNumber=2**63 - 1)))
    assert isinstance(event, TicketUpdated)
    assert event.data.ticket_number == 2**63 - 1
    event = parse(event_body(data=data(ticketNumber=0)))
    assert isinstance(event, TicketUpdated)
    assert event.data.ticket_number == 0


def test_the_guides_names_are_checked_too() -> None:
    body = event_body(data={"id": "tkt_1", "customer_email": 5})
    assert refused(body) == "data.customer_email is missing, or not what it must be"
    body = event_body(data={"id": "tkt_1", "ticket_number": "5"})
    assert refused(body) == "data.ticket_number is missing, or not what it must be"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"ticketId": None}, "ticketId"),
        ({"ticketId": 5}, "ticketId"),
        ({"ticketNumber": 5}, "ticketNumber"),
        ({"comment": None}, "comment"),
        ({"comment": "text"}, "comment"),
        ({"comment": {}}, "comment.id"),
        ({"comment": {"id": "c", "body": 5}}, "comment.body"),
        ({"comment": {"id": "c", "authorId": 5}}, "comment.authorId"),
        ({"comment": {"id": "c", "authorType": 5}}, "comment.authorType"),
        ({"comment": {"id": "c", "createdAt": "now"}}, "comment.createdAt"),
    ],
)
def test_a_comment_with_a_field_of_another_type(changes: Any, name: str) -> None:
    body = event_body(event="comment.created", data={**COMMENTED, **changes})
    assert refused(body) == f"data.{name} is missing, or not what it must be"


@pytest.mark.parametrize("name", ["source", "createdAt"])
def test_a_created_ticket_with_a_field_of_another_type(name: str) -> None:
    body = event_body(event="ticket.created", data={**CREATED, name: 5})
    assert refused(body) == f"data.{name} is missing, or not what it must be"


def test_a_repr_shows_ids_and_nothing_of_the_customer() -> None:
    assert repr(parse(event_body())) == (
        "TicketUpdated(id='evt_1', type='ticket.updated', workspace_id='br_1', ticket_id='tkt_1')"
    )
    event = parse(event_body(event="comment.created", data=COMMENTED))
    assert isinstance(event, CommentCreated)
    assert repr(event.data.comment) == "CommentData(id='cmt_1')"
    assert repr(event.data) == "CommentCreatedData(ticket_id='tkt_1')"
    assert str(event) == repr(event)


@pytest.mark.parametrize(
    "body",
    [
        event_body(id="secret\n"),
        event_body(timestamp="secret"),
        event_body(data=data(updatedAt="secret")),
        event_body(data=data(changes="secret")),
        b'{"secret": ',
        b'{"secret": "\xff"}',
        b'"secret"',
    ],
)
def test_an_error_quotes_nothing_of_the_body(body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        parse(body).read()
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    context = caught.value.__context__
    # They hold it all.
    assert not isinstance(context, json.JSONDecodeError | UnicodeDecodeError | ValidationError)


def test_an_event_cannot_be_changed() -> None:
    event = parse(event_body())
    for name in ("id", "timestamp", "data", "raw", "anything"):
        with pytest.raises(AttributeError):
            setattr(event, name, "other")
    with pytest.raises(ValidationError):
        event.data.status = "other"  # type: ignore[attr-defined]


def test_events_are_equal_when_their_bodies_say_the_same() -> None:
    event = parse(event_body())
    assert event == parse(json.dumps(envelope(), indent=1).encode())
    assert hash(event) == hash(parse(event_body())) != hash(parse(event_body(id="evt_2")))
    assert event != parse(event_body(brand_id="br_2"))
    assert event != object()
    other = UnknownEvent(event.id, event.type, "br_1", "tkt_1", event.timestamp, event.raw)
    assert event != other
    assert pickle.loads(pickle.dumps(event.read())) == event


def test_the_envelope_alone_is_read_until_the_data_is_asked_for() -> None:
    event = parse(event_body(data=data(title=5)))
    assert (event.id, event.type, event.ticket_id) == ("evt_1", "ticket.updated", "tkt_1")
    with pytest.raises(EventError, match=r"^data\.title is missing, or not what it must be$"):
        event.data  # noqa: B018 - looking it up is the act


def test_the_data_is_read_once() -> None:
    event = parse(event_body())
    assert event.data is event.data
    assert event.read() is event


@pytest.mark.parametrize("name", webhooks.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(webhooks, name) is not None
    assert name in dir(webhooks)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'nope'$"):
        webhooks.nope  # type: ignore[attr-defined]  # noqa: B018 - looking it up is the act


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
names = st.sampled_from(
    ["id", "ticketId", "ticketNumber", "title", "status", "changes", "comment", "updatedAt",
     "createdAt", "customerId", "customerEmail", "assigneeId", "source", "body"]
)  # fmt: skip
types = st.sampled_from(
    ["ticket.created", "ticket.updated", "ticket.comment.created", "comment.created", "x"]
)


def read_everything(event: webhooks.Event) -> None:
    for name in dir(event):
        if not name.startswith("_"):
            getattr(event, name)
    repr(event)
    hash(event)


@given(body=st.binary())
def test_any_bytes_are_an_event_error(body: bytes) -> None:
    refused(body)


@given(
    changes=st.dictionaries(
        st.sampled_from(["id", "event", "type", "brand_id", "timestamp", "data", "x"]), json_values
    ),
    kind=types,
    about=st.dictionaries(names, json_values),
)
def test_what_parses_can_be_read_and_the_rest_is_an_event_error(
    changes: dict[str, Any], kind: str, about: dict[str, Any]
) -> None:
    sent = {**envelope(event=kind, data={**data(), **about}), **changes}
    try:
        event = parse(json.dumps(sent).encode()).read()
    except EventError:
        return
    read_everything(event)
    assert event.timestamp.tzinfo is not None
