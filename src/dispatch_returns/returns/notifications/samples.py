"""Notices about a return that was made up, for looking at templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from dispatch_returns.money import Money
from dispatch_returns.returns.notifications.notice import FACTS, Item, Notice, NoticeKind

_ALL: dict[str, object] = {
    "order_id": "1234",
    "return_number": "RET-2026-001234",
    "items": [Item("Wool jumper, navy", 2, "SKU-001"), Item("Leather belt", 1, "SKU-002")],
    "amount": Money(14900, "EUR"),
    "expires_on": date(2026, 2, 14),
    "received_on": date(2026, 1, 21),
    "label_attached": True,
    "carrier": "DHL",
    "tracking_number": "00340434161094021501",
    "tracking_url": "https://example.com/track/00340434161094021501",
    "label_url": "https://example.com/labels/RET-2026-001234.pdf",
    "deduction": Money(490, "EUR"),
    "reason": "The article is on sale & cannot be returned <final sale>.",
    "keep_items": False,
}
assert _ALL.keys() == FACTS.keys()

_OF_KIND = {
    NoticeKind.REQUESTED: ("items",),
    NoticeKind.APPROVED: ("items", "amount", "deduction"),
    NoticeKind.IN_REVIEW: ("reason",),
    NoticeKind.REJECTED: ("reason",),
    NoticeKind.LABEL_SENT: (
        "items",
        "expires_on",
        "label_attached",
        "carrier",
        "tracking_number",
        "tracking_url",
    ),
    NoticeKind.REMINDER: ("expires_on", "label_url"),
    NoticeKind.EXPIRED: (),
    NoticeKind.RECEIVED: ("items", "amount", "received_on"),
    NoticeKind.REFUNDED: ("amount", "deduction"),
}


def sample(kind: NoticeKind, language: str) -> Notice:
    """Return a notice with the facts that its step usually knows."""
    names = ("order_id", "return_number", *_OF_KIND[kind])
    return _notice(kind, language, {name: _ALL[name] for name in names}, "Jane Doe")


def every_case(kind: NoticeKind, language: str) -> Iterator[Notice]:
    """Yield notices with the usual facts, with all, with none, and where nothing is sent back."""
    yield sample(kind, language)
    yield _notice(kind, language, _ALL, "Jane Doe")
    yield _notice(kind, language, {}, None)
    yield _notice(kind, language, {**_ALL, "keep_items": True}, "Jane Doe")


def _notice(
    kind: NoticeKind, language: str, facts: Mapping[str, object], name: str | None
) -> Notice:
    return Notice(
        key=f"sample:{kind}",
        kind=kind,
        ticket_id="tkt_sample",
        language=language,
        facts=facts,
        email="jane@example.com",
        name=name,
    )
