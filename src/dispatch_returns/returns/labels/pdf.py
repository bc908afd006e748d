"""Draws the pages of one return: the label for the package, a line to cut, the packing slip."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from dispatch_returns.returns.labels.provider import LabelRequest
from dispatch_returns.returns.labels.text import Face, address_lines, language_of, words

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import Flowable

_MM = 72 / 25.4
_MARGIN = 15 * _MM
_LABEL_HEIGHT = 132 * _MM
_QR_SIZE = 34 * _MM
_WIDEST_BAR = 0.5 * _MM
_NARROWEST_BAR = 0.25 * _MM
"""Narrow bars must be printable by an ordinary printer and readable by an ordinary scanner."""


def draw(request: LabelRequest, size: tuple[float, float], face: Face, steps: str | None) -> bytes:
    """Return the PDF of `request`. The same request gives the same bytes.

    `size` is that of the paper, in points. `steps` are the instructions, separated by ``|``; None
    for the built-in ones.
    """
    from reportlab.pdfgen.canvas import Canvas

    file = io.BytesIO()
    canvas = Canvas(file, pagesize=size, invariant=1, pageCompression=1)
    canvas.setTitle(f"{words(request.language)['return_number']} {request.return_number}")
    canvas.setCreator("dispatch-returns")
    _Page(canvas, request, size, face, steps).draw()
    canvas.save()
    return file.getvalue()


def widest_number(size: tuple[float, float]) -> int:
    """Return the most characters of a return number that fit as a readable barcode."""
    room = size[0] - 2 * _MARGIN - _QR_SIZE - 10 * _MM
    return int((room / _NARROWEST_BAR - _BARS_AROUND) // _BARS_EACH)


_BARS_EACH = 11
_BARS_AROUND = 35 + 20
"""Start, checksum, stop, and the white space on both sides, in bars."""


class _Page:
    def __init__(
        self,
        canvas: Canvas,
        request: LabelRequest,
        size: tuple[float, float],
        face: Face,
        steps: str | None,
    ) -> None:
        self._canvas = canvas
        self._request = request
        self._width, self._height = size
        self._inner = self._width - 2 * _MARGIN
        self._face = face
        self._words = words(request.language)
        self._steps = steps or self._words["instructions"]

    def draw(self) -> None:
        self._draw_label()
        y = self._height - _LABEL_HEIGHT - 7 * _MM
        self._canvas.setLineWidth(0.6)
        self._canvas.setDash(4, 3)
        self._canvas.line(0, y, self._width, y)
        self._canvas.setDash()
        self._canvas.setFont(self._face.regular, 7)
        self._canvas.drawCentredString(self._width / 2, y + 1.5 * _MM, self._words["cut"])
        self._draw_slip()

    # The label.

    def _draw_label(self) -> None:
        top = self._height - _MARGIN
        bottom = self._height - _LABEL_HEIGHT
        half = self._inner * 0.42
        self._canvas.setLineWidth(1.2)
        self._canvas.rect(_MARGIN, bottom, self._inner, top - bottom)
        inset = 5 * _MM
        self._box(
            self._sender(),
            _MARGIN + inset,
            top - inset - 36 * _MM,
            half - 2 * inset,
            36 * _MM,
        )
        self._box(
            self._recipient(),
            _MARGIN + half,
            top - inset - 60 * _MM,
            self._inner - half - inset,
            60 * _MM,
        )
        self._canvas.setLineWidth(0.6)
        rule = bottom + _QR_SIZE + 14 * _MM
        self._canvas.line(_MARGIN, rule, _MARGIN + self._inner, rule)
        self._draw_codes(bottom + 6 * _MM)

    def _sender(self) -> list[Flowable]:
        from reportlab.platypus import HRFlowable

        sender = self._request.sender
        title = self._text(self._words["sender"], 8, bold=True)
        if sender is not None:
            return [title, *(self._text(line, 10) for line in address_lines(sender))]
        rules = [
            HRFlowable(width="100%", thickness=0.5, spaceBefore=6 * _MM, spaceAfter=0)
            for _ in range(4)
        ]
        return [title, self._text(self._words["write_sender"], 8), *rules]

    def _recipient(self) -> list[Flowable]:
        from babel import Locale

        recipient = self._request.recipient
        locale: Any = Locale(language_of(self._request.language))
        countries: Mapping[str, str] = locale.territories
        country = countries.get(recipient.country.upper(), recipient.country).upper()
        name, *rest = address_lines(recipient)
        return [
            self._text(self._words["recipient"], 9, bold=True),
            self._text(name, 16, bold=True),
            *(self._text(line, 16) for line in rest),
            self._text(country, 16, bold=True),
        ]

    def _draw_codes(self, bottom: float) -> None:
        from reportlab.graphics import renderPDF
        from reportlab.graphics.barcode import code128, qr
        from reportlab.graphics.shapes import Drawing

        number = self._request.return_number
        square: Any = qr.QrCodeWidget(number, barLevel="M")
        left, low, right, high = square.getBounds()
        drawing = Drawing(
            _QR_SIZE,
            _QR_SIZE,
            transform=[_QR_SIZE / (right - left), 0, 0, _QR_SIZE / (high - low), 0, 0],
        )
        drawing.add(square)
        x = _MARGIN + self._inner - _QR_SIZE - 4 * _MM
        renderPDF.draw(drawing, self._canvas, x, bottom)

        room = self._inner - _QR_SIZE - 10 * _MM
        bars: Any = code128.Code128(number, barHeight=22 * _MM, barWidth=1, quiet=True)
        wide = min(_WIDEST_BAR, room / bars.width)
        bars = code128.Code128(number, barHeight=22 * _MM, barWidth=wide, quiet=True)
        bars.drawOn(self._canvas, _MARGIN + 2 * _MM, bottom + 9 * _MM)
        self._box(
            [self._text(f"{self._words['return_number']}: <b>{escape(number)}</b>", 11, raw=True)],
            _MARGIN + 5 * _MM,
            bottom - 1 * _MM,
            room - 6 * _MM,
            9 * _MM,
        )

    # The packing slip.

    def _draw_slip(self) -> None:
        from reportlab.platypus import Frame

        rest = self._slip()
        height = self._height - _LABEL_HEIGHT - 9 * _MM - _MARGIN
        page = 1
        while rest:
            frame = Frame(
                _MARGIN,
                _MARGIN,
                self._inner,
                height,
                leftPadding=0,
                rightPadding=0,
                topPadding=0,
                bottomPadding=0,
            )
            first = rest[0]
            # Move what fits into the frame, and split the first that does not.
            while rest and frame.add(rest[0], self._canvas):
                del rest[0]
            pieces = frame.split(rest[0], self._canvas) if rest else []
            if len(pieces) > 1 and frame.add(pieces[0], self._canvas):
                rest[:1] = pieces[1:]
            stuck = bool(rest) and rest[0] is first and page > 1
            assert not stuck, "each paragraph fits on a page, or can be split"
            self._canvas.setFont(self._face.regular, 7)
            foot = f"{self._request.return_number} · {self._words['page']} {page}"
            self._canvas.drawRightString(self._width - _MARGIN, 8 * _MM, foot)
            self._canvas.showPage()
            height, page = self._height - 2 * _MARGIN, page + 1

    def _slip(self) -> list[Flowable]:
        from babel.dates import format_date
        from reportlab.platypus import Spacer

        def day(value: date) -> str:
            return str(format_date(value, "long", locale=language_of(request.language)))

        request = self._request
        title = self._text(f"{self._words['slip']} {request.return_number}", 15, bold=True)
        details = {
            "order": request.order_id,
            "date": day(request.created_at.date()),
            "send_by": day(request.send_by) if request.send_by else None,
        }
        head = " &nbsp;&nbsp; ".join(
            f"<b>{self._words[name]}:</b> {self._plain(value)}"
            for name, value in details.items()
            if value
        )
        slip: list[Flowable] = [title, self._text(head, 9, raw=True)]
        slip += [Spacer(1, 3 * _MM), self._table()]
        if request.reason:
            reason = f"<b>{self._words['reason']}:</b> {self._plain(request.reason)}"
            slip += [Spacer(1, 3 * _MM), self._text(reason, 9, raw=True)]
        slip += [Spacer(1, 3 * _MM), self._text(self._words["steps"], 10, bold=True)]
        steps = [step.strip() for step in self._steps.split("|") if step.strip()]
        slip += [self._text(f"{i}. {step}", 9) for i, step in enumerate(steps, start=1)]
        return slip

    def _table(self) -> Flowable:
        from reportlab.platypus import Table, TableStyle

        heads = [self._words[name] for name in ("quantity", "sku", "article")]
        rows: list[list[Any]] = [[self._text(head, 9, bold=True) for head in heads]]
        for line in self._request.lines:
            cells = (str(line.quantity), line.sku, line.title or "")
            rows.append([self._text(cell, 9) for cell in cells])
        table = Table(rows, colWidths=[14 * _MM, 42 * _MM, self._inner - 56 * _MM], repeatRows=1)
        table.setStyle(
            TableStyle(
                [
                    ("VALIGN", (0, 0), (-1, -1), "TOP"),
                    ("LINEBELOW", (0, 0), (-1, 0), 0.8, "black"),
                    ("LINEBELOW", (0, 1), (-1, -1), 0.25, "#999999"),
                    ("LEFTPADDING", (0, 0), (-1, -1), 0),
                    ("TOPPADDING", (0, 0), (-1, -1), 2),
                    ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
                ]
            )
        )
        return table

    # For both.

    def _plain(self, text: str) -> str:
        return escape(self._face.writable(text))

    def _text(self, text: str, size: float, *, bold: bool = False, raw: bool = False) -> Flowable:
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.platypus import Paragraph

        style = ParagraphStyle(
            "label",
            fontName=self._face.bold if bold else self._face.regular,
            fontSize=size,
            leading=size * 1.25,
            spaceAfter=1.5,
        )
        body = text if raw else self._plain(text)
        body = body.replace("<b>", f'<font name="{self._face.bold}">').replace("</b>", "</font>")
        return Paragraph(body, style)

    def _box(
        self, content: Sequence[Flowable], x: float, y: float, width: float, height: float
    ) -> None:
        """Draw `content` from the top of a box, made smaller if it is too long for the box."""
        from reportlab.platypus import KeepInFrame

        fitted = KeepInFrame(width, height, list(content), mode="shrink", vAlign="TOP")
        _, used = fitted.wrapOn(self._canvas, width, height)
        fitted.drawOn(self._canvas, x, y + height - used)
