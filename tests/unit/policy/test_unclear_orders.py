"""An order whose sums do not add up, or that the shop took back, pays nothing by itself."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_returns.errors import OrderError
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.verdict import History, Item, Outcome
from tests.support.purchases import PLACED, line, money, order, request

TWO = (line("A", price=6000), line("B", price=4000))


def inspect(bought: Any, *skus: str, **more: Any) -> Any:
    items = [Item(sku, 1, "good") for sku in skus]
    keys = {"shipping": "full_return"} | more.pop("keys", {})
    return ReturnPolicy.of(version="1", **keys).inspect(bought, items, announced=items, **more)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"charged": money(9999)}, "add up to 100.00 EUR, but 99.99 EUR was charged"),
        ({"charged": money(10001)}, "but 100.01 EUR was charged"),
        ({"credit": money(1)}, "0.01 EUR of the order was paid with a gift card"),
        ({"refunded": money(1)}, "already refunded 0.01 EUR"),
        ({"hold": "was cancelled in the shop"}, "The order was cancelled in the shop."),
    ],
)
def test_an_order_with_a_problem_is_reviewed_and_pays_nothing_by_itself(
    known: dict[str, Any], words: str
) -> None:
    bought = order(*TWO, **known)
    policy = ReturnPolicy.of(version="1", checks={"unclear_order": {"outcome": "approve"}})
    assert inspect(bought, "A").outcome is Outcome.REVIEW
    assert words in inspect(bought, "A").results[0].why
    assert not inspect(bought, "A").pays
    verdict = ReturnPolicy.of(version="1").evaluate(request(), bought, History(), PLACED)
    assert (verdict.outcome, verdict.results[0].rule) == (Outcome.REVIEW, "unclear_order")
    items = [Item("A", 1, "good")]
    assert not policy.inspect(bought, items, announced=items).pays  # whatever the check says


def test_what_was_charged_to_the_cent_is_paid_without_a_person() -> None:
    found = inspect(order(*TWO, charged=money(10000), credit=money(0), refunded=money(0)), "A", "B")
    assert (found.pays, str(found.breakdown.total)) == (True, "100.00 EUR")


def test_a_piece_that_the_shop_removed_cannot_come_back() -> None:
    bought = order(TWO[0], line("B", price=4000, removed=1), refunded=money(4000))
    verdict = ReturnPolicy.of(version="1").evaluate(request(Item("B")), bought, History(), PLACED)
    assert verdict.outcome is Outcome.REVIEW
    assert verdict.results[0].why == (
        "1 of B requested; of 1 bought (the shop removed 1), 0 are not in another return."
    )
    assert str(inspect(bought, "A").breakdown.total) == "60.00 EUR"
    assert inspect(bought, "A").pays
    assert inspect(bought, "B").breakdown.total.minor == 0


def test_what_we_paid_back_ourselves_is_no_riddle_when_the_shop_says_it_too() -> None:
    bought = order(*TWO, refunded=money(6000))
    assert not inspect(bought, "B").pays
    assert inspect(bought, "B", elsewhere={"A": 1}).pays
    assert inspect(bought, "B", settled=[Item("A")]).pays


@pytest.mark.parametrize(
    ("rule", "skus", "total"),
    [
        ("full_return", "AB", 10990),
        ("always", "AB", 10990),
        ("share", "AB", 10990),
        ("never", "AB", 10000),
        ("full_return", "A", 6000),
        ("always", "A", 6490),
    ],
)
def test_fees_go_back_with_the_whole_order_where_its_shipping_does(
    rule: str, skus: str, total: int
) -> None:
    bought = order(*TWO, shipping=490, fees=money(500), charged=money(10990))
    found = inspect(bought, *skus, keys={"shipping": rule})
    assert (found.breakdown.total.minor, found.pays) == (total, True)


def test_an_order_that_contradicts_itself_is_an_error() -> None:
    with pytest.raises(OrderError, match="line A has 1 pieces, of which 2 were removed"):
        order(line(removed=2))
    with pytest.raises(OrderError, match="refunded is in USD"):
        order(refunded=money(1, "USD"))
