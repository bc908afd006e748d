"""The label that needs no account: a page to print, cut and stick on the package."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Self

from pydantic import Field

from dispatch_returns.errors import InvalidArgumentError, LabelError
from dispatch_returns.plugins.options import PluginOptions
from dispatch_returns.returns.labels import pdf
from dispatch_returns.returns.labels.provider import Label, LabelRequest
from dispatch_returns.returns.labels.text import load_face

_POINTS: Mapping[str, tuple[float, float]] = {"A4": (595.276, 841.89), "Letter": (612.0, 792.0)}
_LETTER_COUNTRIES = {"CA", "CL", "CO", "MX", "PH", "US"}
_NUMBER = re.compile(r"[!-~]+")


class PrintableOptions(PluginOptions):
    """The options of `PrintableLabels`."""

    paper: str | None = Field(
        default=None, description="`A4` or `Letter`; by default that of the return address"
    )
    font: str | None = Field(
        default=None,
        description="a TrueType file for scripts other than Latin, Greek and Cyrillic",
    )
    instructions: str | None = Field(
        default=None, description="your own steps for the customer, with `|` between them"
    )


class PrintableLabels:
    """A `LabelProvider` that prints: return address, barcode, QR code and packing slip.

    ``paper`` is ``A4`` or ``Letter``, by default that of the return address's country.
    ``font`` is a TrueType file for scripts other than Latin, Greek and Cyrillic. Letters that
    the font lacks are printed in Latin letters (see `text`).
    ``instructions`` replace the built-in ones for the customer; steps are separated by ``|``.

    The label has no postage: the customer pays the carrier, or the merchant has a contract.
    Raises `MissingExtraError`, and `ConfigurationError` for a bad argument.
    """

    name = "printable"
    options_model = PrintableOptions

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
    def from_options(cls, options: PrintableOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        given = options.paper
        paper = next((known for known in _POINTS if known.lower() == (given or "").lower()), given)
        return cls(paper=paper, font=options.font, instructions=options.instructions)

    def __repr__(self) -> str:
        return f"PrintableLabels(paper={self._paper!r})"

    def buy(self, request: LabelRequest) -> Label:
        """Print the label. The same request gives the same bytes.

        It expires at the end (UTC) of the request's ``send_by``. Raises `LabelError` if the return
        number does not fit into a barcode.
        """
        letter = request.recipient.country.upper() in _LETTER_COUNTRIES
        size = _POINTS[self._paper or ("Letter" if letter else "A4")]
        longest = pdf.widest_number(size)
        if not _NUMBER.fullmatch(request.return_number) or len(request.return_number) > longest:
            raise LabelError(
                "the return number cannot be printed as a barcode: it must have 1 to"
                f" {longest} ASCII letters, digits and signs, without blanks"
            )
        expires_at = None
        if request.send_by is not None:
            expires_at = datetime.combine(request.send_by + timedelta(days=1), time(), UTC)
        return Label(
            provider=self.name,
            id=f"prt_{hashlib.sha256(request.key.encode()).hexdigest()[:24]}",
            pdf=pdf.draw(request, size, self._face, self._instructions),
            expires_at=expires_at,
        )

    def find(self, request: LabelRequest) -> Label | None:
        """Print the label again: none is kept, and none was paid for."""
        return self.buy(request)

    def void(self, label_id: str) -> bool:  # noqa: ARG002 - nothing was paid for it
        """Return False: the label cost nothing."""
        return False

    def close(self) -> None:
        """Do nothing: there is no connection."""
