"""Money is exact or it is an error, whatever comes in and whatever the decimal context is."""

from __future__ import annotations

import decimal
import operator
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns.errors import MoneyError
from dispatch_returns.money import CurrencyRule, Money, parse_amounts, stripe_rule

ZERO = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
TWO_THAT_ARE_ZERO = "ISK UGX"
THREE = "BHD JOD KWD OMR TND"
TWO = "USD EUR GBP CHF SEK HUF TWD INR MXN"
RULES = [
    *((code, CurrencyRule(0, 1)) for code in ZERO.split()),
    *((code, CurrencyRule(2, 100)) for code in TWO_THAT_ARE_ZERO.split()),
    *((code, CurrencyRule(3, 10)) for code in THREE.split()),
    *((code, CurrencyRule(2, 1)) for code in TWO.split()),
]
minors = st.integers(min_value=0, max_value=10**15 - 1)
codes = st.sampled_from([code for code, _ in RULES])


@pytest.mark.parametrize(("currency", "rule"), RULES)
def test_each_currency_is_counted_as_stripe_documents(currency: str, rule: CurrencyRule) -> None:
    assert stripe_rule(currency) == rule
    assert stripe_rule(currency.lower()) == rule


@pytest.mark.parametrize(
    ("amount", "currency", "minor", "shown"),
    [
        ("149.00", "USD", 14900, "149.00 USD"),
        ("149", "usd", 14900, "149.00 USD"),
        ("0.01", "EUR", 1, "0.01 EUR"),
        ("0.10", "EUR", 10, "0.10 EUR"),
        ("0", "EUR", 0, "0.00 EUR"),
        ("-0", "EUR", 0, "0.00 EUR"),
        ("0.000", "EUR", 0, "0.00 EUR"),
        ("0E-9", "EUR", 0, "0.00 EUR"),
        ("0E+19", "EUR", 0, "0.00 EUR"),
        ("149.000000", "USD", 14900, "149.00 USD"),
        ("1.49E2", "USD", 14900, "149.00 USD"),
        ("1E3", "JPY", 1000, "1000 JPY"),
        ("1000", "JPY", 1000, "1000 JPY"),
        ("1000.0", "JPY", 1000, "1000 JPY"),
        ("5000", "MGA", 5000, "5000 MGA"),
        ("5", "ISK", 500, "5.00 ISK"),
        ("5.00", "UGX", 500, "5.00 UGX"),
        ("1.230", "KWD", 1230, "1.230 KWD"),
        ("1.23", "BHD", 1230, "1.230 BHD"),
        ("9999999999999.99", "USD", 10**15 - 1, "9999999999999.99 USD"),
    ],
)
def test_an_amount_becomes_minor_units_exactly(
    amount: str, currency: str, minor: int, shown: str
) -> None:
    money = Money.from_decimal(Decimal(amount), currency)
    assert (money.minor, str(money)) == (minor, shown)
    assert money.currency == currency.upper()
    assert money.decimals == stripe_rule(currency).decimals


