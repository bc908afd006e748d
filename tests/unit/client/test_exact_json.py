"""Numbers come out with the digits they went in with, and no float goes out at all."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns.client.exact_json import dumps, loads
from dispatch_returns.errors import InvalidArgumentError

decimals = st.decimals(allow_nan=False, allow_infinity=False)
atoms = st.none() | st.booleans() | st.integers() | decimals | st.text()
values = st.recursive(
    atoms, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30
)


@given(decimals)
def test_a_decimal_comes_back_as_the_same_number(amount: Decimal) -> None:
    back = Decimal(loads(dumps([amount]).encode())[0])
    assert back == amount
    assert back.as_tuple().exponent == amount.as_tuple().exponent


@given(values)
def test_any_json_value_comes_back_as_it_was(value: Any) -> None:
    assert loads(dumps(value).encode()) == value


@given(values)
def test_what_is_written_is_json_for_everybody(value: Any) -> None:
    json.loads(dumps(value))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("149.00"), "149.00"),
        (Decimal("0.1"), "0.1"),
        (Decimal("-0.00"), "-0.00"),
        (Decimal("1E+2"), "1E+2"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        (None, "null"),
        ('é\n"\ud800', '"\\u00e9\\n\\"\\ud800"'),
        ({"b": 1, "a": (1, [2])}, '{"b":1,"a":[1,[2]]}'),
    ],
)
def test_values_are_written_like_this(value: object, written: str) -> None:
    assert dumps(value) == written


@given(st.floats())
def test_no_float_is_ever_written(amount: float) -> None:
    with pytest.raises(InvalidArgumentError, match="write Decimal"):
        dumps({"amount": amount}, "custom_fields")


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        (1.5, "custom_fields"),
        ({"refund_amount": 149.0}, "custom_fields.refund_amount"),
        ({"lines": [{"price": Decimal(1)}, {"price": 1.0}]}, "custom_fields.lines.1.price"),
        ({"a": Decimal("NaN")}, "custom_fields.a"),
        ({"a": Decimal("sNaN")}, "custom_fields.a"),
        ({"a": Decimal("-Infinity")}, "custom_fields.a"),
        ({"a": {1: "x"}}, "custom_fields.a"),
        ({"a": b"x"}, "custom_fields.a"),
        ({"a": {1, 2}}, "custom_fields.a"),
        ({"a": object()}, "custom_fields.a"),
    ],
)
def test_what_json_lacks_is_refused_with_its_place(value: object, argument: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        dumps(value, "custom_fields")
    assert caught.value.argument == argument


@pytest.mark.parametrize("content", [b"", b"{", b"nan", b"[Infinity]", b"\xff", b"[" * 10**5])
def test_what_is_not_json_is_a_value_error_without_the_content(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not JSON$"):
        loads(content)


@given(st.binary())
def test_no_content_raises_anything_else(content: bytes) -> None:
    try:
        loads(content)
    except ValueError as error:
        assert str(error) == "not JSON"  # noqa: PT017 - most of these bytes are no error's


def test_half_an_emoji_is_a_replacement_character() -> None:
    assert loads(rb'{"a\ud83d": ["x\ud83dy", "\ud83d\ude00"]}') == {
        "a\ufffd": ["x\ufffdy", "\U0001f600"]
    }


@pytest.mark.parametrize("number", ["9" * 5000, "1e99999999999999999999"])
def test_a_number_that_cannot_be_read_spoils_no_other_value(number: str) -> None:
    odd = loads(f'{{"note": {number}, "amount": 149.00, "count": 3}}'.encode())
    assert odd == {"note": number, "amount": Decimal("149.00"), "count": 3}
