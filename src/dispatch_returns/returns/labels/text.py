"""The text of a printed label: its words in each language, addresses, letters that the font has.

Roboto (SIL Open Font License) is embedded and has Latin, Greek and Cyrillic letters. A merchant
can name another TrueType font. What the font lacks is written in Latin letters, as in a passport,
and so are scripts whose letters change with their neighbours, as nothing here shapes them: with
empty boxes on its label a package would go back to its sender, with Latin letters it arrives.
"""

from __future__ import annotations

import hashlib
import importlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from dispatch_returns.errors import ConfigurationError, MissingExtraError
from dispatch_returns.returns.labels.provider import Address

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
    """Return the language for a code such as ``de-AT``: English if it is not supported."""
    language = code.replace("_", "-").partition("-")[0].lower()
    return language if language in _LANGUAGES else "en"


def words(code: str) -> Mapping[str, str]:
    """Return the words in the language of `code`."""
    return _LANGUAGES[language_of(code)]


_CODE_LAST = {"AU", "CA", "US"}
_CODE_ON_ITS_OWN_LINE = {"GB", "IE"}


def address_lines(address: Address) -> list[str]:
    """Return the lines of `address` as its country's post wants them, without the country."""
    city, code, state = address.city, address.postal_code, address.state or ""
    country = address.country.upper()
    if country in _CODE_LAST:
        place = [f"{city} {state} {code}".replace("  ", " ")]
    elif country in _CODE_ON_ITS_OWN_LINE:
        place = [city, state, code]
    else:
        place = [f"{code} {city}", state]
    lines = [address.name, address.street, address.street2, *place]
    return [line.strip() for line in lines if line and line.strip()]


_RIGHT_TO_LEFT = {"R", "AL", "AN"}
_SHAPED = range(0x0900, 0x0E00), range(0x0F00, 0x10A0), range(0x1780, 0x1800)
"""Indic and related scripts, Tibetan, Myanmar, Khmer."""


@dataclass(frozen=True, slots=True)
class Face:
    """A pair of fonts registered with reportlab by name, and the letters that both have."""

    regular: str
    bold: str
    letters: frozenset[int] = field(repr=False)

    def writable(self, text: str) -> str:
        """Return `text` in one line, with the letters that can be printed."""
        from anyascii import anyascii

        def can_print(letter: str) -> bool:
            code = ord(letter)
            return (
                code in self.letters
                and unicodedata.bidirectional(letter) not in _RIGHT_TO_LEFT
                and not any(code in script for script in _SHAPED)
            )

        joined = " ".join(unicodedata.normalize("NFC", text).split())
        return "".join(
            letter if can_print(letter) else anyascii(letter)
            for letter in joined
            if letter.isprintable()
        )


def load_face(path: str | None) -> Face:
    """Return the built-in face, or that of the TrueType file at `path`.

    Raises `MissingExtraError`, and `ConfigurationError` if the file is not a TrueType font.
    """
    try:
        for module in ("anyascii", "babel", "reportlab"):
            importlib.import_module(module)
        # Typed as Any: the package is only a folder of font files.
        roboto: Any = importlib.import_module("font_roboto")
    except ImportError:
        raise MissingExtraError("labels", "printing return labels") from None
    if path is not None:
        name, letters = _register(Path(path))
        return Face(name, name, letters)
    folder = Path(roboto.font_directory)
    regular, letters = _register(folder / "Roboto-Regular.ttf")
    bold, bold_letters = _register(folder / "Roboto-Bold.ttf")
    return Face(regular, bold, letters & bold_letters)


def _register(path: Path) -> tuple[str, frozenset[int]]:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFError, TTFont

    # Named by content: reportlab's fonts are those of the process, and two files can share a name.
    try:
        name = f"label-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        if name not in pdfmetrics.getRegisteredFontNames():
            cast("Any", pdfmetrics).registerFont(TTFont(name, str(path)))  # untyped in its stub
    except (OSError, TTFError) as error:
        raise ConfigurationError(
            f"the font {path} cannot be used ({type(error).__name__}): name a TrueType (.ttf) file"
        ) from None
    font: Any = pdfmetrics.getFont(name)  # the stub lacks the table of a TrueType font
    glyphs: Mapping[int, int] = font.face.charToGlyph
    return name, frozenset(glyphs)