def test_whole_units_may_be_an_int() -> None:
    assert Money.from_decimal(149, "USD") == Money(14900, "USD")
    assert Money.from_decimal(149, "JPY") == Money(149, "JPY", 0)


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("149.005", "USD", "149.005 USD: USD has 2 decimals; nothing is rounded"),
        ("0.001", "usd", "0.001 USD: USD has 2 decimals; nothing is rounded"),
        ("1E-30", "USD", "1E-30 USD: USD has 2 decimals; nothing is rounded"),
        ("1.5", "JPY", "1.5 JPY: JPY has 0 decimals; nothing is rounded"),
        ("5.50", "ISK", "5.50 ISK: the smallest step of this currency is 1.00"),
        ("1.234", "kwd", "1.234 KWD: the smallest step of this currency is 0.010"),
        ("1.2345", "KWD", "1.2345 KWD: KWD has 3 decimals; nothing is rounded"),
        ("-0.01", "USD", "-0.01: an amount is a finite number and not negative"),
        ("NaN", "USD", "NaN: an amount is a finite number and not negative"),
        ("sNaN", "USD", "sNaN: an amount is a finite number and not negative"),
        ("Infinity", "USD", "Infinity: an amount is a finite number and not negative"),
        ("-Infinity", "USD", "-Infinity: an amount is a finite number and not negative"),
        ("1E20", "USD", "no payment is that large"),
        ("100000000000000000000", "JPY", "no payment is that large"),
        ("1E+999999", "USD", "no payment is that large"),
        ("0E+20", "USD", "no payment is that large"),
        ("1" * 5000, "USD", "no payment is that large"),
    ],
)
def test_an_amount_that_is_not_exact_is_refused_with_the_reason(
    amount: str, currency: str, words: str
) -> None:
    with pytest.raises(MoneyError) as caught:
        Money.from_decimal(Decimal(amount), currency)
    assert str(caught.value) == words


def test_thousands_of_decimals_are_refused_like_any_others() -> None:
    with pytest.raises(MoneyError, match=r"nothing is rounded$"):
        Money.from_decimal(Decimal("0." + "1" * 5000), "USD")
    assert Money.from_decimal(Decimal("1." + "0" * 5000), "USD").minor == 100


@pytest.mark.parametrize("amount", [1.0, 149.00, True, "149.00", None, [1]])
def test_only_a_decimal_or_an_int_is_an_amount(amount: Any) -> None:
    with pytest.raises(MoneyError) as caught:
        Money.from_decimal(amount, "USD")
    assert str(caught.value) == (
        f'an amount is a Decimal or an int, not {type(amount).__name__}: write Decimal("149.00")'
    )


@pytest.mark.parametrize("minor", [1.0, True, "1", None, Decimal(1)])
def test_minor_units_are_whole_numbers(minor: Any) -> None:
    with pytest.raises(MoneyError) as caught:
        Money(minor, "USD")
    assert str(caught.value) == f"minor units are whole numbers, not {type(minor).__name__}"


def test_an_amount_is_neither_negative_nor_absurdly_large() -> None:
    with pytest.raises(MoneyError, match=r"^an amount is not negative$"):
        Money(-1, "USD")
    with pytest.raises(MoneyError, match=r"^no payment is that large$"):
        Money(10**15, "USD")
    with pytest.raises(MoneyError, match=r"^no payment is that large$"):
        Money(10**15, "JPY", 0)
    assert Money(10**15 - 1, "USD").minor == 10**15 - 1


@pytest.mark.parametrize(
    "currency",
    [
        "",
        "US",
        "USDT",
        "U5D",
        "ßD",
        "ﬁD",
        "\N{LATIN SMALL LETTER DOTLESS I}SK",
        "ÄÖÜ",
        " US",
        "US\n",
    ],
)
def test_a_currency_is_three_plain_letters(currency: str) -> None:
    words = r"^a currency is a three-letter code such as USD$"
    with pytest.raises(MoneyError, match=words):
        stripe_rule(currency)
    with pytest.raises(MoneyError, match=words):
        Money(1, currency)
    with pytest.raises(MoneyError, match=words):
        Money.from_decimal(Decimal(1), currency, CurrencyRule())


def test_another_processors_rule_counts_instead_of_stripes() -> None:
    assert Money.from_decimal(Decimal("1.5"), "JPY", CurrencyRule(1)) == Money(15, "JPY", 1)
    # ISO 4217 gives MGA two decimals and ISK none, Stripe the reverse.
    assert Money.from_decimal(Decimal(5), "ISK", CurrencyRule(0)) == Money(5, "ISK", 0)
    assert CurrencyRule() == CurrencyRule(decimals=2, step=1)


