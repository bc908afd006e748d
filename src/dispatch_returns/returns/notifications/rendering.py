"""Turns a notice into words: Jinja2 templates, ours or the merchant's, in the notice's language.

A language is a folder with a text template for each kind, whose first line is the subject, and
with ``words.toml``. The HTML is made from the same text by ``layout.html``, unless the language
has an ``.html`` file for the kind. A merchant's folder is laid over ours, file by file.
"""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatch_returns.errors import ConfigurationError, MissingExtraError, NoticeError
from dispatch_returns.money import Money
from dispatch_returns.returns.notifications.notice import FACTS, Notice, NoticeKind

if TYPE_CHECKING:
    from jinja2 import Environment
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_OURS = Path(__file__).with_name("templates")
DEFAULT_LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class Message:
    """A notice in words. It holds a customer's data: its ``repr`` shows none of it."""

    language: str
    subject: str
    text: str
    html: str

    def __repr__(self) -> str:
        return f"Message(language={self.language!r})"


class Templates:
    """Renders notices. ``shop`` is the name they are signed with, ``folder`` the merchant's own.

    Raises `MissingExtraError` without the extra, `ConfigurationError` where `folder` is none.
    """

    def __init__(self, *, shop: str = "", folder: str | Path | None = None) -> None:
        self._shop = shop
        self._folder = None if folder is None else Path(folder)
        if self._folder is not None and not self._folder.is_dir():
            raise ConfigurationError(f"the folder of notice templates {folder} is not there")
        self._ours = _environment([_OURS])
        self._merged = _environment([self._folder, _OURS]) if self._folder else self._ours

    @property
    def languages(self) -> list[str]:
        """Return the languages there are templates for, sorted."""
        folders = [_OURS, *([self._folder] if self._folder else [])]
        found = {it.name for folder in folders for it in folder.iterdir() if it.is_dir()}
        return sorted(name for name in found if re.fullmatch(r"[a-z]{2,3}", name))

    def render(self, notice: Notice) -> Message:
        """Return `notice` in words. Where the merchant's template fails, ours is used.

        Raises `NoticeError`, which is not retryable, where ours fails too.
        """
        if self._merged is not self._ours:
            try:
                return self.render_strictly(notice)
            except NoticeError as error:
                log.error("notice %s: %s; ours is used instead", notice.kind, error, extra=ids())  # noqa: TRY400 - the message says it all, and a trace may hold a customer's data
        return self._render(self._ours, notice, self._language(notice, ours=True))

    def render_strictly(self, notice: Notice) -> Message:
        """Return `notice` in words. Raises `NoticeError` for a mistake in any template."""
        return self._render(self._merged, notice, self._language(notice))

    def _language(self, notice: Notice, *, ours: bool = False) -> str:
        wanted = notice.language.replace("_", "-").partition("-")[0].lower()
        known = [it.name for it in _OURS.iterdir()] if ours else self.languages
        return wanted if wanted in known else DEFAULT_LANGUAGE

    def _render(self, environment: Environment, notice: Notice, language: str) -> Message:
        try:
            return _Rendering(environment, notice, language, self._shop).message()
        except Exception as error:  # noqa: BLE001 - a template may fail in any way
            raise NoticeError(_where(error, language, notice.kind)) from None


class _Rendering:
    def __init__(self, environment: Environment, notice: Notice, language: str, shop: str) -> None:
        self._environment = environment
        self._notice = notice
        self._language = language
        self._values: dict[str, Any] = {
            **dict.fromkeys(FACTS),
            **notice.facts,
            "kind": str(notice.kind),
            "language": language,
            "name": notice.name,
            "shop": shop,
            "words": self._words(),
        }

    def message(self) -> Message:
        written = self._render(f"{self._language}/{self._notice.kind}.txt").strip()
        subject, _, text = written.partition("\n")
        subject, text = " ".join(subject.split()), re.sub(r"\n(\s*\n)+", "\n\n", text.strip())
        if not subject or not text:
            raise ValueError("the first line is the subject, and a text must follow")
        self._values |= {"subject": subject, "blocks": list(_blocks(text))}
        own = f"{self._language}/{self._notice.kind}.html"
        page = own if own in self._environment.list_templates() else "layout.html"
        return Message(self._language, subject, f"{text}\n", self._render(page))

    def _render(self, name: str) -> str:
        return self._environment.get_template(name).render(self._values)

    def _words(self) -> Mapping[str, str]:
        loader = self._environment.loader
        assert loader is not None
        source, _, _ = loader.get_source(self._environment, f"{self._language}/words.toml")
        return tomllib.loads(source)


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Split a text at its blank lines, into paragraphs and lists."""
    for part in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in part.splitlines()]
        if all(line.startswith("- ") for line in lines):
            yield "list", [line.removeprefix("- ") for line in lines]
        else:
            yield "text", lines


def _environment(folders: list[Path]) -> Environment:
    try:
        import jinja2
        from babel.dates import format_date
        from babel.numbers import format_currency
    except ImportError:
        raise MissingExtraError("notices", "writing notices") from None

    @jinja2.pass_context
    def money(context: jinja2.runtime.Context, amount: Money) -> str:
        # With all its decimals: an amount is shown as it is, or not at all.
        return str(
            format_currency(
                amount.major,
                amount.currency,
                locale=context["language"],
                decimal_quantization=False,
            )
        )

    @jinja2.pass_context
    def day(context: jinja2.runtime.Context, value: date) -> str:
        return str(format_date(value, "long", locale=context["language"]))

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: Any = environment.filters  # typed as holding Jinja's own alone
    filters.update(money=money, day=day)
    return environment


def _where(error: Exception, language: str, kind: NoticeKind) -> str:
    """Say which template is wrong and why, without what a customer's data brought into it."""
    import jinja2

    place = f"the template {language}/{kind}"
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"the template {error.name}, line {error.lineno}: {error.message}"
    if isinstance(error, jinja2.UndefinedError):
        return f"{place}: {error.message}; known are {', '.join([*FACTS, 'name', 'shop'])}"
    if isinstance(error, jinja2.TemplateNotFound):
        return f"the template {error.name} is not there"
    if isinstance(error, tomllib.TOMLDecodeError):
        return f"{language}/words.toml: {error}"
    said = f": {error}" if type(error) is ValueError else ""
    return f"{place} failed ({type(error).__name__}{said})"
