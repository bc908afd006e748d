"""Settings from a file: a ``.env`` file, or a TOML file, read as the variables they stand for.

So a value means the same wherever it comes from, and one check names what is wrong with it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from dispatch_returns.errors import ConfigurationError


def read(path: str | Path, known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a file sets; `known` maps each setting to its variable.

    A file whose name ends in ``.toml`` is TOML: a key is a setting, and a table holds the options
    of the plugin that it is named after. Any other file is a ``.env`` file, in which ``${X}`` is
    text like any other, because a password may contain it.

    Raises `ConfigurationError`, which never shows a value.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"the settings file {path} cannot be read: {why}") from None
    if path.suffix.lower() != ".toml":
        return dict(_env(path, text))
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        # Its text may quote the line, and with it a secret; where it is, is in brackets.
        place = re.search(r"\(at [^)]*\)\Z", str(error))
        raise ConfigurationError(
            f"{path} is not TOML{f' {place[0]}' if place else ''}: write settings as key = value"
        ) from None
    return dict(_toml(path, content, known))


def _env(path: Path, text: str) -> Iterator[tuple[str, str]]:
    from io import StringIO

    from dotenv.parser import parse_stream  # here: most processes read no file

    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise ConfigurationError(
                f"{path}, line {binding.original.line}: not a setting; write NAME=value"
            )
        if binding.key is not None and binding.value:
            yield binding.key, binding.value


def _toml(path: Path, content: dict[str, Any], known: Mapping[str, str]) -> Iterator[Any]:
    for key, value in content.items():
        if key in known:
            yield known[key], _text(path, key, value)
        elif isinstance(value, dict):
            for option, setting in cast("dict[str, Any]", value).items():
                name = re.sub(r"[^A-Za-z0-9]", "_", f"{key}_{option}").upper()
                yield name, _text(path, f"{key}.{option}", setting)
        else:
            import difflib  # here: only a misspelt name needs it

            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigurationError(
                f"{path}: {key}: there is no such setting; did you mean {near}?"
            )


def _text(path: Path, key: str, value: Any) -> str:
    """Return a value as it would be written in a variable."""
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | Decimal():
            return str(value)
        case list():
            items = cast("list[object]", value)
            texts = [item for item in items if isinstance(item, str) and "," not in item]
            if texts == items:
                return ",".join(texts)
        case dict():
            table = cast("dict[str, Any]", value)
            return ", ".join(_entry(path, f"{key}.{name}", name, it) for name, it in table.items())
        case _:
            pass
    raise ConfigurationError(
        f"{path}: {key}: write a text, a number, true or false, or a list of texts"
    )


def _entry(path: Path, key: str, name: str, value: Any) -> str:
    """Return an entry of a table: an amount by its currency, or a field with its values."""
    if isinstance(value, list):
        values = _text(path, key, value).replace(",", "|")
        return f"{name}={values}" if values else name
    return f"{_text(path, key, value)} {name}"
