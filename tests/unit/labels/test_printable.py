"""The printed label: read back as a scanner and a postman read it."""

from __future__ import annotations

import io

import pypdfium2 as pdfium
import pytest
import zxingcpp
from pypdf import PdfReader

from dispatch_returns.errors import ConfigurationError, LabelError
from dispatch_returns.returns.labels import registry
from dispatch_returns.returns.labels.printable import PrintableLabels
from dispatch_returns.returns.labels.provider import Address, LabelRequest, PackingLine
from tests.support.label_requests import COLOGNE, SPRINGFIELD, label_request, text_of


def printed(request: LabelRequest, **options: str) -> bytes:
    return registry.load("printable", options).buy(request).pdf


@pytest.mark.parametrize("number", ["7", "RET-2026-001234", "R" * 40])
def test_both_codes_can_be_scanned(number: str) -> None:
    document = pdfium.PdfDocument(printed(label_request(return_number=number)))
    image = document[0].render(scale=200 / 72).to_numpy()
    document.close()
    found = {code.format.name: code.text for code in zxingcpp.read_barcodes(image)}
    assert sorted(found.values()) == [number, number]
    assert any("128" in name for name in found), found
    assert any("QR" in name for name in found), found


def test_the_same_request_gives_the_same_bytes() -> None:
    first, second = PrintableLabels(), PrintableLabels()
    made = first.buy(label_request())
    assert made == second.buy(label_request()) == second.find(label_request())
    assert made.id != first.buy(label_request(key="label:tkt_1:2")).id


def test_all_that_matters_is_on_it() -> None:
    text = text_of(printed(label_request()))
    for part in (
        "Return to Acme Returns 1200 Commerce St Springfield IL 62701 UNITED STATES",
        "From Jane Doe 417 Montgomery St San Francisco CA 94104",
        "Return number: RET-2026-001234",
        "Order: 1234 Requested on: January 15, 2026 Send by: February 14, 2026",
        "2 SKU-001 Wool jumper 1 SKU-002",
        "Reason: It is too small",
        "Packing slip",
    ):
        assert part in text


def test_it_speaks_german() -> None:
    text = text_of(printed(label_request(language="de-AT", recipient=COLOGNE)))
    assert "Rücksendung an Acme Retouren GmbH Gewerbestraße 12 Tor 3 50667 Köln DEUTSCHLAND" in text
    assert "Absenden bis: 14. Februar 2026" in text
    assert "Packing slip" not in text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Łucja Żółć", "Łucja Żółć"),
        ("Ωmega Ленина", "Ωmega Ленина"),
        ("u\u0308", "ü"),
        ("山田", "ShanTian"),
        ("שלום", "slvm"),
        ("a\x00b\u202ec", "abc"),
        ("<b>&amp;", "<b>&amp;"),
    ],
)
def test_any_name_can_be_printed(given: str, shown: str) -> None:
    sender = Address(given, "Street 1", "City", "1", "PL")
    assert f"From {shown} Street 1" in text_of(printed(label_request(sender=sender)))


def test_long_texts_wrap_and_flow_over_pages() -> None:
    lines = tuple(PackingLine(f"SKU-{i}-{'X' * 60}", i, "word " * 80) for i in range(1, 40))
    endless = Address("N" * 300, "S" * 300, "C" * 300, "P" * 300, "DE")
    pdf = printed(label_request(lines=lines, recipient=endless, sender=endless, reason="r" * 3000))
    assert len(PdfReader(io.BytesIO(pdf)).pages) > 3
    assert "How to send it back" in text_of(pdf)


@pytest.mark.parametrize(
    ("recipient", "options", "width"),
    [
        (SPRINGFIELD, {}, 612),
        (COLOGNE, {}, 595),
        (COLOGNE, {"paper": "letter"}, 612),
        (SPRINGFIELD, {"paper": "A4"}, 595),
    ],
)
def test_the_paper_is_the_countrys_or_as_set(
    recipient: Address, options: dict[str, str], width: int
) -> None:
    page = PdfReader(io.BytesIO(printed(label_request(recipient=recipient), **options))).pages[0]
    assert int(page.mediabox.width) == width


def test_the_merchants_own_steps_replace_ours() -> None:
    text = text_of(printed(label_request(), instructions="Ring us.|Wait <here>."))
    assert "1. Ring us. 2. Wait <here>." in text
    assert "Pack the articles" not in text


def test_without_a_sender_there_are_lines_to_write_on() -> None:
    assert "write your name" in text_of(printed(label_request(sender=None)))


@pytest.mark.parametrize("number", ["", "RET 1", "Ä1", "R" * 60])
def test_a_number_no_barcode_can_hold_is_refused(number: str) -> None:
    with pytest.raises(LabelError, match="ASCII") as caught:
        printed(label_request(return_number=number))
    assert not caught.value.retryable
    assert not caught.value.unknown


@pytest.mark.parametrize("options", [{"paper": "A5"}, {"font": "/nowhere.ttf"}, {"font": __file__}])
def test_a_wrong_setting_is_named(options: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        registry.load("printable", options)


def test_it_expires_with_the_day_to_send_it_and_costs_nothing() -> None:
    label = PrintableLabels().buy(label_request())
    assert label.expires_at is not None
    assert label.expires_at.isoformat() == "2026-02-15T00:00:00+00:00"
    assert label.cost is None
    assert not PrintableLabels().void(label.id)
