"""``examples copy``: the programs that the documentation shows, to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dispatch_returns.cli.common import write
from dispatch_returns.cli.output import Json, Table, show
from dispatch_returns.errors import ConfigurationError

app = typer.Typer(help="Copy the example programs.", no_args_is_help=True)

_SKIPPED = {"__pycache__", "__init__.py"}
"""In the examples' own folder, which is a package only for the type checkers."""


@app.callback()
def _group() -> None:
    """Keep this a group: a single command would take the group's place."""


@app.command()
def copy(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to. It is created if needed.")
    ] = Path(),
    *,
    json: Json = False,
) -> None:
    """Copy the examples into a folder.

    Applications for FastAPI, Flask and Django, a script, a processor of one's own, a policy with
    its cases, and make_return.py, which makes a return in the sandbox. A file that exists is kept.
    """
    source = _source()
    rows: list[tuple[str, str]] = []
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.is_dir() or "__pycache__" in name.parts or str(name) in _SKIPPED:
            continue
        target = folder / name
        known = target.exists()
        if not known:
            write(target, path.read_bytes())
        rows.append((str(target), "kept" if known else "copied"))
    document = {"files": [{"file": file, "result": result} for file, result in rows]}
    show(document, Table(("file", "result"), rows), as_json=json)


def _source() -> Path:
    """Return the folder of the examples: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "_examples", package.parents[1] / "examples"):
        if (folder / "make_return.py").is_file():
            return folder
    raise ConfigurationError("this installation has no examples: install dispatch-returns again")
