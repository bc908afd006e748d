"""The tables of docs/settings.md, made from the settings and the plugins' options as declared.

``python -m tests.support.settings_table`` writes them; a test holds them current.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

from pydantic.fields import FieldInfo

from dispatch_returns.connector.settings import VARIABLES, Settings
from dispatch_returns.plugins.options import PluginOptions, variables
from dispatch_returns.returns.notifications.smtp import SmtpOptions

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
_DECLARED = Path(__file__).parents[2] / "pyproject.toml"
_TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
KINDS = ("refund_adapters", "order_sources", "label_providers")


def plugins(kind: str) -> Mapping[str, type[PluginOptions]]:
    """Return the options of our own plugins of one kind, by the plugin's name."""
    # What is declared, and not what is installed: an old environment would write a short table.
    declared = tomllib.loads(_DECLARED.read_text(encoding="utf-8"))["project"]["entry-points"]
    group = f"dispatch_returns.{kind}"
    return {
        name: EntryPoint(name, value, group).load().options_model
        for name, value in sorted(declared[group].items())
    }


def rows(table: str) -> Iterator[str]:
    yield "| variable | default | what it is |"
    yield "|---|---|---|"
    if table == "settings":
        yield from _rows(VARIABLES, Settings.model_fields)
    elif table == "smtp":
        yield from _rows(variables(SmtpOptions, table), SmtpOptions.model_fields)
    else:
        for name, model in plugins(table).items():
            yield from _rows(variables(model, name), model.model_fields)


def _rows(names: Mapping[str, str], fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    for name, variable in names.items():
        field = fields[name]
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
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    if isinstance(default, tuple | dict):
        default = ", ".join(cast("Iterable[str]", default))
    return "none" if default in (None, "") else f"`{default}`"


def page() -> str:
    """Return docs/settings.md with its tables as they should be."""

    def table(found: re.Match[str]) -> str:
        return found[1] + "".join(f"{row}\n" for row in rows(found[2])) + found[3]

    return _TABLE.sub(table, PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
