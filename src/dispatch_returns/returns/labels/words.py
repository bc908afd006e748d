"""What stands on a printed label, in each language."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_ENGLISH = {
    "sender": "From",
    "write_sender": "Please write your name and address here:",
    "recipient": "Return to",
    "return_number": "Return number",
    "cut": "Cut here: the upper part goes on the parcel, the lower part into it",
    "slip": "Packing slip",
    "order": "Order",
    "date": "Requested on",
    "send_by": "Send by",
    "quantity": "Qty",
    "article": "Article",
    "sku": "Item no.",
    "reason": "Reason",
    "steps": "How to send it back",
    "instructions": "Pack the articles so that they are protected, in their original packaging"
    " if you still have it.|Cut this page along the dashed line and put the packing slip into"
    " the parcel.|Stick the upper part on the parcel, flat and where it can be seen. Cover or"
    " remove older labels.|Take the parcel to your post office or carrier, pay the postage if it"
    " is not prepaid, and keep the receipt until you have your refund.",
    "page": "Page",
}
_GERMAN = {
    "sender": "Absender",
    "write_sender": "Bitte hier Namen und Adresse eintragen:",
    "recipient": "Rücksendung an",
    "return_number": "Retourennummer",
    "cut": "Hier abschneiden: der obere Teil gehört auf das Paket, der untere hinein",
    "slip": "Rücksendeschein",
    "order": "Bestellung",
    "date": "Angefragt am",
    "send_by": "Absenden bis",
    "quantity": "Menge",
    "article": "Artikel",
    "sku": "Artikelnr.",
    "reason": "Grund",
    "steps": "So senden Sie zurück",
    "instructions": "Verpacken Sie die Artikel geschützt, wenn möglich in der"
    " Originalverpackung.|Schneiden Sie die Seite an der gestrichelten Linie durch und legen Sie"
    " den Rücksendeschein in das Paket.|Kleben Sie den oberen Teil glatt und gut sichtbar auf das"
    " Paket. Überkleben oder entfernen Sie ältere Etiketten.|Geben Sie das Paket bei Ihrer Post"
    " oder Ihrem Paketdienst ab, bezahlen Sie das Porto, falls es nicht vorbezahlt ist, und heben"
    " Sie den Beleg auf, bis Sie Ihr Geld zurückhaben.",
    "page": "Seite",
}
_LANGUAGES: Mapping[str, Mapping[str, str]] = MappingProxyType({"en": _ENGLISH, "de": _GERMAN})


def language_of(code: str) -> str:
    """Return the language that is used for a code such as ``de-AT``: English where it is none."""
    language = code.replace("_", "-").partition("-")[0].lower()
    return language if language in _LANGUAGES else "en"


def words(code: str) -> Mapping[str, str]:
    """Return the words of the language of `code`."""
    return _LANGUAGES[language_of(code)]
