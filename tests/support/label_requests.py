"""Label requests as the workflow makes them, and the reading of what was printed."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from pypdf import PdfReader

from dispatch_returns.returns.labels.provider import Address, LabelRequest, PackingLine

COLOGNE = Address("Acme Retouren GmbH", "Gewerbestraße 12", "Köln", "50667", "DE", street2="Tor 3")
SPRINGFIELD = Address("Acme Returns", "1200 Commerce St", "Springfield", "62701", "US", state="IL")
CUSTOMER = Address("Jane Doe", "417 Montgomery St", "San Francisco", "94104", "US", state="CA")

_REQUEST = LabelRequest(
    key="label:tkt_1:1",
    ticket_id="tkt_1",
    return_number="RET-2026-001234",
    recipient=SPRINGFIELD,
    sender=CUSTOMER,
    lines=(PackingLine("SKU-001", 2, "Wool jumper"), PackingLine("SKU-002", 1)),
    created_at=datetime(2026, 1, 15, 9, 0, tzinfo=UTC),
    order_id="1234",
    reason="It is too small",
    weight=800,
    send_by=date(2026, 2, 14),
)


def label_request(**changes: Any) -> LabelRequest:
    """Return a request; `changes` are put over it."""
    return replace(_REQUEST, **changes)


def text_of(pdf: bytes) -> str:
    """Return the words of a PDF, with one blank between them."""
    pages = PdfReader(io.BytesIO(pdf)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())
