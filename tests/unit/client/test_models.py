"""Models read both styles, keep what they do not know, and show nobody's data."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from dispatch_returns.client import Style, answers, models
from dispatch_returns.client.exact_json import dumps, loads
from dispatch_returns.client.models import Comment, Customer, Delivery, Status, Ticket, Webhook

MINIMAL = {"id": "t", "workspace_id": "w", "subject": "s", "status": "open"}


@pytest.mark.parametrize("name", ["workspace_id", "workspaceId", "brand_id", "brandId"])
def test_a_workspace_is_found_under_each_of_its_names(name: str) -> None:
    fields = {key: value for key, value in MINIMAL.items() if key != "workspace_id"}
    assert Ticket.model_validate({**fields, name: "w"}).workspace_id == "w"
    assert Customer.model_validate({"id": "c", name: "w"}).workspace_id == "w"


def test_all_names_are_read_in_both_styles() -> None:
    names = set(models.__all__) - {"Model", "Page"}
    for model in (getattr(models, name) for name in names):
        for name, field in model.model_fields.items():
            alias = field.validation_alias
            assert alias is not None, f"{model.__name__}.{name}"
            spellings = {path for path in alias.choices if isinstance(path, str)}
            assert name in spellings or name == "subject", f"{model.__name__}.{name}"
            camel = name.split("_")[0] + "".join(word.title() for word in name.split("_")[1:])
            assert camel in spellings, f"{model.__name__}.{name}"


def test_what_a_merchant_named_is_never_renamed() -> None:
    ticket = Ticket.model_validate({**MINIMAL, "customFields": {"orderId": 1, "order_id": 2},
                                    "metadata": {"isVip": True, "is_vip": False}})  # fmt: skip
    assert ticket.custom_fields == {"orderId": 1, "order_id": 2}
    assert ticket.metadata == {"isVip": True, "is_vip": False}


def test_amounts_stay_decimals() -> None:
    ticket = Ticket.model_validate(loads(b'{"id":"t","brandId":"w","title":"s","status":"x","customFields":{"a":{"b":[149.00]}}}'))  # fmt: skip  # noqa: E501
    assert ticket.custom_fields == {"a": {"b": [Decimal("149.00")]}}
    assert str(ticket.custom_fields["a"]["b"][0]) == "149.00"


def test_unknown_fields_are_kept_under_their_own_name() -> None:
    ticket = Ticket.model_validate({**MINIMAL, "slaBreached": True})
    assert ticket.model_extra == {"slaBreached": True}
    assert ticket.slaBreached is True  # type: ignore[attr-defined]


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Ticket.model_validate(MINIMAL).status = "refunded"  # type: ignore[misc]


@pytest.mark.parametrize("number", [1234, "RET-1234"])
def test_a_ticket_number_is_a_number_or_a_string(number: int | str) -> None:
    found = Ticket.model_validate({**MINIMAL, "ticketNumber": number}).ticket_number
    assert found == number
    assert type(found) is type(number)


def test_what_is_null_or_missing_is_empty() -> None:
    ticket = Ticket.model_validate({**MINIMAL, "customFields": None})
    assert (ticket.custom_fields, ticket.metadata, ticket.priority) == ({}, {}, None)


def test_the_customer_of_a_ticket_lends_it_name_and_email() -> None:
    customer = {"id": "c", "email": "jane@example.com", "name": "Jane"}
    ticket = Ticket.model_validate({**MINIMAL, "customer": customer})
    assert (ticket.customer_email, ticket.customer_name) == ("jane@example.com", "Jane")
    assert ticket.customer == Customer.model_validate(customer)
    assert Ticket.model_validate({**MINIMAL, "customer": None}).customer_email is None


def test_times_have_a_time_zone() -> None:
    ticket = Ticket.model_validate({**MINIMAL, "createdAt": "2024-01-15T10:00:00.123Z"})
    assert ticket.created_at == datetime(2024, 1, 15, 10, 0, 0, 123000, UTC)
    with pytest.raises(ValidationError, match="timezone"):
        Ticket.model_validate({**MINIMAL, "createdAt": "2024-01-15T10:00:00"})


@pytest.mark.parametrize("name", ["enabled", "active"])
def test_whether_a_webhook_is_on_has_two_names(name: str) -> None:
    assert not Webhook.model_validate({"id": "w", "url": "u", name: False}).enabled


def test_a_comment_knows_whether_it_is_a_note() -> None:
    note = {"id": "c", "body": "b", "metadata": {"isInternal": True}}
    assert Comment.model_validate(note).internal
    assert not Comment.model_validate({"id": "c", "body": "b"}).internal


SECRETS = "jane@example.com"


@pytest.mark.parametrize(
    ("model", "answer", "shown"),
    [
        (Ticket, {**MINIMAL, "subject": SECRETS, "body": SECRETS, "customerEmail": SECRETS,
                  "customer": {"id": "c", "email": SECRETS}, "customFields": {"a": SECRETS},
                  "unknown": SECRETS, "tags": [SECRETS]},
         "Ticket(id='t', ticket_number=None, status='open')"),
        (Customer, {"id": "c", "email": SECRETS, "name": SECRETS}, "Customer(id='c')"),
        (Comment, {"id": "c", "body": SECRETS, "authorName": SECRETS},
         "Comment(id='c', ticket_id=None, author_type=None)"),
        (Webhook, {"id": "w", "url": SECRETS, "secret": SECRETS},
         "Webhook(id='w', events=[], enabled=True)"),
        (Delivery, {"id": "d", "event": "e", "status": "FAILED", "payload": {"a": SECRETS},
                    "responseBody": SECRETS, "error": SECRETS},
         "Delivery(id='d', event='e', status='FAILED', attempts=0, response_code=None)"),
    ],
)  # fmt: skip
def test_a_repr_shows_ids_and_states_alone(
    model: type[models.Model], answer: dict[str, Any], shown: str
) -> None:
    made = model.model_validate(answer)
    assert repr(made) == f"{made!r}" == shown
    assert SECRETS not in str(made)


def test_a_status_is_active_unless_it_says_otherwise() -> None:
    status = Status.model_validate({"id": "s", "key": "k", "name": "n"})
    assert (status.is_active, status.is_system) == (True, False)


RICH = {
    "id": "t", "brandId": "w", "title": "s", "status": "x", "ticketNumber": 7,
    "customer": {"id": "c", "brandId": "w", "email": "jane@example.com"},
    "customFields": {"order_id": "1", "isGift": True, "total": Decimal("149.00")},
    "createdAt": "2024-01-15T10:00:00.123Z", "slaBreached": True,
}  # fmt: skip


@pytest.mark.parametrize("style", ["workspaces", "brands"])
def test_a_model_can_be_written_in_either_style_and_read_again(style: Style) -> None:
    ticket = Ticket.model_validate(RICH)
    wire = ticket.to_wire(style)
    assert Ticket.model_validate(wire) == ticket
    names = {"workspaces": ("subject", "workspace_id", "custom_fields"),
             "brands": ("title", "brandId", "customFields")}  # fmt: skip
    assert set(names[style]) <= wire.keys()
    assert wire[names[style][2]] == RICH["customFields"]
    assert wire["customer"][names[style][1]] == "w"
    assert wire["slaBreached"] is True
    assert b'"total":149.00' in dumps(wire).encode()


def test_a_dump_has_the_names_of_python() -> None:
    dumped = Ticket.model_validate(RICH).model_dump()
    assert (dumped["subject"], dumped["workspace_id"], dumped["ticket_number"]) == ("s", "w", 7)


def test_models_can_be_pickled() -> None:
    ticket = Ticket.model_validate(RICH)
    again = pickle.loads(pickle.dumps(ticket))
    assert again == ticket
    assert (again.model_extra, again.custom_fields) == (ticket.model_extra, ticket.custom_fields)


def test_what_the_vendors_sources_tell_differently_is_read_either_way() -> None:
    upload = models.UploadTarget
    for answer in ({"attachmentId": "a"}, {"attachment": {"id": "a"}}, {"id": "a"}):
        assert upload.model_validate({**answer, "uploadUrl": "u"}).attachment_id == "a"
    done = models.BulkResult.model_validate({"success": 2, "failed": 1})
    assert (done.success, done.count, done.failed) == (False, 2, 1)
    done = models.BulkResult.model_validate({"success": True, "count": 2})
    assert (done.success, done.count, done.failed) == (True, 2, None)
    field = {"key": "k", "label": "l", "type": "text"}
    listed = models.FieldDefinitions.model_validate([field, {**field, "entity": "customer"}])
    grouped = models.FieldDefinitions.model_validate({"ticket": [field], "customer": []})
    assert [len(listed.ticket), len(listed.customer)] == [1, 1]
    assert [len(grouped.ticket), len(grouped.customer)] == [1, 0]
    for stats in (b'{"c": {"ticketCount": 3}}', b'[{"id": "c", "ticketCount": 3}]'):
        [found] = answers.keyed(models.CategoryStats)(stats)
        assert (found.id, found.ticket_count) == ("c", 3)


def test_keys_tokens_and_addresses_are_in_no_repr() -> None:
    secret = "let-me-in"
    made: list[models.Model] = [
        models.ApiKey(id="k", name="n", key=secret),
        models.PortalToken(token=secret, email="jane@example.com"),
        models.UploadTarget.model_validate({"attachmentId": "a", "uploadUrl": secret}),
        models.Attachment.model_validate({"id": "a", "filename": "f", "downloadUrl": secret}),
    ]
    assert secret not in f"{made!r} {made[1]!s}"
    assert "jane" not in repr(made)


RACE = """
import sys, threading
from dispatch_returns.client.models import Ticket
sys.setswitchinterval(1e-6)
start, failures = threading.Barrier(8), []
def read():
    start.wait()
    try:
        Ticket.model_validate({"id": "t", "brandId": "w", "title": "s", "status": "x",
                               "customer": {"id": "c"}})
    except BaseException as error:
        failures.append(error)
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, failures
"""


def test_threads_may_be_the_first_to_use_a_model_together() -> None:
    # Models are built at their first use, and so only a fresh interpreter can show this.
    subprocess.run([sys.executable, "-c", RACE], check=True, timeout=60)
