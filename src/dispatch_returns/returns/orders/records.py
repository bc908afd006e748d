"""Orders from plain records: the fields of a ticket, a SQL row, a payment's metadata.

All three use the same names, with amounts in major units. ``docs/orders.md`` lists them. Amounts
that belong to several lines are shared out here, to the last minor unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any, cast
from zoneinfo import ZoneInfo

from pydantic import Field

from dispatch_returns.client.exact_json import loads
from dispatch_returns.errors import InvalidArgumentError, MoneyError, OrderError
from dispatch_returns.money import CurrencyRule, Money, stripe_rule
from dispatch_returns.refunds.adapter import PaymentKind, PaymentRef
from dispatch_returns.refunds.order_ids import plain_id
from dispatch_returns.refunds.ticket_facts import kind_of
from dispatch_returns.returns.labels.provider import Address
from dispatch_returns.returns.orders.model import Order, OrderLine

Record = Mapping[str, Any]

_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,6})?", re.ASCII)
_SIGNED = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,12})?", re.ASCII)
_YES = frozenset({"1", "true", "yes", "t", "y"})
_NO = frozenset({"0", "false", "no", "f", "n", ""})
_BITS = {b"\x00": False, b"\x01": True}
"""MySQL's BIT(1), as its drivers return it."""
_NOON = time(12)


TIME_ZONE: Any = Field(
    default="UTC", description="of days, and of times without an offset: `Europe/Berlin`"
)
"""The option of every source whose orders may have such times."""


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone called `name`. Raises `InvalidArgumentError` for an unknown name."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise InvalidArgumentError(
            "time_zone", f"{name!r} is not a time zone: write one such as Europe/Berlin"
        ) from None


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the values of one order. Each mistake is an `OrderError` with the field's name.

    ``zone`` applies to times without an offset. A day without a time means noon.
    """

    order_id: str
    currency: str
    zone: ZoneInfo = field(default=ZoneInfo("UTC"))

    def wrong(self, name: str, problem: str) -> OrderError:
        """Return the error for a field. Its value is not shown."""
        return OrderError(f"order {self.order_id}: {name}: {problem}")

    def money(self, name: str, value: Any) -> Money:
        """Read an amount in major units; an empty value is 0. Raises `OrderError`."""
        if value is None or value == "":
            value = 0
        if isinstance(value, bool | float):
            raise self.wrong(name, "a float is not exact: make it a text, in SQL with CAST")
        if not isinstance(value, int | Decimal):
            value = str(value).strip()
            if not _NUMBER.fullmatch(value):
                raise self.wrong(name, "is not an amount such as 149.00: in SQL, CAST it")
        try:
            return Money.from_decimal(Decimal(value), self.currency, _exact(self.currency))
        except (MoneyError, ValueError) as error:
            raise self.wrong(name, str(error)) from None

    def known(self, name: str, value: Any) -> Money | None:
        """Like `money`, but an empty value is None: not known. Raises `OrderError`."""
        return None if value is None or value == "" else self.money(name, value)

    def exact(self, name: str, value: str) -> Fraction:
        """Read an amount with any number of decimals, as minor units, without rounding it.

        It can be below zero. Raises `OrderError`.
        """
        if not _SIGNED.fullmatch(value):
            raise self.wrong(name, "is not an amount such as 149.00")
        units: int = 10 ** _exact(self.currency).decimals
        return Fraction(value) * units

    def minor(self, amount: int) -> Money:
        """Return `amount` minor units of the order's currency."""
        return Money(amount, self.currency, _exact(self.currency).decimals)

    def moment(self, name: str, value: Any) -> datetime | None:
        """Read a time: ISO 8601, with or without hyphens and colons, or seconds since 1970.

        Raises `OrderError`, also for a number that could be either.
        """
        if value is None or value == "":
            return None
        try:
            return self._moment(value)
        except (ValueError, OverflowError, OSError):
            raise self.wrong(name, "write a time as 2026-01-31T14:00:00Z, or a day") from None

    def time(self, name: str, value: Any) -> datetime:
        """Read a required time. Raises `OrderError`."""
        found = self.moment(name, value)
        if found is None:
            raise self.wrong(name, "is missing")
        return found

    def _moment(self, value: Any) -> datetime:
        digits = str(value).strip() if isinstance(value, str | int) else ""
        if not isinstance(value, bool) and digits.isascii() and digits.isdecimal():
            if len(digits) == 8:  # a day of ISO 8601 without hyphens; as seconds it is in 1970
                return self._moment(datetime.strptime(digits, "%Y%m%d").date())  # noqa: DTZ007
            if not 9 <= len(digits) <= 11:
                raise ValueError
            return datetime.fromtimestamp(int(digits), UTC)
        if isinstance(value, str):
            text = value.strip()
            value = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
        if isinstance(value, datetime):
            return value if value.tzinfo is not None else value.replace(tzinfo=self.zone)
        if isinstance(value, date):
            return datetime.combine(value, _NOON, self.zone)
        raise ValueError

    def count(self, name: str, value: Any) -> int:
        """Read a number of pieces. Raises `OrderError`."""
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,6}(\.0+)?", text, re.ASCII):
            raise self.wrong(name, "is not a number of pieces")
        return int(Decimal(text))

    def grams(self, name: str, value: Any) -> int | None:
        """Read a weight; an empty value and 0 mean that it is not known. Raises `OrderError`."""
        if value is None or value == "":
            return None
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,6}(\.0+)?", text, re.ASCII):
            raise self.wrong(name, "is not a whole number of grams")
        return int(Decimal(text)) or None

    def flag(self, name: str, value: Any) -> bool:
        """Read yes or no. Raises `OrderError`."""
        if isinstance(value, bytes) and value in _BITS:
            return _BITS[value]
        text = str(value).strip().lower() if value is not None else ""
        if text not in _YES | _NO:
            raise self.wrong(name, "is neither true nor false")
        return text in _YES


