"""What is paid back: exact to the minor unit, however a return is packed."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns.errors import OrderError
from dispatch_returns.money import stripe_rule
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.orders.records import in_steps, share
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.verdict import Breakdown, Item
from tests.support.purchases import line, order, orders, pieces_of, split

CONDITIONS = ("good", "used", "damaged", None)


@st.composite
def policies(draw: st.DrawFn) -> ReturnPolicy:
    percent = st.sampled_from(["0%", "7.5%", "10%", "33.33%", "50%", "99.9999%", "100%"])
    currencies = "{0} EUR, {0} JPY, {0} ISK, {0} UGX, {0} KWD, {0} USD"
    return ReturnPolicy.of(
        version="1",
        restocking_fee=draw(st.none() | percent),
        condition_fees={"used": draw(percent), "damaged": draw(percent)},
        return_shipping=draw(st.none() | st.just(currencies.format(draw(st.integers(0, 30))))),
        shipping=draw(st.sampled_from(["never", "share", "full_return", "always"])),
    )


@st.composite
def settlings(draw: st.DrawFn) -> tuple[ReturnPolicy, Order, list[Item], dict[str, int]]:
    """A policy, an order, some of its pieces that come back, and some that others have sent."""
    bought = draw(orders())
    pieces = draw(st.permutations(pieces_of(bought)))
    back = draw(st.integers(1, len(pieces)))
    items = [Item(sku, 1, draw(st.sampled_from(CONDITIONS))) for sku in pieces[:back]]
    others = draw(st.integers(0, len(pieces) - back))
    return draw(policies()), bought, items, dict(Counter(pieces[back : back + others]))


def adds_up(found: Breakdown) -> bool:
    given_, kept = ([money.minor for _, money in x] for x in (found.parts, found.fees))
    return found.total.minor == sum(given_) - sum(kept)


@given(settlings(), st.data())
def test_parcels_pay_in_all_what_one_parcel_pays(
    drawn: tuple[ReturnPolicy, Order, list[Item], dict[str, int]], data: st.DataObject
) -> None:
    policy, bought, items, elsewhere = drawn
    at_once = policy.settle(bought, items, announced=items, elsewhere=elsewhere)
    paid, came = 0, list[Item]()
    for parcel in split(items, data.draw):
        found = policy.settle(bought, parcel, announced=items, settled=came, elsewhere=elsewhere)
        assert adds_up(found)
        paid += found.total.minor
        came += parcel
    assert paid == at_once.total.minor
    assert adds_up(at_once)


@given(settlings())
def test_no_refund_is_more_than_what_was_paid_and_each_is_in_the_currencys_steps(
    drawn: tuple[ReturnPolicy, Order, list[Item], dict[str, int]],
) -> None:
    policy, bought, items, elsewhere = drawn
    found = policy.settle(bought, items, elsewhere=elsewhere)
    assert found.total <= bought.total
    assert found.total.minor % stripe_rule(bought.currency).step == 0
    assert all(money.minor > 0 for _, money in (*found.parts, *found.fees))


@given(orders())
def test_a_whole_order_comes_back_for_exactly_what_was_paid(bought: Order) -> None:
    policy = ReturnPolicy.of(version="1", shipping="full_return")
    items = [Item(sku) for sku in pieces_of(bought)]
    assert policy.settle(bought, items).total == bought.total


@given(orders(), st.data())
def test_returns_one_after_the_other_pay_the_whole_order_and_no_more(
    bought: Order, data: st.DataObject
) -> None:
    policy = ReturnPolicy.of(version="1", shipping="share")
    paid, elsewhere = 0, Counter[str]()
    for parcel in split([Item(sku) for sku in pieces_of(bought)], data.draw):
        paid += policy.settle(bought, parcel, elsewhere=dict(elsewhere)).total.minor
        elsewhere.update(item.sku for item in parcel)
    assert paid == bought.total.minor


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
def test_shares_add_up_and_are_within_one_unit_of_exact(total: int, weights: list[int]) -> None:
    parts = share(total, weights)
    assert sum(parts) == total
    if whole := sum(weights):
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part * whole - total * weight) < whole


@given(st.lists(st.integers(0, 10**6), max_size=8), st.sampled_from([1, 10, 100]))
def test_amounts_in_steps_lose_less_than_one_step_in_all(amounts: list[int], step: int) -> None:
    found = in_steps(amounts, step)
    assert all(amount % step == 0 for amount in found)
    assert 0 <= sum(amounts) - sum(found) < step


@pytest.mark.parametrize(("total", "weights"), [(1, []), (-1, [1]), (1, [1, -1])])
def test_shares_of_nothing_and_of_negative_numbers_are_refused(
    total: int, weights: list[int]
) -> None:
    with pytest.raises(ValueError, match="negative"):
        share(total, weights)


def shown(found: Breakdown) -> dict[str, int]:
    values = {name: money.minor for name, money in found.parts}
    return {**values, **{name: -money.minor for name, money in found.fees}}


@pytest.mark.parametrize(
    ("policy", "accepted", "expected"),
    [
        ({}, [Item("A", 1)], {"A": 1000}),
        ({}, [Item("A", 9)], {"A": 3001}),  # no more than were bought
        ({}, [Item("X", 1)], {}),
        ({"restocking_fee": "10%"}, [Item("A", 1)], {"A": 1000, "restocking": -100}),
        ({"shipping": "always"}, [Item("A", 1)], {"A": 1000, "shipping": 490}),
        ({"shipping": "share"}, [Item("A", 3)], {"A": 3001, "shipping": 183}),
        ({"shipping": "full_return"}, [Item("A", 3)], {"A": 3001}),
        (
            {"shipping": "full_return"},
            [Item("A", 3), Item("B", 1)],
            {"A": 3001, "B": 5000, "shipping": 490},
        ),
        (
            {"return_shipping": "4.90 EUR"},
            [Item("A", 2)],
            {"A": 2000, "return_shipping": -490},
        ),
        (
            {"return_shipping": "60 EUR"},
            [Item("B", 1)],
            {"B": 5000, "return_shipping": -5000},  # never more than there is
        ),
        (
            {"condition_fees": {"used": "50%"}, "restocking_fee": "10%"},
            [Item("B", 1, "Used")],
            {"B": 5000, "condition": -2500, "restocking": -250},
        ),
    ],
)
def test_a_breakdown_says_what_is_given_and_what_is_kept(
    policy: dict[str, Any], accepted: list[Item], expected: dict[str, int]
) -> None:
    bought = order(line("A", 3, 1000, tax=1), line("B", 1, 5000), shipping=490)
    assert shown(ReturnPolicy.of(version="1", **policy).settle(bought, accepted)) == expected


def test_shipping_and_the_way_back_are_counted_once() -> None:
    policy = ReturnPolicy.of(version="1", return_shipping="5 EUR", shipping="always")
    bought = order(line("A", 3, 1000), shipping=490)
    first = policy.settle(bought, [Item("A")])
    second = policy.settle(bought, [Item("A", 2)], settled=[Item("A")])
    assert shown(first) == {"A": 1000, "shipping": 490, "return_shipping": -500}
    assert shown(second) == {"A": 2000}


def test_a_fee_that_one_parcel_cannot_bear_is_taken_from_the_next() -> None:
    policy = ReturnPolicy.of(version="1", return_shipping="15 EUR")
    bought = order(line("A", 3, 1000))
    assert policy.settle(bought, [Item("A")]).total.minor == 0
    second = policy.settle(bought, [Item("A")], settled=[Item("A")])
    assert shown(second) == {"A": 1000, "return_shipping": -500}


def test_a_reason_can_lift_the_fees_and_a_returnless_one_has_none() -> None:
    faulty = {
        "name": "faulty",
        "reasons": ["Defective"],
        "restocking_fee": "0%",
        "return_shipping": "0",
    }
    policy = ReturnPolicy.of(
        version="1", restocking_fee="10%", return_shipping="5 EUR", rules=[faulty]
    )
    bought = order(line("A", 3, 1000))
    assert policy.settle(bought, [Item("A")], "wrong_size").total.minor == 400
    assert policy.settle(bought, [Item("A")], "defective").total.minor == 1000
    assert policy.settle(bought, [Item("A")], "wrong_size", returnless=True).total.minor == 1000


def test_pieces_that_others_have_sent_back_are_not_paid_twice() -> None:
    policy = ReturnPolicy.of(version="1")
    bought = order(line("A", 3, 1000))
    found = policy.settle(bought, [Item("A", 3)], elsewhere={"A": 2})
    assert shown(found) == {"A": 1000}
    assert policy.settle(bought, [Item("A")], elsewhere={"A": 9}).total.minor == 0


def test_the_way_back_is_not_set_against_what_another_return_was_given() -> None:
    policy = ReturnPolicy.of(version="1", return_shipping="5.50 EUR", shipping="share")
    bought = order(line("A", 2, 100), shipping=1000)
    found = policy.settle(bought, [Item("A")], elsewhere={"A": 1})
    assert shown(found) == {"A": 100, "shipping": 500, "return_shipping": -550}


def test_where_two_roundings_fall_apart_what_is_paid_is_the_exact_one() -> None:
    policy = ReturnPolicy.of(version="1", condition_fees={"used": "50%"})
    bought = order(line("A", 4, 1, discount=2))
    first = policy.settle(bought, [Item("A", 2, "used")])
    second = policy.settle(bought, [Item("A", 1, "good")], settled=[Item("A", 2, "used")])
    assert (shown(first), shown(second)) == ({"A": 1, "condition": -1}, {"A": 1})


def test_a_line_that_cost_nothing_pays_nothing_and_shares_the_shipping_by_pieces() -> None:
    policy = ReturnPolicy.of(version="1", shipping="share")
    bought = order(line("A", 2, 0), shipping=500)
    assert shown(policy.settle(bought, [Item("A")])) == {"shipping": 250}


def test_an_article_that_is_called_shipping_is_not_the_way_out() -> None:
    policy = ReturnPolicy.of(version="1", shipping="always")
    bought = order(line("shipping", 1, 1000), shipping=490)
    found = policy.settle(bought, [Item("shipping")])
    assert shown(found) == {"shipping (article)": 1000, "shipping": 490}


def test_a_tax_that_the_price_includes_is_not_added() -> None:
    policy = ReturnPolicy.of(version="1")
    bought = order(line("A", 1, 1190, tax=190), prices_include_tax=True)
    assert policy.settle(bought, [Item("A")]).total.minor == 1190


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"placed_at": datetime(2026, 1, 1)}, "placed_at has no offset"),  # noqa: DTZ001 - the point
        ({"country": "de"}, "two capital letters"),
        ({"currency": "USD", "lines": (line(),)}, "line A is in another currency than the order"),
        ({"lines": (line("A"), line("A"))}, "two lines have the same id"),
        ({"lines": (line("A", 0),)}, "line A has 0 pieces"),
        ({"lines": (line("A", 1, 5, discount=6),)}, "the discount on line A is more"),
    ],
)
def test_an_order_that_contradicts_itself_cannot_be_made(wrong: dict[str, Any], words: str) -> None:
    lines = wrong.pop("lines", (line(),))
    with pytest.raises(OrderError, match=words):
        order(*lines, **wrong)
