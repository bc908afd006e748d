"""What a command prints: one JSON document for programs, or lines and tables for people.

Results go to stdout; progress goes to stderr, and only to a terminal.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from dispatch_returns.environment import variable
from dispatch_returns.money import Money

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")]
"""An option of every command."""

_STYLES = {
    "ok": "green",
    "exists": "green",
    "created": "green",
    "done": "green",
    "succeeded": "green",
    "warning": "yellow",
    "differs": "yellow",
    "unreadable": "yellow",
    "held": "yellow",
    "unknown": "yellow",
    "failed": "red",
    "refused": "red",
}


_READABLE = 10
"""Letters on a line of a wrapped column; fewer can't be read."""
_GAP = 2
_PIPE = 10_000


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; `empty` is printed if there are none.

    A column without a value in any row is left out. The columns in `whole` are not wrapped,
    because people copy their values. Where the terminal is too narrow for that, each row is a
    paragraph of its own.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    empty: str = ""
    whole: Collection[str] = ()

    def rendered(self, width: int) -> RenderableType:
        """Return it for rich, for a terminal of `width` columns."""
        from rich import box
        from rich.table import Table as RichTable

        if not self.rows:
            return _cell(self.empty)
        used = [i for i in range(len(self.columns)) if any(row[i] is not None for row in self.rows)]
        if sum(self._least(i) + _GAP for i in used) - _GAP > width:
            return self._paragraphs(used)
        table = RichTable(
            title=self.title or None,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
            show_edge=False,
        )
        for i in used:
            name = self.columns[i]
            table.add_column(name, overflow="fold", no_wrap=name in self.whole)
        for row in self.rows:
            table.add_row(*(_cell(row[i]) for i in used))
        return table

    def _least(self, column: int) -> int:
        """Return the width below which a column can't be read, or not be copied."""
        heading = self.columns[column]
        longest = max(len(_cell(row[column])) for row in self.rows)
        longest = longest if heading in self.whole else min(longest, _READABLE)
        return max(longest, len(heading))

    def _paragraphs(self, used: Sequence[int]) -> RenderableType:
        from rich.console import Group

        paragraphs: list[RenderableType] = []
        for row in self.rows:
            values = {self.columns[i] or "result": row[i] for i in used}
            paragraphs += ["", Listing(values).rendered()]
        return Group(*([self.title] if self.title else []), *paragraphs[0 if self.title else 1 :])


@dataclass(frozen=True, slots=True)
class Listing:
    """Names and values, one on each line. A value of None is left out."""

    values: Mapping[str, object]

    def rendered(self) -> RenderableType:
        """Return it for rich."""
        from rich.table import Table as RichTable

        grid = RichTable.grid(padding=(0, 2))
        grid.add_column(style="bold")
        grid.add_column(overflow="fold")
        for name, value in self.values.items():
            if value is not None:
                grid.add_row(_cell(name.replace("_", " ")), _cell(value))
        return grid


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Lines to copy: they are neither wrapped nor coloured."""

    lines: Sequence[str]

    def rendered(self) -> RenderableType:
        """Return it for rich."""
        return _cell("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class Toned:
    """A line in one of rich's styles, such as ``bold green``."""

    text: str
    style: str

    def rendered(self) -> RenderableType:
        """Return it for rich."""
        from rich.padding import Padding
        from rich.text import Text

        text = printable(self.text)
        stripped = text.lstrip(" ")
        # Wrapped lines keep the indentation of the first.
        indent = len(text) - len(stripped)
        return Padding(Text(stripped, style=self.style), (0, 0, 0, indent), expand=False)


Part: TypeAlias = Table | Listing | Verbatim | Toned | str


def show(document: Mapping[str, object], *parts: Part, as_json: bool) -> None:
    """Print `document` as JSON, or `parts` for a person."""
    if as_json:
        sys.stdout.write(json.dumps(document, default=_for_json, indent=2) + "\n")
    else:
        console = _console()
        for part in parts:
            if isinstance(part, Table):
                rendered = part.rendered(console.width)
            else:
                rendered = _cell(part) if isinstance(part, str) else part.rendered()
            console.print(rendered, soft_wrap=isinstance(part, Verbatim))
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print a warning to stderr; the command continues."""
    _console(stderr=True).print(_cell(f"warning: {text}"), style="yellow")


@contextlib.contextmanager
def working(what: str) -> Generator[None]:
    """Show on a terminal what the command is doing."""
    if not sys.stderr.isatty():
        yield
        return
    with _console(stderr=True).status(printable(what)):
        yield


def plain(record: object, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the fields of a dataclass, for a document."""
    names = (field.name for field in fields(record))  # type: ignore[arg-type]
    return {name: getattr(record, name) for name in names if name not in without}


def moment(value: datetime | None) -> str | None:
    """Return a time for people: in UTC, without fractions of a second."""
    return None if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(value: timedelta) -> str:
    """Return a length of time for people, in its largest unit only."""
    seconds = max(0, int(value.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def printable(text: str) -> str:
    """Return `text` with control characters escaped: it may come from outside."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else f"\\x{ord(letter):02x}"
        for letter in text
    )


def spreadsheet_cell(value: object) -> str:
    """Return the text of a CSV cell, which no spreadsheet takes for a formula.

    A customer may have written it: https://owasp.org/www-community/attacks/CSV_Injection
    """
    text = "" if value is None else printable(str(value))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _cell(value: object) -> Text:
    from rich.text import Text

    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, datetime):
        value = moment(value)
    text = printable(str(value))
    return Text(text, style=_STYLES.get(text.partition(":")[0], ""))


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # Nothing is wrapped in a pipe or a file, unless COLUMNS says how wide it is.
    piped = not stream.isatty() and not variable("COLUMNS")
    return Console(stderr=stderr, highlight=False, width=_PIPE if piped else None)


def _for_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Money):
        return {"amount": str(value.major), "currency": value.currency}
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")
