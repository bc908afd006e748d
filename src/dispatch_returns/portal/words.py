"""The portal's words in each language: ours, and a merchant's own in their place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from dispatch_returns.errors import ConfigurationError, MissingExtraError
from dispatch_returns.money import Money

DEFAULT_LANGUAGE = "en"
_OURS = Path(__file__).with_name("words")
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})


class Words:
    """The texts of one language. A text that it lacks is English."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self.direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """Return the text called `key`, with the values put in."""
        return self._texts[key].format(**values) if values else self._texts[key]

    def maybe(self, key: str) -> str | None:
        """Return the text called `key`, None if there is none."""
        return self._texts.get(key)

    def money(self, amount: Money) -> str:
        """Return an amount with its currency and all its decimals: nothing is rounded."""
        from babel.numbers import format_currency

        return str(
            format_currency(
                amount.major,
                amount.currency,
                locale=self.language,
                decimal_quantization=False,
            )
        )

    def day(self, day: date) -> str:
        """Return a day as people write it."""
        from babel.dates import format_date

        return str(format_date(day, "long", locale=self.language))


class Catalogue:
    """All languages. `folder` holds files such as ``de.toml``, whose texts replace ours.

    Raises `MissingExtraError` without the extra, `ConfigurationError` for a file that can't be
    read.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if find_spec("babel") is None:
            raise MissingExtraError("portal", "the portal")
        texts = _ours()
        for path in [] if folder is None else sorted(folder.glob("*.toml")):
            texts = {**texts, path.stem: {**texts.get(path.stem, {}), **_read(path)}}
        self._words = {
            name: Words(name, {**texts[DEFAULT_LANGUAGE], **own}) for name, own in texts.items()
        }

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages, sorted."""
        return tuple(sorted(self._words))

    def of(self, *wanted: str | None) -> Words:
        """Return the words of the first language that there is, else English.

        Each may be a code such as ``de-AT``, or an ``Accept-Language`` header.
        """
        for text in wanted:
            for code in _codes(text or ""):
                if code in self._words:
                    return self._words[code]
        return self._words[DEFAULT_LANGUAGE]


def _codes(text: str) -> list[str]:
    """Return the languages of an ``Accept-Language`` header, the most wanted first."""
    found: list[tuple[float, str]] = []
    for part in text[:200].split(","):
        name, _, weight = part.partition(";")
        code = re.match(r"[A-Za-z]{2,3}", name.strip())
        number = re.fullmatch(r"q=([01](?:\.\d{1,3})?)", weight.strip())
        if code:
            found.append((-float(number[1]) if number else -1.0, code[0].lower()))
    return [code for _, code in sorted(found, key=lambda it: it[0])]


@cache
def _ours() -> Mapping[str, Mapping[str, str]]:
    return {path.stem: _read(path) for path in sorted(_OURS.glob("*.toml"))}


def _read(path: Path) -> dict[str, str]:
    """Return the texts of a file: ``[start] title = "..."`` is called ``start.title``."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: these words can't be read: {error}") from None
    return dict(_flat(content))


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += _flat(cast("dict[str, Any]", value), f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", str(value)))
    return found
