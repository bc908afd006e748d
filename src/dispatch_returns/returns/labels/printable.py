"""The label that needs no account: a page to print, cut and stick on the parcel."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Self

from dispatch_returns.errors import InvalidArgumentError, LabelError
from dispatch_returns.returns.labels import pdf
from dispatch_returns.returns.labels.fonts import load_face
from dispatch_returns.returns.labels.provider import Label, LabelRequest

_POINTS: Mapping[str, tuple[float, float]] = {"A4": (595.276, 841.89), "Letter": (612.0, 792.0)}
_LETTER_COUNTRIES = {"CA", "CL", "CO", "MX", "PH", "US"}
_NUMBER = re.compile(r"[!-~]+")


class PrintableLabels:
    """A `LabelProvider` that prints: return address, barcode, QR code and packing slip.

    ``paper``: ``A4`` or ``Letter``; the default is what the return address's country uses.
    ``font``: a TrueType file for scripts other than Latin, Greek and Cyrillic. Letters that
    the font lacks are printed in Latin letters (see `fonts`).
    ``instructions``: for the customer instead of ours, steps separated by ``|``.

    It carries no postage: the customer pays the carrier, or the merchant has an agreement.
    Raises `MissingExtraError`, and `ConfigurationError` for a bad argument.
    """

    name = "printable"

    def __init__(
        self,
        *,
        paper: str | None = None,
        font: str | None = None,
        instructions: str | None = None,
    ) -> None:
        if paper is not None and paper not in _POINTS:
            raise InvalidArgumentError("paper", "must be A4 or Letter")
        self._paper = paper
        self._face = load_face(font)
        self._instructions = instructions

    @classmethod
    def from_settings(cls, options: Mapping[str, str]) -> Self:
        """Build it from ``paper``, ``font`` and ``instructions``, all optional."""
        given = options.get("paper")
        paper = next((known for known in _POINTS if known.lower() == (given or "").lower()), given)
        return cls(
            paper=paper or None,
            font=options.get("font") or None,
            instructions=options.get("instructions") or None,
        )

    def __repr__(self) -> str:
        return f"PrintableLabels(paper={self._paper!r})"

    def buy(self, request: LabelRequest) -> Label:
        """Print the label. The same request gives the same bytes.

        Raises `LabelError` for a return number that no barcode can hold.
        """
        size = self._size(request)
        longest = pdf.widest_number(size)
        if not _NUMBER.fullmatch(request.return_number) or len(request.return_number) > longest:
            raise LabelError(
                "the return number cannot be printed as a barcode: it must have 1 to"
                f" {longest} letters, digits and signs of ASCII, without blanks"
            )
        return Label(
            provider=self.name,
            id=f"prt_{hashlib.sha256(request.key.encode()).hexdigest()[:24]}",
            pdf=pdf.draw(request, size, self._face, self._instructions),
            expires_at=_end_of(request),
        )

    def find(self, request: LabelRequest) -> Label | None:
        """Print it again: nothing is kept, and nothing was paid."""
        return self.buy(request)

    def void(self, label_id: str) -> bool:  # noqa: ARG002 - there is nothing to give back
        """Return False: it cost nothing."""
        return False

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _size(self, request: LabelRequest) -> tuple[float, float]:
        letter = request.recipient.country.upper() in _LETTER_COUNTRIES
        return _POINTS[self._paper or ("Letter" if letter else "A4")]


def _end_of(request: LabelRequest) -> datetime | None:
    """Return the end (UTC) of the last day on which the parcel may be sent."""
    if request.send_by is None:
        return None
    return datetime.combine(request.send_by + timedelta(days=1), time(), UTC)
