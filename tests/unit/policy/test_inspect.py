"""A receipt pays at once, or a person looks first."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.verdict import Inspection, Item, Outcome
from tests.support.purchases import line, order

ANNOUNCED = (Item("A", 2),)


def inspect(*accepted: Item, settled: tuple[Item, ...] = (), **keys: Any) -> Inspection:
    policy = ReturnPolicy.of(version="1", **keys)
    bought = order(line("A", 3), line("B"))
    return policy.inspect(bought, accepted, "late", announced=ANNOUNCED, settled=settled)


@pytest.mark.parametrize("condition", ["good", "Like New", "NEW"])
def test_what_was_announced_and_is_well_pays_at_once(condition: str) -> None:
    found = inspect(Item("A", 2, condition))
    assert (found.outcome, found.pays, found.results) == (Outcome.APPROVE, True, ())
    assert found.breakdown.total.minor == 2000


def test_fewer_than_announced_pay_for_those_that_came() -> None:
    found = inspect(Item("A", 1, "good"))
    assert (found.pays, found.breakdown.total.minor) == (True, 1000)


@pytest.mark.parametrize(
    ("accepted", "rule"),
    [
        (Item("A", 3, "good"), "too_many"),
        (Item("B", 1, "good"), "too_many"),
        (Item("X", 1, "good"), "too_many"),
        (Item("A", 2, "chewed on"), "condition"),
        (Item("A", 2), "condition"),
    ],
)
def test_others_more_or_worse_are_looked_at(accepted: Item, rule: str) -> None:
    found = inspect(accepted, assignee="all", checks={rule: {"assignee": "warehouse"}})
    assert (found.outcome, found.pays, found.assignee) == (Outcome.REVIEW, False, "warehouse")
    assert found.results[0].rule == rule


def test_more_in_a_second_parcel_is_more_too() -> None:
    first = Item("A", 1, "good")
    assert inspect(first, settled=(first,)).pays
    assert not inspect(Item("A", 2, "good"), settled=(first,)).pays


def test_a_condition_with_a_fee_pays_less_and_at_once() -> None:
    found = inspect(Item("A", 2, "damaged"), condition_fees={"Damaged": "50%"})
    assert (found.pays, found.breakdown.total.minor) == (True, 1000)


def test_nothing_to_pay_and_an_unnamed_currency_are_looked_at() -> None:
    nothing = inspect(Item("A", 2, "good"), restocking_fee="100%")
    assert [it.rule for it in nothing.results] == ["nothing"]
    unnamed = inspect(Item("A", 2, "good"), return_shipping="5 USD")
    assert [it.rule for it in unnamed.results] == ["currency"]


def test_one_article_that_people_refund_leaves_the_whole_to_them() -> None:
    policy = ReturnPolicy.of(
        version="1", rules=[{"name": "b", "skus": ["B"], "refund_on_receipt": False}]
    )
    bought, good = order(line("A"), line("B")), Item("A", 1, "good")
    assert policy.inspect(bought, [good], announced=[Item("A")]).pays
    assert not policy.inspect(bought, [good], announced=[Item("A"), Item("B")]).pays


def test_a_policy_may_leave_the_refund_to_people() -> None:
    found = inspect(Item("A", 2, "good"), refund_on_receipt=False)
    assert (found.outcome, found.pays) == (Outcome.APPROVE, False)
    waived = [{"name": "x", "reasons": ["late"], "waive": ["condition"]}]
    assert inspect(Item("A", 2), rules=waived).pays
