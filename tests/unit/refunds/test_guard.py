"""The guard: what must be the case before money moves."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns.errors import MoneyError
from dispatch_returns.money import CurrencyRule, Money, stripe_rule
from dispatch_returns.refunds import guard
from dispatch_returns.refunds.adapter import Payment
from dispatch_returns.refunds.guard import REMEDIES, GuardLimits, Hold, Reason
from dispatch_returns.refunds.ticket_facts import Parcel
from tests.support.desk import facts, usd

NO_EVIDENCE = GuardLimits(evidence={})


def payment(**changes: Any) -> Payment:
    known = {
        "currency": "USD",
        "rule": stripe_rule("USD"),
        "charged": usd("149.00"),
        "refunded": usd("0"),
    }
    return Payment(**(known | changes))  # type: ignore[arg-type]


def reason(checked: Money | Hold) -> Reason | None:
    return checked.reason if isinstance(checked, Hold) else None


def test_a_complete_ticket_is_paid_exactly_its_amount() -> None:
    assert guard.check(facts(amount="148.99"), payment(), GuardLimits()) == usd("148.99")


@pytest.mark.parametrize(
    ("amount", "expected", "detail"),
    [
        (None, Reason.NO_AMOUNT, "The ticket has no refund_amount."),
        ("", Reason.NO_AMOUNT, "The ticket has no refund_amount."),
        ("a lot", Reason.AMOUNT_NOT_EXACT, "refund_amount is not a number."),
        ("1,49", Reason.AMOUNT_NOT_EXACT, "refund_amount is not a number."),
        ("1e2", Reason.AMOUNT_NOT_EXACT, "refund_amount is not a number."),
        ("-1", Reason.AMOUNT_NOT_EXACT, "refund_amount is not a number."),
        (True, Reason.AMOUNT_NOT_EXACT, "refund_amount is not a number."),
        ([149], Reason.AMOUNT_NOT_EXACT, "refund_amount is not a number."),
        (149.0, None, None),
        (Decimal("NaN"), Reason.AMOUNT_NOT_EXACT, "refund_amount: NaN"),
        (Decimal("Infinity"), Reason.AMOUNT_NOT_EXACT, "refund_amount: Infinity"),
        (Decimal(-1), Reason.AMOUNT_NOT_EXACT, "refund_amount: -1"),
        (Decimal("1.001"), Reason.AMOUNT_NOT_EXACT, "refund_amount: 1.001 USD: USD has 2"),
        (Decimal(0), Reason.AMOUNT_ZERO, "refund_amount is 0."),
        (0, Reason.AMOUNT_ZERO, "refund_amount is 0."),
    ],
)
def test_nothing_is_rounded_or_guessed(
    amount: object, expected: Reason | None, detail: str | None
) -> None:
    ticket = facts(refund_amount=amount)
    checked = guard.check(ticket, payment(), NO_EVIDENCE)
    assert reason(checked) is expected
    if detail is not None:
        assert isinstance(checked, Hold)
        assert checked.detail.startswith(detail)


@pytest.mark.parametrize("amount", [" 149.00 ", 149, Decimal(149), "149"])
def test_an_amount_may_be_a_number_or_digits(amount: object) -> None:
    assert guard.check(facts(refund_amount=amount), payment(), GuardLimits()) == usd("149.00")


@given(st.decimals(min_value=0, max_value=10**6, places=4))
def test_an_amount_is_paid_to_the_cent_or_not_at_all(amount: Decimal) -> None:
    known = payment(charged=usd("1000000"))
    checked = guard.check(facts(refund_amount=amount), known, NO_EVIDENCE)
    cents = amount * 100
    if cents != cents.to_integral_value():
        assert reason(checked) is Reason.AMOUNT_NOT_EXACT
    elif not cents:
        assert reason(checked) is Reason.AMOUNT_ZERO
    else:
        assert checked == Money(int(cents), "USD")


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(1, 10**9))
def test_never_more_than_what_is_left(charged: int, refunded: int, asked: int) -> None:
    charged = max(charged, refunded)
    known = payment(charged=Money(charged, "USD"), refunded=Money(refunded, "USD"))
    ticket = facts(refund_amount=Money(asked, "USD").major)
    checked = guard.check(ticket, known, NO_EVIDENCE)
    left = charged - refunded
    if asked > left:
        assert reason(checked) is Reason.EXCEEDS_REMAINING
    else:
        assert checked == Money(asked, "USD")


def test_what_is_left_is_named() -> None:
    checked = guard.check(facts(), payment(refunded=usd("100")), GuardLimits())
    assert checked == Hold(
        Reason.EXCEEDS_REMAINING,
        "refund_amount is 149.00 USD and 49.00 USD is left on the payment.",
    )


@pytest.mark.parametrize("unknown", ["charged", "refunded"])
def test_a_processor_that_cannot_tell_what_is_left_is_asked(unknown: str) -> None:
    known = payment(**{unknown: None})
    assert guard.check(facts(amount="9999.00"), known, GuardLimits()) == usd("9999.00")


def test_the_currency_comes_from_the_payment() -> None:
    yen = payment(currency="JPY", rule=CurrencyRule(0), charged=None, refunded=None)
    assert guard.check(facts(amount="149"), yen, GuardLimits()) == Money(149, "JPY", 0)
    assert (
        reason(guard.check(facts(amount="149.50"), yen, GuardLimits())) is Reason.AMOUNT_NOT_EXACT
    )


@pytest.mark.parametrize("currency", ["USD", "usd", " usd ", "", None])
def test_the_same_currency_in_any_spelling_will_do(currency: str | None) -> None:
    assert guard.check(facts(currency=currency), payment(), GuardLimits()) == usd("149.00")


@pytest.mark.parametrize("currency", ["EUR", "US", 5, ["USD"], {"code": "USD"}])
def test_a_currency_that_is_not_the_payments_is_held(currency: object) -> None:
    checked = guard.check(facts(currency=currency), payment(), GuardLimits())
    assert checked == Hold(
        Reason.CURRENCY_DIFFERS, "The ticket's currency is not the payment's, USD."
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "held"),
    [("1", "1", False), ("1", "2", True), ("1", None, False), (None, "2", False), (7, "7", False)],
)
def test_a_payment_of_another_order_is_held(ours: object, theirs: str | None, held: bool) -> None:
    checked = guard.check(facts(order_id=ours), payment(order_id=theirs), GuardLimits())
    assert (reason(checked) is Reason.ORDER_DIFFERS) is held


@pytest.mark.parametrize("missing", [None, "", "  ", False, [], {}])
def test_a_field_that_must_be_there_is_not_there_when_it_is_blank(missing: object) -> None:
    checked = guard.check(facts(received_date=missing), payment(), GuardLimits())
    assert checked == Hold(Reason.EVIDENCE_MISSING, "The ticket has no received_date.")


@pytest.mark.parametrize("present", ["2024-01-15", True, 0, Decimal(1), ["x"]])
def test_any_other_value_is_evidence_where_none_is_named(present: object) -> None:
    assert guard.check(facts(received_date=present), payment(), GuardLimits()) == usd("149.00")


@pytest.mark.parametrize(("condition", "held"), [("good", False), ("used", True), ("Good", True)])
def test_where_values_are_named_only_they_are_accepted(condition: str, held: bool) -> None:
    limits = GuardLimits(evidence={"condition": frozenset({"like_new", "good"})})
    checked = guard.check(facts(condition=condition), payment(), limits)
    expected = Hold(Reason.EVIDENCE_MISSING, "condition is none of: good, like_new.")
    assert checked == (expected if held else usd("149.00"))


def test_a_dispute_is_for_a_second_person_to_decide() -> None:
    disputed = payment(disputed=True)
    assert guard.check(facts(), disputed, GuardLimits()) == usd("149.00")
    (doubt,) = guard.doubts(usd("149.00"), facts(), disputed)
    assert doubt.reason is Reason.DISPUTED
    assert doubt.reason in guard.APPROVABLE


def test_14900_yen_are_not_14900_dollars() -> None:
    parcel = Parcel(granted=Money(14900, "JPY", 0))
    asked = replace(facts(amount="14900"), parcel=parcel)
    checked = guard.check(asked, payment(charged=usd("20000.00")), GuardLimits())
    detail = "14900 JPY was granted, and the payment is in USD."
    assert checked == Hold(Reason.CURRENCY_DIFFERS, detail)


LIMITS = [("149.00", False), ("149.01", False), ("148.99", True)]


@pytest.mark.parametrize(("limit", "held"), LIMITS)
def test_the_cap_per_refund(limit: str, held: bool) -> None:
    limits = GuardLimits(max_refund={"USD": Decimal(limit)})
    checked = guard.check(facts(), payment(), limits)
    expected = Hold(
        Reason.OVER_CAP, f"149.00 USD is over the cap per refund, which is {limit} USD."
    )
    assert checked == (expected if held else usd("149.00"))


@pytest.mark.parametrize(("limit", "held"), LIMITS)
def test_a_second_person_above_an_amount(limit: str, held: bool) -> None:
    limits = GuardLimits(approve_above={"USD": Decimal(limit)})
    expected = Hold(Reason.APPROVAL_NEEDED, f"149.00 USD needs a second person: above {limit} USD.")
    assert guard.needs_approval(usd("149.00"), limits) == (expected if held else None)


@pytest.mark.parametrize(("limit", "held"), [("249.00", False), ("248.99", True)])
def test_the_cap_per_day_counts_what_was_sent_today(limit: str, held: bool) -> None:
    limits = GuardLimits(max_per_day={"USD": Decimal(limit)})
    expected = Hold(
        Reason.OVER_DAY_CAP,
        f"149.00 USD would bring today's refunds to 249.00 USD; the cap per day is {limit}.",
    )
    assert guard.over_day_cap(usd("149.00"), 10_000, limits.max_per_day) == (
        expected if held else None
    )


def test_a_limit_that_names_some_currencies_refuses_the_others() -> None:
    limits = {"EUR": Decimal(10**6)}
    amount = usd("1.00")
    capped = guard.check(facts(amount="1.00"), payment(), GuardLimits(max_refund=limits))
    assert capped == Hold(
        Reason.OVER_CAP,
        "1.00 USD is over the cap per refund, which is not set for this currency.",
    )
    assert guard.needs_approval(amount, GuardLimits(approve_above=limits)) == Hold(
        Reason.APPROVAL_NEEDED, "1.00 USD needs a second person: no limit is set for it."
    )
    assert guard.over_day_cap(amount, 0, limits) == Hold(
        Reason.OVER_DAY_CAP,
        "1.00 USD would bring today's refunds to 1.00 USD; the cap per day is"
        " not set for this currency.",
    )


def test_without_limits_nothing_is_limited() -> None:
    assert guard.needs_approval(usd("1000000"), GuardLimits()) is None
    assert guard.over_day_cap(usd("1000000"), 10**9, {}) is None


def test_dry_run_says_what_it_would_have_paid() -> None:
    assert guard.dry_run_hold(usd("149.00")) == Hold(
        Reason.DRY_RUN, "149.00 USD would have been paid."
    )


def test_every_reason_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Reason)
    assert all(remedy.endswith(".") for remedy in REMEDIES.values())
    assert Hold(Reason.NO_AMOUNT, "").remedy is REMEDIES[Reason.NO_AMOUNT]


def test_amounts_of_two_currencies_are_never_compared() -> None:
    with pytest.raises(MoneyError):
        guard.check(
            facts(), payment(charged=Money(1, "EUR"), refunded=Money(0, "EUR")), GuardLimits()
        )
