"""The font that is embedded, and what becomes of letters that it does not have.

Roboto (SIL Open Font License) has Latin, Greek and Cyrillic. A merchant may name another
TrueType font. What the font lacks is written in Latin letters, as a passport does it, and so
are scripts whose letters change with their neighbours, because nothing here shapes them: a
label with empty boxes would come back, one in Latin letters arrives.
"""

from __future__ import annotations

import hashlib
import importlib
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dispatch_returns.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping

_RIGHT_TO_LEFT = {"R", "AL", "AN"}
_SHAPED = range(0x0900, 0x0E00), range(0x0F00, 0x10A0), range(0x1780, 0x1800)
"""Indic scripts and their kin, Tibetan, Myanmar, Khmer."""


@dataclass(frozen=True, slots=True)
class Face:
    """A pair of fonts that reportlab knows by name, and the letters that both have."""

    regular: str
    bold: str
    letters: frozenset[int] = field(repr=False)

    def writable(self, text: str) -> str:
        """Return `text` as it can be printed, in one line."""
        from anyascii import anyascii

        joined = " ".join(unicodedata.normalize("NFC", text).split())
        return "".join(
            letter if self._has(letter) else anyascii(letter)
            for letter in joined
            if letter.isprintable()
        )

    def _has(self, letter: str) -> bool:
        code = ord(letter)
        return (
            code in self.letters
            and unicodedata.bidirectional(letter) not in _RIGHT_TO_LEFT
            and not any(code in script for script in _SHAPED)
        )


def load_face(path: str | None) -> Face:
    """Return the built-in face, or the one of the TrueType file at `path`.

    Raises `MissingExtraError`, and `ConfigurationError` for a file that is no such font.
    """
    try:
        for module in ("anyascii", "babel", "reportlab"):
            importlib.import_module(module)
        # It has no types: a folder of font files is all that it is.
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

    # By content: reportlab keeps fonts for the whole process, and two files may share a name.
    try:
        name = f"label-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        if name not in pdfmetrics.getRegisteredFontNames():
            # Its stub has no types.
            cast("Any", pdfmetrics).registerFont(TTFont(name, str(path)))
    except (OSError, TTFError) as error:
        raise ConfigurationError(
            f"the font {path} cannot be used ({type(error).__name__}): name a TrueType (.ttf) file"
        ) from None
    font: Any = pdfmetrics.getFont(name)  # the stubs do not know a TrueType font's table
    glyphs: Mapping[int, int] = font.face.charToGlyph
    return name, frozenset(glyphs)
