"""What a ticket asks for is read whole, or refused: no piece is dropped, and none is guessed."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.verdict import History, Item, Outcome
from dispatch_returns.returns.steps.request import (
    ITEMS_LIMIT,
    ORDER_ID_LIMIT,
    REASON_LIMIT,
    SKU_LIMIT,
    TEXT_LIMIT,
    UnreadError,
    items_of,
    request_of,
)
from tests.support.order_shops import ticket
from tests.support.purchases import line, order

NOW = datetime(2026, 1, 2, tzinfo=UTC)
B = {"sku": "B", "quantity": 1}


@pytest.mark.parametrize(
    "written",
    [
        ["A", "A", "B"],
        [{"sku": "A", "quantity": 2}, B],
        [{"sku": "A", "quantity": "2"}, B],
        [{"sku": "A", "quantity": " 2.0 "}, B],
        [{"sku": "A", "quantity": Decimal("2.0")}, B],
        [{"sku": "A", "qty": 2}, B],
        [{"SKU": " A ", "Qty": "2", "title": "Shoe", "price": "1.00"}, B],
        [["A", 2], "B"],
        ["2 x A", "B x 1"],
        ["A", "", None, "A", "B"],
        [{"sku": "C", "quantity": 0}, ["A", 2], "B"],
        "A, A; B",
        "2 x A\nB",
        '["A", "A", "B"]',
        '[{"sku": "A", "qty": 2.0}, {"sku": "B"}]',
    ],
)
def test_all_pieces_are_read_however_a_form_writes_them(written: Any) -> None:
    assert sorted((it.sku, it.quantity) for it in items_of(written)) == [("A", 2), ("B", 1)]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ([{"sku": "A", "quantity": "two"}, B], "a quantity is not a whole number"),
        ([{"sku": "A", "quantity": Decimal("1.5")}, B], "a quantity is not a whole number"),
        ([{"sku": "A", "quantity": -1}, B], "a quantity is not a whole number"),
        ([{"sku": "A", "quantity": True}, B], "a quantity is not a whole number"),
        ([{"sku": "A", "quantity": None}, B], "a quantity is not a whole number"),
        ([{"sku": "A", "pieces": 2}, B], "an unknown field"),
        ([{"sku": "A", "quantity": 2, "qty": 3}, B], "two quantities"),
        ([{"article": "A"}, B], "has no sku"),
        ([["A", 2, 3], B], "is not an SKU and a number"),
        ([[2, "A"], B], "is not an SKU and a number"),
        ([True, "B"], "an entry is not an SKU"),
        (["A" * (SKU_LIMIT + 1)], f"an SKU has more than {SKU_LIMIT} characters"),
        (["A"] * (ITEMS_LIMIT + 1), f"more than {ITEMS_LIMIT} entries"),
        ([["A", 9999], "A"], "more than 9999 pieces"),
        ("A," * TEXT_LIMIT, f"more than {TEXT_LIMIT} characters"),
    ],
)
def test_what_cannot_be_read_is_refused_as_a_whole(written: Any, words: str) -> None:
    with pytest.raises(UnreadError, match=words):
        items_of(written)


@pytest.mark.parametrize(
    ("sku", "written", "pieces"),
    [
        ("M8 x 40", ["M8 x 40"], 1),
        ("M8 x 40", ["2 x M8 x 40"], 2),
        ("M8 x 40", ["M8 x 40 x 3"], 3),
        ("2 x 4", ["2 x 4", "2 x 4"], 2),
        ("2 x 4", ["2 x 4 x 5"], 5),
        ("A,1", ["A,1"], 1),
        ("A,1", "A,1; A,1", 2),
        ("[1]", "[1]", 1),
        ("00123", ["00123"], 1),
        ("Größe-S", [unicodedata.normalize("NFD", "Größe-S")], 1),
        (" SHOE 42 ", ["SHOE 42"], 1),
    ],
)
def test_an_sku_that_the_order_has_is_that_sku(sku: str, written: Any, pieces: int) -> None:
    bought = order(line(sku))
    asked = request_of(ticket(order_id="1234", items_to_return=written), NOW, bought)
    assert asked.items == (Item(sku, pieces),)
    assert asked.items[0].sku == bought.lines[0].sku


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"items_to_return": ["A", {"sku": "A", "quantity": "two"}]},
            "items_to_return: a quantity",
        ),
        ({"order_id": "1" * (ORDER_ID_LIMIT + 1)}, "order_id has more than 200 characters."),
        (
            {"return_reason": "x" * (REASON_LIMIT + 1)},
            "return_reason has more than 500 characters.",
        ),
        ({"items_to_return": ["-" * 500_000]}, "an SKU has more than 200 characters."),
    ],
)
def test_what_cannot_be_read_goes_to_a_person_with_the_reason(
    fields: dict[str, Any], words: str
) -> None:
    known = {"order_id": "1234", "items_to_return": ["A"], "return_reason": "x"} | fields
    asked = request_of(ticket(**known), NOW)
    checks = {"unclear_request": {"outcome": "approve"}, "no_items": {"outcome": "approve"}}
    verdict = ReturnPolicy.of(version="1", checks=checks).evaluate(asked, order(), History(), NOW)
    assert verdict.outcome is Outcome.REVIEW
    assert any(words in it.why for it in verdict.results)