def _exact(currency: str) -> CurrencyRule:
    # A line need not be a multiple of the currency's step; only a payment must be.
    return CurrencyRule(stripe_rule(currency).decimals)


def text_of(value: Any) -> str | None:
    """Return `value` as text, None if it has none. A number becomes its digits.

    Drivers return the text of a column with a binary collation as bytes.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


def order_of(order_id: str, head: Record, lines: Sequence[Record], zone: ZoneInfo) -> Order:
    """Return the order described by `head` and its `lines`. Raises `OrderError`.

    Its id is the head's ``order_id``, else `order_id` as `plain_id` spells it.
    """
    currency = text_of(head.get("currency"))
    if currency is None or not re.fullmatch(r"[A-Za-z]{3}", currency, re.ASCII):
        raise OrderError(f"order {order_id}: currency: write a three-letter code such as USD")
    read = Reader(order_id, currency.upper(), zone)
    country = text_of(head.get("country"))
    return Order(
        id=text_of(head.get("order_id")) or plain_id(order_id),
        currency=read.currency,
        lines=_lines(read, head, lines),
        placed_at=read.time("placed_at", head.get("placed_at")),
        shipping=read.money("shipping", head.get("shipping")),
        shipped_at=read.moment("shipped_at", head.get("shipped_at")),
        delivered_at=read.moment("delivered_at", head.get("delivered_at")),
        prices_include_tax=read.flag("prices_include_tax", head.get("prices_include_tax")),
        country=country and country.upper(),
        customer_email=text_of(head.get("customer_email")),
        customer_id=text_of(head.get("customer_id")),
        payment=payment_of(head),
        address=whole_address(
            name=head.get("ship_name"),
            street=head.get("ship_street"),
            street2=head.get("ship_street2"),
            city=head.get("ship_city"),
            postal_code=head.get("ship_postal_code"),
            state=head.get("ship_state"),
            country=head.get("country"),
            phone=head.get("ship_phone"),
        ),
        fees=read.known("order_fees", head.get("order_fees")),
        charged=read.known("order_total", head.get("order_total")),
        credit=read.known("order_credit", head.get("order_credit")),
        refunded=read.known("order_refunded", head.get("order_refunded")),
        hold=text_of(head.get("order_hold")),
    )


def whole_address(**values: Any) -> Address | None:
    """Return the address made of `values`, None without a name, street, city or country.

    Some countries have no postal codes, and most have no states.
    """
    known = {name: text_of(value) for name, value in values.items()}
    name, street, city, country = (known[it] for it in ("name", "street", "city", "country"))
    if not (name and street and city and country):
        return None
    return Address(
        name=name,
        street=street,
        city=city,
        postal_code=known["postal_code"] or "",
        country=country.upper(),
        street2=known["street2"],
        state=known["state"],
        phone=known["phone"],
    )


def _lines(read: Reader, head: Record, records: Sequence[Record]) -> tuple[OrderLine, ...]:
    lines = [_line(read, number, record) for number, record in enumerate(records)]
    whole = read.money("order_discount", head.get("order_discount"))
    if whole.minor:
        left = [it.price.minor * it.quantity - it.discount.minor for it in lines]
        if whole.minor > sum(max(0, minor) for minor in left):
            raise read.wrong("order_discount", "is more than the lines cost")
        shares = share(whole.minor, [max(0, minor) for minor in left])
        lines = [
            replace(it, discount=it.discount + read.minor(minor))
            for it, minor in zip(lines, shares, strict=True)
        ]
    return tuple(lines)


def _line(read: Reader, number: int, record: Record) -> OrderLine:
    name = f"line {number + 1}"
    sku = text_of(record.get("sku"))
    if sku is None:
        raise read.wrong(f"{name}: sku", "is missing")
    if record.get("price") is None:
        raise read.wrong(f"{name}: price", "is missing")
    return OrderLine(
        id=text_of(record.get("line_id")) or str(number + 1),
        sku=sku,
        quantity=read.count(f"{name}: quantity", record.get("quantity", 1)),
        price=read.money(f"{name}: price", record.get("price")),
        tax=read.money(f"{name}: tax", record.get("tax")),
        discount=read.money(f"{name}: discount", record.get("discount")),
        title=text_of(record.get("title")),
        category=text_of(record.get("category")),
        final_sale=read.flag(f"{name}: final_sale", record.get("final_sale")),
        weight=read.grams(f"{name}: weight", record.get("weight")),
        removed=read.count(f"{name}: removed", record.get("removed") or 0),
    )


_PAYMENTS: tuple[tuple[str, PaymentKind], ...] = (
    ("payment_intent", "payment_intent"),
    ("charge_id", "charge"),
    ("payment_reference", "reference"),
)


def payment_of(record: Record) -> PaymentRef | None:
    """Return the payment that `record` names, None if it names none."""
    adapter = text_of(record.get("payment_adapter"))
    for name, kind in _PAYMENTS:
        if value := text_of(record.get(name)):
            return replace(reference(value, kind), adapter=adapter or None)
    return None


def reference(value: str, kind: PaymentKind = "reference") -> PaymentRef:
    """Return a payment. The prefix of a Stripe id decides its kind."""
    return PaymentRef(kind_of(value, kind), value)


def records_of(value: Any) -> list[Record] | None:
    """Return the records of a list or of its JSON text; None for anything else."""
    if isinstance(value, str):
        try:
            value = loads(value.encode())
        except ValueError:
            return None
    if not isinstance(value, list) or not value:
        return None
    entries = cast("list[object]", value)
    if not all(isinstance(entry, Mapping) for entry in entries):
        return None
    return cast("list[Record]", value)


def share(total: int, weights: Sequence[int]) -> list[int]:
    """Return `total` minor units shared out in proportion to `weights`; the sum is `total`.

    Each share is rounded down. The units left over go, one each, to the shares that lost most,
    the earlier of equals first (the method of the largest remainder). If all weights are 0, they
    count as equal. Raises `ValueError` for a negative number, and without weights.
    """
    if not weights or total < 0 or min(weights) < 0:
        raise ValueError("share() needs weights, and no negative numbers")
    whole = sum(weights)
    if not whole:
        return share(total, [1] * len(weights))
    shares = [total * weight // whole for weight in weights]
    by_loss = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_loss[: total - sum(shares)]:
        shares[i] += 1
    return shares


def rounded(amounts: Sequence[Fraction], total: int, slack: Fraction) -> list[int]:
    """Return `amounts`, none below zero, as whole minor units whose sum is `total`.

    A shop may round each amount, or only their sum, so the exact amounts can differ from `total`
    by up to `slack`. If they differ by more, each is rounded by itself, and their sum is not
    `total`.
    """
    if not amounts or abs(sum(amounts, Fraction(-total))) > slack:
        return [nearest(amount) for amount in amounts]
    return share(total, [floor(amount * _FINE) for amount in amounts])


def nearest(amount: Fraction) -> int:
    """Return `amount` rounded to a whole number, halves up."""
    return floor(amount + Fraction(1, 2))


_FINE = 10**12


def in_steps(amounts: Sequence[int], step: int) -> list[int]:
    """Return `amounts` as multiples of `step`; their sum is rounded down to one too.

    For currencies in which payments are multiples of several minor units and an order's lines
    need not be (ISK, UGX, KWD).
    """
    if step == 1 or not amounts:
        return list(amounts)
    return [steps * step for steps in share(sum(amounts) // step, amounts)]