def test_a_step_is_counted_in_minor_units() -> None:
    nickel = CurrencyRule(decimals=2, step=5)
    assert Money.from_decimal(Decimal("1.05"), "CHF", nickel).minor == 105
    with pytest.raises(MoneyError, match=r"^1\.04 CHF: the smallest step .* is 0\.05$"):
        Money.from_decimal(Decimal("1.04"), "CHF", nickel)


def test_money_is_a_value() -> None:
    money = Money(100, "usd")
    assert money == Money(100, "USD", 2)
    assert len({money, Money(100, "USD")}) == 1
    assert money != Money(100, "EUR")
    assert money != Money(100, "USD", 3)
    with pytest.raises(FrozenInstanceError):
        money.minor = 1  # type: ignore[misc]


@given(minors, minors, codes)
def test_sums_differences_and_order_are_those_of_the_minor_units(
    a: int, b: int, currency: str
) -> None:
    decimals = stripe_rule(currency).decimals
    left, right = Money(a, currency, decimals), Money(b, currency, decimals)
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq):
        assert compare(left, right) == compare(a, b)
        assert compare(left, left) == compare(a, a)
    high, low = max(left, right), min(left, right)
    assert high - low == Money(abs(a - b), currency, decimals)
    if a + b < 10**15:
        assert left + right == Money(a + b, currency, decimals)
    if a < b:
        with pytest.raises(MoneyError):
            left - right


@pytest.mark.parametrize(
    "act", [operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge]
)
@pytest.mark.parametrize("other", [Money(1, "EUR"), Money(1, "USD", 3)])
def test_two_currencies_never_mix(act: Callable[[Money, Money], object], other: Money) -> None:
    with pytest.raises(MoneyError) as caught:
        act(Money(1, "USD"), other)
    assert str(caught.value) == f"USD and {other.currency} are not the same currency"


@given(minors, codes)
def test_minor_units_to_decimal_and_back_change_nothing(minor: int, currency: str) -> None:
    rule = stripe_rule(currency)
    money = Money(minor - minor % rule.step, currency, rule.decimals)
    assert Money.from_decimal(money.major, currency) == money
    assert str(money) == f"{money.major} {currency}"


@given(st.decimals(allow_nan=True, allow_infinity=True), codes)
def test_any_decimal_is_kept_exactly_or_refused(amount: Decimal, currency: str) -> None:
    try:
        money = Money.from_decimal(amount, currency)
    except MoneyError:
        return
    assert money.major == amount
    assert money.minor % stripe_rule(currency).step == 0


@given(st.decimals(min_value=0, max_value=10**11, places=2))
def test_whatever_a_currency_can_hold_is_accepted(amount: Decimal) -> None:
    assert Money.from_decimal(amount, "USD").major == amount


@given(minors)
def test_a_programs_decimal_context_changes_no_amount(minor: int) -> None:
    plain = Money(minor, "USD")
    exact = plain.major
    with decimal.localcontext(decimal.Context(prec=1, traps=[])):
        assert str(Money(minor, "USD").major) == str(exact)
        assert Money.from_decimal(exact, "USD") == plain
        assert str(Money.from_decimal(exact, "USD")) == str(plain)


# Amounts as people write them.


def test_amounts_are_read_by_currency() -> None:
    assert parse_amounts(" 500 USD, 60000jpy,") == {"USD": Decimal(500), "JPY": Decimal(60000)}


@pytest.mark.parametrize("text", ["", " , ", "5 USD, 6 usd"])
def test_each_currency_has_one_amount(text: str) -> None:
    meant = "give one amount for each currency, such as 500 USD, 60000 JPY"
    with pytest.raises(ValueError, match=rf"^{meant}$"):
        parse_amounts(text)


@pytest.mark.parametrize(
    "text", ["5", "USD 5", "-5 USD", "\u0665 USD", "5. USD", "5 US\u017f", "1e3 USD"]
)
def test_an_amount_is_a_plain_number_and_a_currency(text: str) -> None:
    with pytest.raises(ValueError, match=r'^write amounts as "500 USD, 60000 JPY"$'):
        parse_amounts(text)
