"""Answers: what they become, and what is raised when they cannot be used."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from dispatch_returns import errors
from tests.support.api_callers import KEY, Caller
from tests.support.api_server import ApiServer, Reply

TICKET = {"id": "tkt_1", "workspace_id": "ws_1", "subject": "s", "status": "open"}
REQUEST_ID = {"x-request-id": "req_1"}


def refused(server: ApiServer, caller: Caller, reply: Reply) -> errors.APIError:
    server.reply(reply)
    with pytest.raises(errors.APIError) as caught:
        caller.call("tickets.get", "tkt_1")
    return caught.value


@pytest.mark.parametrize("method", ["get", "update"])
def test_amounts_arrive_exactly(server: ApiServer, caller: Caller, method: str) -> None:
    server.reply(Reply(body=b'{"id":"t","brandId":"b","title":"s","status":"x","customFields":{"refund_amount":149.00,"count":2}}'))  # fmt: skip  # noqa: E501
    fields = caller.call(f"tickets.{method}", "tkt_1").custom_fields
    assert repr(fields) == "{'refund_amount': Decimal('149.00'), 'count': 2}"


@pytest.mark.parametrize("reply", [Reply(204), Reply(200, {"deleted": True}), Reply(200, b"")])
def test_a_delete_may_be_answered_with_anything(
    server: ApiServer, caller: Caller, reply: Reply
) -> None:
    server.reply(reply)
    assert caller.call("tickets.delete", "tkt_1") is None


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>jane@example.com</html>", b'{"id":', b"\xff\xfe", b'{"id": NaN}', b"[" * 100_000],
    ids=["empty", "html", "cut", "bytes", "nan", "deep"],
)  # fmt: skip
def test_an_answer_that_is_not_json_says_so(server: ApiServer, caller: Caller, body: bytes) -> None:
    error = refused(server, caller, Reply(200, body, REQUEST_ID))
    assert type(error) is errors.APIResponseError
    assert error.request_id == "req_1"
    assert "it is not JSON" in str(error)
    assert "jane" not in str(error)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ({**TICKET, "status": None}, "status: string_type"),
        ({"id": "tkt_1", "brandId": "jane@example.com"}, "subject: missing, status: missing"),
        ({**TICKET, "createdAt": "2024-01-15T10:00:00"}, "createdAt: timezone_aware"),
        ({**TICKET, "customer": {"email": "jane@example.com"}}, "customer.id: missing"),
        (["jane@example.com"], "it: model_type"),
        ("jane@example.com", "it: model_type"),
    ],
)  # fmt: skip
def test_an_answer_that_lacks_a_field_names_it_and_shows_no_value(
    server: ApiServer, caller: Caller, answer: Any, names: str
) -> None:
    error = refused(server, caller, Reply(200, answer, REQUEST_ID))
    assert type(error) is errors.APIResponseError
    assert error.request_id == "req_1"
    assert names in str(error)
    assert "jane" not in str(error)
    assert error.__cause__ is error.__context__ is None


def test_a_list_that_is_not_one_says_so(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(200, {"data": []}))
    with pytest.raises(errors.APIResponseError, match="the answer is not a list"):
        caller.call("comments.list", "tkt_1")


def test_a_redirect_is_no_answer(server: ApiServer, caller: Caller) -> None:
    error = refused(server, caller, Reply(302, headers={"Location": "/elsewhere"}))
    assert type(error) is errors.APIResponseError
    assert "answered 302" in str(error)


def test_an_error_carries_what_the_server_said(server: ApiServer, caller: Caller) -> None:
    body = {
        "message": "Validation failed",
        "code": "VALIDATION",
        "errors": [{"field": "status", "message": "is unknown"}, "odd", {"field": 1}],
    }
    error = refused(server, caller, Reply(422, body, REQUEST_ID))
    assert isinstance(error, errors.ValidationError)
    assert str(error) == (
        "GET /workspaces/ws_1/tickets/tkt_1 answered 422: Validation failed:"
        " status: is unknown; 1 (request req_1)"
    )
    assert (error.code, error.request_id) == ("VALIDATION", "req_1")
    assert error.errors == (
        errors.FieldProblem("status", "is unknown"),
        errors.FieldProblem("1", ""),
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"message": ["subject is missing", "no status"]}, "subject is missing; no status"),
        ({"error": "Bad Request"}, "Bad Request"),
        ({"message": "two\nlines"}, "two lines"),
        ({"message": {"a": 1}}, "no message"),
        (b"<html>", "no message"),
        ([], "no message"),
        ({"message": "no ticket of jane@example.com here"}, "no ticket of (e-mail) here"),
        ({"message": f"the key {KEY} is wrong"}, "the key *** is wrong"),
    ],
)  # fmt: skip
def test_every_shape_of_an_error_body_is_read(
    server: ApiServer, caller: Caller, body: Any, said: str
) -> None:
    error = refused(server, caller, Reply(400, body))
    assert error.message == f"GET /workspaces/ws_1/tickets/tkt_1 answered 400: {said}"


def test_a_long_message_is_cut(server: ApiServer, caller: Caller) -> None:
    assert len(str(refused(server, caller, Reply(400, {"message": "x" * 100_000})))) < 400


def test_the_key_is_in_no_error_and_no_repr(server: ApiServer, caller: Caller) -> None:
    echo = {"message": KEY, "code": KEY, "errors": [{"field": KEY, "message": KEY}]}
    error = refused(server, caller, Reply(401, echo, {"x-request-id": "r"}))
    assert KEY not in f"{error} {error!r} {vars(error)} {caller.client!r}"
    assert "'ws_1'" in repr(caller.client)
    assert server.url in repr(caller.client)


@pytest.mark.parametrize("style", ["snake", "camel"])
def test_both_spellings_are_read(server: ApiServer, caller: Caller, style: str) -> None:
    fields, at = {"aB": 1, "c_d": 2}, "2024-01-15T10:00:00Z"
    snake = {"workspace_id": "w", "subject": "s", "ticket_number": 7, "custom_fields": fields,
             "created_at": at}  # fmt: skip
    camel = {"brandId": "w", "title": "s", "ticketNumber": 7, "customFields": fields,
             "createdAt": at}  # fmt: skip
    server.reply_json({"id": "t", "status": "x", **(snake if style == "snake" else camel)})
    ticket = caller.call("tickets.get", "tkt_1")
    assert (ticket.workspace_id, ticket.subject, ticket.ticket_number) == ("w", "s", 7)
    assert ticket.custom_fields == {"aB": 1, "c_d": 2}
    assert ticket.created_at.isoformat() == "2024-01-15T10:00:00+00:00"


def test_an_amount_makes_the_way_there_and_back(server: ApiServer, caller: Caller) -> None:
    server.otherwise = lambda sent: Reply(
        body=b'{"id":"t","brandId":"b","title":"s","status":"x",' + sent.body[1:]
    )
    amount = Decimal("0.10000000000000000000000000000000000001")
    ticket = caller.call("tickets.update", "tkt_1", custom_fields={"refund_amount": amount})
    assert ticket.custom_fields == {"refund_amount": amount}
