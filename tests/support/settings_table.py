"""The table of docs/settings.md, made from the settings as they are declared.

``python -m tests.support.settings_table`` writes it; a test holds it current.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from dispatch_returns.connector.settings import VARIABLES, Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
_TABLE = re.compile(r"^\| variable \|.*?(?=^$)", re.MULTILINE | re.DOTALL)


def rows() -> Iterator[str]:
    yield "| variable | default | what it is |"
    yield "|---|---|---|"
    for name, variable in VARIABLES.items():
        field = Settings.model_fields[name]
        default = (
            "required"
            if field.is_required()
            else _shown(field.get_default(call_default_factory=True))
        )
        description = (field.description or "").replace("|", r"\|")
        yield f"| `{variable}` | {default} | {description} |"


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple | dict):
        default = ", ".join(cast("Iterable[str]", default))
    return "none" if default in (None, "") else f"`{default}`"


def page() -> str:
    """Return docs/settings.md with the table as it should be."""
    table = "".join(f"{row}\n" for row in rows())
    return _TABLE.sub(lambda _: table, PAGE.read_text(encoding="utf-8"), count=1)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
