"""A policy's patterns: what they mean, and that none of them can be slow."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns.returns.orders.model import fits_glob
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.terms import RuleSubject, fitting


@given(st.text("AB*?", max_size=8), st.text("AB", max_size=12))
def test_a_pattern_means_what_a_regular_expression_would(pattern: str, sku: str) -> None:
    signs = (".*" if sign == "*" else "." if sign == "?" else sign for sign in pattern)
    assert fits_glob(pattern, sku) is bool(re.fullmatch("".join(signs), sku))


class _Counting(str):
    """A text that counts how much of it is read, as its places are looked at one by one."""

    __slots__ = ("read",)

    def __init__(self, text: str) -> None:
        del text
        self.read = 0

    def __getitem__(self, place: object) -> str:
        found = str.__getitem__(self, place)  # type: ignore[index]
        self.read += len(found)
        return found


@pytest.mark.parametrize("pattern", ["*?*?*?B", "?*?A*?A*?B", "*A?A*A?A*A?C"])
def test_what_is_read_of_a_text_grows_with_its_length_and_no_faster(pattern: str) -> None:
    read = list[int]()
    for length in (1_000, 10_000):
        text = _Counting("A" * length)
        assert not fits_glob(pattern, text)
        read.append(text.read)
    assert read[1] <= 11 * read[0] + 100


@pytest.mark.parametrize("pattern", ["*-*-SALE", "*A*B*C", "*A*A*A*B", "*-*-*-*-*-*-?"])
def test_a_long_text_is_no_work_for_any_pattern(pattern: str) -> None:
    # With a regular expression of the same meaning this takes hours.
    assert not fits_glob(pattern, "A-" * 50_000 + "!!")


def test_patterns_and_skus_are_compared_in_one_form() -> None:
    written = unicodedata.normalize("NFD", "Größe-*")
    rules = [{"name": "sizes", "skus": [written], "outcome": "review"}]
    policy = ReturnPolicy.of(version="1", rules=rules)
    assert [it.name for it in fitting(policy, RuleSubject("Größe-S"))] == ["sizes"]
