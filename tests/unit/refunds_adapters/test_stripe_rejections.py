"""What each of Stripe's error answers is read as."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapters.stripe.rejections import rejection

INVALID = "invalid_request_error"


def answer(
    status: int | None, headers: dict[str, str] | None = None, **error: object
) -> AdapterError:
    return rejection(status, {"error": error} if error else None, headers or {})


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": INVALID, "code": "charge_already_refunded"}, ErrorKind.ALREADY_REFUNDED),
        (400, {"type": INVALID, "code": "charge_disputed"}, ErrorKind.DISPUTED),
        (400, {"type": INVALID, "code": "refund_disputed_payment"}, ErrorKind.DISPUTED),
        (400, {"type": INVALID, "code": "charge_not_refundable"}, ErrorKind.NOT_REFUNDABLE),
        (400, {"type": INVALID, "code": "charge_expired_for_capture"}, ErrorKind.NOT_REFUNDABLE),
        (
            400,
            {"type": INVALID, "code": "payment_intent_unexpected_state"},
            ErrorKind.NOT_REFUNDABLE,
        ),
        (400, {"type": INVALID, "code": "amount_too_small"}, ErrorKind.NOT_REFUNDABLE),
        (400, {"type": INVALID, "code": "amount_too_large"}, ErrorKind.EXCEEDS_REMAINING),
        (400, {"type": INVALID, "code": "balance_insufficient"}, ErrorKind.INSUFFICIENT_BALANCE),
        (400, {"type": INVALID, "code": "insufficient_funds"}, ErrorKind.INSUFFICIENT_BALANCE),
        (402, {"type": "card_error", "code": "something_new"}, ErrorKind.NOT_REFUNDABLE),
        (404, {"type": INVALID, "code": "resource_missing"}, ErrorKind.NOT_FOUND),
        (400, {"type": INVALID, "code": "resource_missing"}, ErrorKind.NOT_FOUND),
        (404, {"type": INVALID}, ErrorKind.NOT_FOUND),
        (401, {"type": INVALID}, ErrorKind.AUTH),
        (401, {"type": INVALID, "code": "api_key_expired"}, ErrorKind.AUTH),
        (403, {"type": INVALID, "code": "account_invalid"}, ErrorKind.AUTH),
        (400, {"type": INVALID, "code": "parameter_unknown"}, ErrorKind.CONFIG),
        (400, {"type": INVALID}, ErrorKind.CONFIG),
        (400, {"type": "idempotency_error"}, ErrorKind.KEY_CONFLICT),
        (
            409,
            {"type": "idempotency_error", "code": "idempotency_key_in_use"},
            ErrorKind.IN_PROGRESS,
        ),
        (409, {"type": INVALID}, ErrorKind.IN_PROGRESS),
        (409, {"type": INVALID, "code": "lock_timeout"}, ErrorKind.RATE_LIMITED),
        (429, {"type": INVALID, "code": "lock_timeout"}, ErrorKind.RATE_LIMITED),
        (429, {"type": INVALID, "code": "rate_limit"}, ErrorKind.RATE_LIMITED),
        (429, {}, ErrorKind.RATE_LIMITED),
        (400, {"type": INVALID, "code": "rate_limit"}, ErrorKind.RATE_LIMITED),
    ],
)
def test_a_refusal_that_stripe_attests(status: int, error: dict[str, Any], kind: ErrorKind) -> None:
    assert answer(status, **error).kind is kind


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, {"type": "api_error"}),
        (500, {}),
        (502, {}),
        (503, {"type": INVALID, "code": "charge_already_refunded"}),
        (400, {"type": "api_error"}),
        (402, {"type": "api_error", "code": "charge_already_refunded"}),
        (408, {"type": INVALID}),
        (424, {"type": INVALID}),
        (301, {}),
        (200, {}),
        (None, {}),
        (400, {}),
        (401, {}),
        (404, {}),
        (409, {}),
        (418, {"type": INVALID}),
    ],
)
def test_anything_else_may_have_been_carried_out(status: int | None, error: dict[str, Any]) -> None:
    assert answer(status, **error).kind is ErrorKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize("body", [None, "text", [], {"error": None}, {"error": "x"}, {"error": []}])
def test_a_body_that_is_not_stripes_is_an_unknown_outcome(body: object) -> None:
    assert rejection(400, body, {}).kind is ErrorKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    "message",
    [
        "Refund amount ($25.00) is greater than unrefunded amount on charge ($21.45)",
        "Refund amount (£93.90) is greater than charge amount (£54.45)",
    ],
)
def test_more_than_is_left_has_no_code_and_is_known_by_its_message(message: str) -> None:
    assert answer(400, type=INVALID, message=message).kind is ErrorKind.EXCEEDS_REMAINING
    coded = answer(400, type=INVALID, code="parameter_invalid_integer", message=message)
    assert coded.kind is ErrorKind.CONFIG


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("-1", None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("", None),
    ],
)
def test_the_time_to_wait_is_taken_from_its_header(header: str, seconds: float | None) -> None:
    error = answer(429, {"retry-after": header}, type=INVALID)
    assert error.retry_after == seconds


def test_only_a_rate_limit_has_a_time_to_wait() -> None:
    assert answer(500, {"retry-after": "2"}).retry_after is None


def test_stripes_code_and_request_are_named_and_its_message_is_not() -> None:
    error = answer(
        401,
        {"request-id": "req_1"},
        type=INVALID,
        code="api_key_expired",
        message="Expired API Key provided: sk_test_****4242, jane@example.com",
    )
    assert (error.code, error.request_id) == ("api_key_expired", "req_1")
    assert error.message.endswith("(Stripe: HTTP 401, api_key_expired, req_1)")
    assert "4242" not in repr(error)
    assert "jane" not in repr(error)


@pytest.mark.parametrize("said", ["jane@example.com", "two words", "", "x" * 101, 7, None])
def test_a_code_or_request_id_that_is_no_plain_word_is_not_repeated(said: Any) -> None:
    error = rejection(400, {"error": {"type": said, "code": said}}, {"request-id": said})
    assert (error.code, error.request_id) == (None, None)
    assert error.message.endswith("(Stripe: HTTP 400)")


def test_every_message_tells_what_to_do() -> None:
    for status, code in [(400, "charge_disputed"), (401, None), (404, None), (429, None)]:
        said = answer(status, type=INVALID, code=code).message
        assert any(word in said for word in ("check", "answer", "look", "later")), said


@pytest.mark.parametrize(
    ("message", "kind", "remedy"),
    [
        (
            "Insufficient funds in your Stripe balance to refund this amount.",
            ErrorKind.INSUFFICIENT_BALANCE,
            "add funds in Stripe",
        ),
        (
            "This PaymentIntent (pi_1) does not have a successful charge to refund.",
            ErrorKind.NOT_REFUNDABLE,
            "cancel it in Stripe",
        ),
        (
            "Refund amount ($2.00) is greater than charge amount ($1.00)",
            ErrorKind.EXCEEDS_REMAINING,
            "earlier refunds",
        ),
        (
            "This value must be greater than or equal to 1.",
            ErrorKind.NOT_REFUNDABLE,
            "below the least",
        ),
    ],
)
def test_a_refusal_without_a_code_has_its_remedy(
    message: str, kind: ErrorKind, remedy: str
) -> None:
    refused = answer(400, type=INVALID, message=message)
    assert refused.kind is kind
    assert remedy in refused.message
    assert message not in refused.message


def test_too_little_balance_is_known_by_its_message_code() -> None:
    refused = answer(400, type=INVALID, message_code="insufficient_balance_for_refund")
    assert (refused.kind, refused.code) == (
        ErrorKind.INSUFFICIENT_BALANCE,
        "insufficient_balance_for_refund",
    )
    assert "add funds in Stripe" in refused.message


DOCUMENTED = {
    ErrorKind.ALREADY_REFUNDED: ["charge_already_refunded"],
    ErrorKind.DISPUTED: ["charge_disputed", "refund_disputed_payment"],
    ErrorKind.NOT_REFUNDABLE: [
        "amount_too_small",
        "charge_exceeds_source_limit",
        "charge_expired_for_capture",
        "charge_not_refundable",
        "payment_intent_unexpected_state",
    ],
    ErrorKind.EXCEEDS_REMAINING: ["amount_too_large"],
    ErrorKind.INSUFFICIENT_BALANCE: [
        "balance_insufficient",
        "insufficient_balance_for_refund",
        "insufficient_funds",
    ],
    ErrorKind.NOT_FOUND: ["resource_missing"],
    ErrorKind.RATE_LIMITED: ["lock_timeout", "rate_limit"],
    ErrorKind.IN_PROGRESS: ["idempotency_key_in_use"],
    ErrorKind.AUTH: [
        "account_closed",
        "account_invalid",
        "api_key_expired",
        "livemode_mismatch",
        "platform_account_required",
        "platform_api_key_expired",
        "secret_key_required",
        "testmode_charges_only",
    ],
    # The default: the request is wrong as it stands, and nothing was carried out.
    ErrorKind.CONFIG: [
        "amount_invalid",
        "email_invalid",
        "invalid_characters",
        "parameter_invalid_empty",
        "parameter_invalid_integer",
        "parameter_missing",
        "parameter_unknown",
        "parameters_exclusive",
        "a_code_that_is_new",
    ],
}
"""Stripe's error codes that a refund's create, list or retrieve can meet, by what they mean."""


@pytest.mark.parametrize(
    ("code", "kind"), [(code, kind) for kind, codes in DOCUMENTED.items() for code in codes]
)
def test_each_documented_code_has_its_kind(code: str, kind: ErrorKind) -> None:
    assert answer(400, type=INVALID, code=code).kind is kind
