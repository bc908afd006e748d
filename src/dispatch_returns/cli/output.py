"""What a command says: one JSON document for machines, or lines and tables for people.

Results go to stdout; what is under way goes to stderr, and only to a terminal.
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

from dispatch_returns.money import Money

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]
"""The option that every command has."""

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


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; `empty` is said where there are none.

    A column without a value in any row is left out. `whole` are those that are folded last:
    what is in them will be copied.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    empty: str = ""
    whole: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """Names and values, one to a line. A value of None is left out."""

    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Lines to copy: they are neither folded nor coloured."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Toned:
    """A line in a style of rich's, such as ``bold green``."""

    text: str
    style: str


Part: TypeAlias = Table | Listing | Verbatim | Toned | str


def show(document: Mapping[str, object], *parts: Part, as_json: bool) -> None:
    """Print `document` as JSON, or `parts` for a person."""
    if as_json:
        _write(json.dumps(document, default=_for_json, indent=2) + "\n")
        return
    console = _console()
    for part in parts:
        console.print(_rendered(part), soft_wrap=isinstance(part, Verbatim))
    sys.stdout.flush()


def warn(text: str) -> None:
    """Say something on stderr that must not be overlooked and ends nothing."""
    _console(stderr=True).print(_cell(f"warning: {text}"), style="yellow")


@contextlib.contextmanager
def working(what: str) -> Generator[None]:
    """Show on a terminal that something is under way."""
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
    """Return a time for people: to the second, in UTC."""
    return None if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(value: timedelta) -> str:
    """Return a length of time for people: its largest unit, and no more."""
    seconds = max(0, int(value.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def printable(text: str) -> str:
    """Return `text` without what would command the terminal: some of it comes from outside."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else f"\\x{ord(letter):02x}"
        for letter in text
    )


def _rendered(part: Part) -> RenderableType:
    if isinstance(part, Table):
        return _table(part) if part.rows else _cell(part.empty)
    if isinstance(part, Listing):
        return _listing(part)
    if isinstance(part, Toned):
        return _toned(part)
    if isinstance(part, Verbatim):
        return _cell("\n".join(part.lines))
    return _cell(part)


def _toned(part: Toned) -> RenderableType:
    from rich.padding import Padding
    from rich.text import Text

    text = printable(part.text)
    words = text.lstrip(" ")
    # What is folded stays as far in as the line began.
    indent = len(text) - len(words)
    return Padding(Text(words, style=part.style), (0, 0, 0, indent), expand=False)


def _table(part: Table) -> RenderableType:
    from rich import box
    from rich.table import Table as RichTable

    table = RichTable(
        title=part.title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    used = [i for i in range(len(part.columns)) if any(row[i] is not None for row in part.rows)]
    for i in used:
        name = part.columns[i]
        table.add_column(name, overflow="fold", no_wrap=name in part.whole)
    for row in part.rows:
        table.add_row(*(_cell(row[i]) for i in used))
    return table


def _listing(part: Listing) -> RenderableType:
    from rich.table import Table as RichTable

    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in part.values.items():
        if value is not None:
            grid.add_row(_cell(name.replace("_", " ")), _cell(value))
    return grid


def _cell(value: object) -> Text:
    from rich.text import Text

    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, datetime):
        value = moment(value)
    text = printable(str(value))
    return Text(text, style=_STYLES.get(text, ""))


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _for_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Money):
        return {"amount": str(value.major), "currency": value.currency}
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
