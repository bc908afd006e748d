"""The idempotency table of docs/processors.md, and what holds it to the stand-ins.

Each cell says what the vendor documents, None where it documents nothing, and what our stand-in
answers, which a test observes through the adapter. ``python -m tests.support.idempotency_table``
writes the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tests.support.processor_table import PAGE

Case = Literal["same body", "other body", "in flight", "expired", "5xx", "4xx"]
Observed = Literal[
    "the same refund",
    "refused",
    "asked to wait",
    "a second refund",
    "the same 5xx",
    "the same refusal",
]
CASES: Mapping[Case, str] = {
    "same body": "the same body again",
    "other body": "another amount under the same key",
    "in flight": "again while the first is being worked on",
    "expired": "again after the key's lifetime",
    "5xx": "again after a 5xx, though the refund was made",
    "4xx": "again after a refusal whose cause has been fixed",
}
_TABLE = re.compile(r"^\| the same key \|.*?(?=^$)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """What a vendor documents, and what its stand-in answers."""

    documented: str | None
    observed: Observed


_STRIPE = "the first answer, status and body"
DOCUMENTED: Mapping[str, Mapping[Case, Cell]] = {
    "stripe": {
        "same body": Cell(_STRIPE, "the same refund"),
        "other body": Cell("an error", "refused"),
        "in flight": Cell("409, and nothing is kept", "asked to wait"),
        "expired": Cell("a new request, once the key is 24 hours old or more", "a second refund"),
        "5xx": Cell(f"{_STRIPE}, 500 included", "the same 5xx"),
        "4xx": Cell(f"{_STRIPE}, if the endpoint had begun to work", "the same refusal"),
    },
    "paypal": {
        "same body": Cell("the latest status of the first request", "the same refund"),
        "other body": Cell(None, "the same refund"),
        "in flight": Cell("the second request may fail", "asked to wait"),
        "expired": Cell("the key is stored for 45 days", "a second refund"),
        "5xx": Cell("may be retried for as long as the key is stored", "the same refund"),
        "4xx": Cell(None, "a second refund"),
    },
    "adyen": {
        "same body": Cell("the first answer", "the same refund"),
        # Its adapter compares the amount and the reference with the answer's.
        "other body": Cell(None, "refused"),
        "in flight": Cell("422 or 409 with the code 704", "asked to wait"),
        "expired": Cell("the key is stored for at least 7 days", "a second refund"),
        "5xx": Cell("may be retried if `transient-error` is true", "the same 5xx"),
        "4xx": Cell("the first answer: not to be retried", "the same refusal"),
    },
    "mollie": {
        "same body": Cell("the first answer", "the same refund"),
        "other body": Cell("an error", "refused"),
        "in flight": Cell("409", "asked to wait"),
        "expired": Cell("the key is stored for 24 hours", "a second refund"),
        "5xx": Cell(None, "the same refund"),
        "4xx": Cell(None, "a second refund"),
    },
    "square": {
        "same body": Cell("the same refund", "the same refund"),
        # An answer in a forum of Square's, and the code in its description; no page says it.
        "other body": Cell(None, "refused"),
        "in flight": Cell(None, "asked to wait"),
        "expired": Cell(None, "a second refund"),
        "5xx": Cell(None, "the same refund"),
        "4xx": Cell(None, "a second refund"),
    },
    "klarna": {
        "same body": Cell("the first answer", "the same refund"),
        # Its adapter looks at the order's refunds before each call.
        "other body": Cell(None, "refused"),
        "in flight": Cell(None, "asked to wait"),
        "expired": Cell("the key is valid for 24 hours", "the same refund"),
        "5xx": Cell("may be retried: it is carried out once", "the same refund"),
        "4xx": Cell(None, "a second refund"),
    },
    # Its adapter looks at the payment's refunds before each call.
    "checkout_com": {
        "same body": Cell("the first answer", "the same refund"),
        "other body": Cell(None, "refused"),
        "in flight": Cell("409", "asked to wait"),
        "expired": Cell("a new request after 24 hours", "the same refund"),
        "5xx": Cell("nothing is kept: a new request", "the same refund"),
        "4xx": Cell("nothing is kept: a new request", "a second refund"),
    },
    "shopify": {
        "same body": Cell("the result of the first request", "the same refund"),
        "other body": Cell("an error: other parameters", "refused"),
        "in flight": Cell("an error: in progress, try again", "asked to wait"),
        # Its adapter looks at the order's refunds before each call.
        "expired": Cell(None, "the same refund"),
        "5xx": Cell("may be retried: it is carried out once", "the same refund"),
        "4xx": Cell(None, "a second refund"),
    },
}
"""By adapter. ``a second refund`` is the first one where none was made before (4xx).

Sources: https://docs.stripe.com/api/idempotent_requests,
https://developer.paypal.com/reference/guidelines/idempotency (and the header's description in
Payments v2), https://docs.adyen.com/development-resources/api-idempotency,
https://docs.mollie.com/reference/api-idempotency,
https://www.checkout.com/docs/payments/manage-payments/idempotency (and its support article on 409),
https://developer.squareup.com/docs/build-basics/common-api-patterns/idempotency,
https://docs.klarna.com/api/kn/integration-resilience (and Order Management's escalation and retry
policy), https://shopify.dev/docs/api/usage/idempotent-requests.
"""


def rows() -> Iterator[str]:
    """Yield the lines of the table."""
    names = " | ".join(f"`{name}`" for name in DOCUMENTED)
    yield f"| the same key | {names} |"
    yield "|---" * (len(DOCUMENTED) + 1) + "|"
    for case, what in CASES.items():
        cells = " | ".join(_shown(cells[case], case) for cells in DOCUMENTED.values())
        yield f"| {what} | {cells} |"


def _shown(cell: Cell, case: Case) -> str:
    said = "*not documented*" if cell.documented is None else cell.documented
    observed = "carried out" if case == "4xx" and "second" in cell.observed else cell.observed
    return f"{said} (double: {observed})"


def page() -> str:
    """Return docs/processors.md with the table as it should be."""
    table = "".join(f"{row}\n" for row in rows())
    return _TABLE.sub(lambda _: table, PAGE.read_text(encoding="utf-8"), count=1)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
