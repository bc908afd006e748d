"""What may come back and what for: pure, and the same as the worker decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from dispatch_returns.errors import InvalidArgumentError
from dispatch_returns.portal import ReturnDraft, options, quote
from dispatch_returns.portal.forms import Form
from dispatch_returns.portal.words import Catalogue
from dispatch_returns.returns.policy import History, ReturnPolicy
from dispatch_returns.returns.policy.verdict import Outcome
from tests.support.desk import NOW
from tests.support.portal_shop import POLICY, PortalShop, an_order, line, usd

PORTAL = ReturnPolicy.of(**POLICY)
ID = "a-draft-of-a-customer"


def test_the_last_day_is_the_policys_for_the_reasons_that_are_left() -> None:
    def until(days: int) -> date | None:
        found = options(PORTAL, an_order(days=days), History(), NOW).item("BELT")
        assert found is not None
        return found.until

    assert until(3) == date(2024, 1, 12) + timedelta(days=30)
    assert until(40) == NOW.date() - timedelta(days=40) + timedelta(days=365)  # if it is faulty
    assert until(400) == NOW.date() - timedelta(days=400) + timedelta(days=30)


def test_what_a_rule_tells_agents_is_not_shown_to_customers() -> None:
    draft = ReturnDraft(ID, {"BELT": 1}, "defective")
    found = quote(PORTAL, an_order(), History(), draft, NOW)
    assert found.outcome is Outcome.REVIEW
    assert [(it.check, it.text) for it in found.objections] == [("person", None)]


def test_what_is_left_is_bought_less_removed_less_returned() -> None:
    order = replace(an_order(), lines=(line("A", 1000, 5, removed=1),))
    found = options(PORTAL, order, History(returned={"A": 2}), NOW).item("A")
    assert found is not None
    assert (found.bought, found.left) == (5, 2)


def test_lines_of_one_sku_are_one_article() -> None:
    lines = (replace(line("A", 1000, 2), id="1"), replace(line("A", 800, 1), id="2"))
    found = options(PORTAL, replace(an_order(), lines=lines), History(), NOW).items
    assert [(it.sku, it.bought, it.left) for it in found] == [("A", 3, 3)]


def test_the_quote_adds_up_and_names_each_deduction() -> None:
    draft = ReturnDraft(ID, {"SKU-001": 1, "BELT": 2}, "changed_mind")
    found = quote(PORTAL, an_order(), History(), draft, NOW)
    assert [(it.title, it.quantity, it.amount) for it in found.lines] == [
        ("Wool jumper, navy", 1, usd(14900)),
        ("Leather belt", 2, usd(5000)),
    ]
    assert dict(found.fees) == {"restocking": usd(1990), "return_shipping": usd(490)}
    assert found.total == usd(14900 + 5000 - 1990 - 490)


def test_an_order_whose_sums_are_unclear_goes_to_a_person() -> None:
    order = an_order(charged=usd(99999))
    found = options(PORTAL, order, History(), NOW).item("BELT")
    assert found is not None
    assert (found.possible, found.objection and found.objection.check) == (
        "review",
        "unclear_order",
    )


def test_a_long_order_is_judged_in_a_moment() -> None:
    evaluated: list[int] = []

    class Counting(ReturnPolicy):
        def evaluate(self, request: Any, order: Any, history: Any, now: Any) -> Any:
            evaluated.append(len(order.lines))
            return super().evaluate(request, order, history, now)

    lines = tuple(line(f"SKU-{n}", 1000) for n in range(40))
    options(Counting.of(**POLICY), replace(an_order(), lines=lines), History(), NOW)
    # The sums of an order grow with the square of its lines: each line is judged by itself.
    assert sum(evaluated) == len(evaluated) == 40 * 5


def test_a_blocked_customer_is_not_told_that_they_are() -> None:
    policy = ReturnPolicy.of(version="x", block=["jane@example.com"])
    found = options(policy, an_order(), History(), NOW)
    assert not found.is_open
    assert {it.objection and it.objection.check for it in found.items} == {"person"}


def test_a_draft_of_what_is_not_there_is_empty() -> None:
    found = options(PORTAL, an_order(), History(), NOW)
    draft = Form.of("q.NOTHING=1&q.BELT=x&r=unheard&t=too_small").draft(found, ID)
    assert draft == ReturnDraft(ID)


def test_a_reason_of_a_rule_that_rejects_is_refused() -> None:
    draft = ReturnDraft(ID, {"OUTLET-1": 1}, "changed_mind")
    assert quote(PORTAL, an_order(), History(), draft, NOW).outcome is Outcome.REJECT
    faulty = replace(draft, reason="defective")
    assert quote(PORTAL, an_order(), History(), faulty, NOW).outcome is Outcome.REVIEW


def test_the_core_can_be_called_by_a_front_end_of_ones_own(shop: PortalShop) -> None:
    portal, draft = shop.portal, ReturnDraft(ID, {"SKU-001": 1}, "changed_mind")
    assert portal.options("9999") is None
    found = portal.quote("1234", draft)
    assert found is not None
    assert found.total == usd(12920)
    assert portal.confirm("1234", draft) == portal.confirm("1234", draft)
    for wrong in (
        ReturnDraft("another-id-of-a-draft", {"SKU-001": 1}, "changed_mind"),  # none is left
        ReturnDraft("another-id-of-a-draft", {"OUTLET-1": 1}, "changed_mind"),
        ReturnDraft("another-id-of-a-draft", {}, "changed_mind"),
        ReturnDraft("another-id-of-a-draft", {"BELT": 3}, "changed_mind"),
        ReturnDraft("another-id-of-a-draft", {"BELT": 1}),
    ):
        with pytest.raises(InvalidArgumentError, match="draft"):
            portal.confirm("1234", wrong)


def test_two_reasons_of_one_name_are_a_mistake() -> None:
    from dispatch_returns.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="two reasons are called 'a'"):
        ReturnPolicy.of(version="x", reasons=[{"key": "a"}, {"key": "A"}])
    with pytest.raises(ConfigurationError, match="did you mean words"):
        ReturnPolicy.of(version="x", reasons=[{"key": "a", "word": {}}])


def test_every_text_is_in_every_language_with_the_same_values() -> None:
    import re

    catalogue = Catalogue()
    texts = {it: catalogue.of(it)._texts for it in catalogue.languages}
    english = texts.pop("en")
    from dispatch_returns.portal.words import _ours

    for language in texts:
        own = _ours()[language]
        assert set(own) == set(english), language
        for key, text in own.items():
            values = set(re.findall(r"{\w+}", text))
            assert values == set(re.findall(r"{\w+}", english[key])), (language, key)


def test_the_language_is_the_one_that_is_wanted_most() -> None:
    catalogue = Catalogue()
    assert catalogue.of("fi, en;q=0.3, de-AT;q=0.8").language == "de"
    assert catalogue.of(None, "xx", "de").language == "de"
    assert catalogue.of("*").language == "en"
