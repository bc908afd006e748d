"""`policy check`: each finding is made where it is true, and not where it is nearly true."""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns.returns.policy import cells
from dispatch_returns.returns.policy.book import PolicyBook
from dispatch_returns.returns.policy.cells import cells_of, skus_of
from dispatch_returns.returns.policy.keys import fits
from dispatch_returns.returns.policy.lint import check, check_policy
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.terms import RuleSubject, fitting


def found(*rules: dict[str, Any], **keys: Any) -> list[tuple[str, str]]:
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules, 1)]
    policy = ReturnPolicy.of(version="1", rules=named, **keys)
    return [(str(it.kind), it.where) for it in check_policy(policy)]


SHOES, BAGS = {"categories": ["shoes"]}, {"categories": ["bags"]}
DE, FR = {"countries": ["DE"]}, {"countries": ["FR"]}
LONG, LONGER = {"window_days": 60}, {"window_days": 90}
REVIEW, REJECT, APPROVE = ({"outcome": it} for it in ("review", "reject", "approve"))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        # Covered by one, by two together, by all; and nearly.
        ([SHOES | LONG, SHOES | DE | LONGER], [("never-fires", "rule r2")]),
        (
            [DE | LONG, FR | LONG, {"countries": ["DE", "FR"]} | LONGER],
            [("never-fires", "rule r3")],
        ),
        ([DE | LONG, {"countries": ["DE", "FR"]} | LONGER], []),
        ([LONG, SHOES | LONGER], [("never-fires", "rule r2")]),
        ([SHOES | DE | LONG, SHOES | LONGER], []),
        ([SHOES | LONG, BAGS | LONGER], []),
        (
            [SHOES | LONG, SHOES | LONGER | {"shipping": "always"}],
            [("no-effect", "rule r2: window_days")],
        ),
        # SKUs: patterns in patterns.
        ([{"skus": ["A*"]} | LONG, {"skus": ["AB*"]} | LONGER], [("never-fires", "rule r2")]),
        ([{"skus": ["AB*"]} | LONG, {"skus": ["A*"]} | LONGER], []),
        ([{"skus": ["A?", "A"]} | LONG, {"skus": ["A*"]} | LONGER], []),
        ([{"skus": ["*A*"]} | LONG, {"skus": ["?A*A"]} | LONGER], [("never-fires", "rule r2")]),
        # Outcomes.
        ([SHOES | REJECT, SHOES | DE | REVIEW], [("never-fires", "rule r2")]),
        ([SHOES | DE | REVIEW, SHOES | REJECT], [("never-fires", "rule r1")]),
        ([SHOES | REJECT, DE | REVIEW], []),
        ([SHOES | REVIEW, DE | REVIEW], []),
        ([SHOES | APPROVE], [("no-effect", "rule r1")]),
        ([SHOES | APPROVE, SHOES | REJECT], [("contradiction", "rule r1")]),
        ([SHOES | APPROVE, SHOES | DE | REJECT], [("no-effect", "rule r1")]),
        ([SHOES | REJECT | LONG], [("no-effect", "rule r1: window_days")]),
        # Keys.
        ([SHOES | {"window_days": 30}], [("no-effect", "rule r1: window_days")]),
        ([SHOES | DE | {"window_days": 30}, SHOES | LONG], []),
        ([SHOES | {"restocking_fee": "0%"}], []),
        ([SHOES | LONG | {"waive": ["window"]}], [("contradiction", "rule r1: window_days")]),
        ([SHOES | {"waive": ["earlier_returns"]}], [("no-effect", "rule r1: waive")]),
        ([SHOES | {"waive": ["max_value"]}], [("no-effect", "rule r1: waive")]),
        ([SHOES | {"waive": ["excluded"]}], [("no-effect", "rule r1: waive")]),
        ([SHOES | {"waive": ["final_sale"]}], []),
        ([SHOES | LONG | {"assignee": "x"}], [("unreachable", "rule r1: assignee")]),
        ([SHOES | REVIEW | {"assignee": "x"}], []),
        ([SHOES | {"restocking_fee": "100%"}], [("contradiction", "restocking_fee")]),
    ],
)
def test_rules_are_compared_over_all_returns_there_are(
    rules: list[dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    assert found(*rules) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"reminder_days": 30}, [("unreachable", "reminder_days")]),
        ({"reminder_days": 29}, []),
        ({"label_days": 29}, [("contradiction", "label_days")]),
        (
            {"grace_days": 5, "checks": {"window": {"outcome": "review"}}},
            [("no-effect", "grace_days")],
        ),
        ({"grace_days": 5}, []),
        ({"condition_fees": {"Good": "5%"}}, [("contradiction", "conditions")]),
        ({"block": ["a"], "allow": ["A", "b"]}, [("contradiction", "allow")]),
        ({"checks": {"window": {"assignee": "x"}}}, [("unreachable", "checks.window.assignee")]),
        ({"checks": {"window": {"assignee": "x"}}, "grace_days": 1}, []),
        ({"checks": {"condition": {"assignee": "x"}}}, []),
        ({"final_sale": ["A*", "AB?"]}, [("redundant", "final_sale")]),
        ({"final_sale": ["A?", "AB*"]}, []),
        ({"final_sale": ["AB*"], "excluded": ["A*"]}, [("redundant", "final_sale")]),
        ({"final_sale": ["A*"], "excluded": ["AB*"]}, []),
        (
            {"max_value": "50 EUR", "returnless_under": "50.01 EUR"},
            [("contradiction", "returnless_under")],
        ),
        ({"max_value": "50 EUR", "returnless_under": "50 EUR"}, []),
        ({"max_value": "50 EUR", "returnless_under": "99 USD"}, []),
        ({"max_value": "50 EUR, 9 USD", "return_shipping": "5 EUR"}, [("gap", "currencies")]),
        ({"max_value": "50 EUR", "return_shipping": "0"}, []),
    ],
)
def test_keys_are_compared_with_each_other(
    keys: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert found(**keys) == expected


def test_excluded_articles_are_rejected_whatever_a_rule_says() -> None:
    gifts = {"skus": ["GIFT-1"]}
    assert found(gifts | REVIEW, excluded=["GIFT-*"]) == [("never-fires", "rule r1")]
    assert found(gifts | REVIEW | {"waive": ["excluded"]}, excluded=["GIFT-*"]) == []
    loose = {"excluded": {"outcome": "approve"}}
    assert found(gifts | REVIEW, excluded=["GIFT-*"], checks=loose) == []


def test_a_finding_names_who_is_to_blame_and_an_example() -> None:
    rules = [
        {"name": "all shoes", **SHOES, **LONG},
        {"name": "ours", **SHOES, **DE, "skus": ["X-*"], **LONGER},
    ]
    (finding,) = check_policy(ReturnPolicy.of(version="1", rules=rules))
    assert finding.what == "all shoes sets all its keys first, wherever this rule applies"
    assert finding.example == "country DE, category shoes, SKU X-"


def test_a_version_that_changes_nothing_is_found() -> None:
    first, second = (
        ReturnPolicy.of(version="1"),
        ReturnPolicy.of(version="2", valid_from=date(2026, 1, 1)),
    )
    (finding,) = check(PolicyBook([first, second]))
    assert (finding.version, str(finding.kind)) == ("2", "redundant")


def test_what_is_too_much_to_compare_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_MOST_STATES", 50)
    many = [f"*{letter}*{letter.lower()}*" for letter in "ABCDEF"]
    assert ("incomplete", "rules") in found(final_sale=many)
    monkeypatch.setattr(cells, "_MOST_CELLS", 3)
    assert ("incomplete", "rules") in found(SHOES | LONG, DE | LONG)


_patterns = st.lists(st.text("AB*?", min_size=1, max_size=4), max_size=4, unique=True)


@given(_patterns, st.text("ABC", min_size=1, max_size=6))
def test_every_sku_is_alike_one_of_the_examples(patterns: list[str], sku: str) -> None:
    def kind(text: str) -> list[bool]:
        assert all(fits(text, (p,)) == fnmatchcase(text, p) for p in patterns)
        return [fits(text, (pattern,)) for pattern in patterns]

    examples = [kind(example) for example in skus_of(patterns)]
    assert examples.count(kind(sku)) == 1
    assert len({tuple(it) for it in examples}) == len(examples)


@given(st.sampled_from(["a", "b", "c"]), st.sampled_from(["DE", "FR", "IT"]), st.sampled_from("xy"))
def test_every_return_is_alike_one_of_the_cells(reason: str, country: str, category: str) -> None:
    rules: list[dict[str, Any]] = [
        {"name": "1", "reasons": ["a", "b"], "countries": ["DE"], **LONG},
        {"name": "2", "reasons": ["a"], "categories": ["x"], "skus": ["S*"], **LONG},
    ]
    policy = ReturnPolicy.of(version="1", rules=rules)
    kinds = [[it.name for it in fitting(policy, cell)] for cell in cells_of(policy)]
    for sku in ("S1", "T"):
        case = RuleSubject(sku, reason, country, category)
        assert [it.name for it in fitting(policy, case)] in kinds
