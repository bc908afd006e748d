"""Renders a notification in its language, with Jinja2 templates: built-in or the merchant's.

A language is a folder with a text template for each kind, whose first line is the subject, and
with ``words.toml``. The HTML is made from the same text by ``layout.html``, unless the language
has an ``.html`` file for the kind. A file in the merchant's folder replaces the built-in one.
"""

from __future__ import annotations

import logging
import re
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatch_returns.errors import ConfigurationError, MissingExtraError, NotificationError
from dispatch_returns.money import Money
from dispatch_returns.returns.notifications.notification import (
    FACTS,
    Notification,
    NotificationKind,
)

if TYPE_CHECKING:
    from jinja2 import Environment
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_OURS = Path(__file__).with_name("templates")
DEFAULT_LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class RenderedNotification:
    """A rendered notification. It has a customer's data, so its ``repr`` shows none of it."""

    language: str
    subject: str
    text: str
    html: str

    def __repr__(self) -> str:
        return f"RenderedNotification(language={self.language!r})"


class Templates:
    """Renders notifications, signed with ``shop``; ``folder`` has the merchant's own templates.

    Raises `MissingExtraError` without the extra, `ConfigurationError` if `folder` is missing.
    """

    def __init__(self, *, shop: str = "", folder: str | Path | None = None) -> None:
        self._shop = shop
        self._folder = None if folder is None else Path(folder)
        if self._folder is not None and not self._folder.is_dir():
            raise ConfigurationError(f"the folder of templates {folder} does not exist")
        self._ours = _environment([_OURS])
        self._merged = _environment([self._folder, _OURS]) if self._folder else self._ours

    @property
    def languages(self) -> list[str]:
        """Return the languages that have templates, sorted."""
        folders = [_OURS, *([self._folder] if self._folder else [])]
        found = {it.name for folder in folders for it in folder.iterdir() if it.is_dir()}
        return sorted(name for name in found if re.fullmatch(r"[a-z]{2,3}", name))

    def render(self, notification: Notification) -> RenderedNotification:
        """Return the rendered `notification`, with the built-in template if the merchant's fails.

        Raises `NotificationError`, not retryable, if that fails too.
        """
        if self._merged is not self._ours:
            try:
                return self.render_strictly(notification)
            except NotificationError as error:
                log.error(  # noqa: TRY400 - a traceback can have a customer's data
                    "notification %s: %s; the built-in template is used instead",
                    notification.kind,
                    error,
                    extra=ids(),
                )
        return self._render(self._ours, notification, self._language(notification, ours=True))

    def render_strictly(self, notification: Notification) -> RenderedNotification:
        """Like `render`, but raise `NotificationError` for a mistake in any template."""
        return self._render(self._merged, notification, self._language(notification))

    def _language(self, notification: Notification, *, ours: bool = False) -> str:
        wanted = notification.language.replace("_", "-").partition("-")[0].lower()
        known = [it.name for it in _OURS.iterdir()] if ours else self.languages
        return wanted if wanted in known else DEFAULT_LANGUAGE

    def _render(
        self, environment: Environment, notification: Notification, language: str
    ) -> RenderedNotification:
        try:
            return _Rendering(environment, notification, language, self._shop).message()
        except Exception as error:  # noqa: BLE001 - a template may fail in any way
            raise NotificationError(_where(error, language, notification.kind)) from None


class _Rendering:
    def __init__(
        self, environment: Environment, notification: Notification, language: str, shop: str
    ) -> None:
        self._environment = environment
        self._notification = notification
        self._language = language
        assert environment.loader is not None
        words, _, _ = environment.loader.get_source(environment, f"{language}/words.toml")
        self._values: dict[str, Any] = {
            **dict.fromkeys(FACTS),
            **notification.facts,
            "kind": str(notification.kind),
            "language": language,
            "name": notification.name,
            "shop": shop,
            "words": tomllib.loads(words),
        }

    def message(self) -> RenderedNotification:
        written = self._render(f"{self._language}/{self._notification.kind}.txt").strip()
        subject, _, text = written.partition("\n")
        subject, text = " ".join(subject.split()), re.sub(r"\n(\s*\n)+", "\n\n", text.strip())
        if not subject or not text:
            raise ValueError("the first line is the subject, and a text must follow")
        blocks: list[tuple[str, list[str]]] = []
        for block in re.split(r"\n\s*\n", text):
            lines = [line.strip() for line in block.splitlines()]
            if all(line.startswith("- ") for line in lines):
                blocks.append(("list", [line.removeprefix("- ") for line in lines]))
            else:
                blocks.append(("text", lines))
        self._values |= {"subject": subject, "blocks": blocks}
        own = f"{self._language}/{self._notification.kind}.html"
        page = own if own in self._environment.list_templates() else "layout.html"
        return RenderedNotification(self._language, subject, f"{text}\n", self._render(page))

    def _render(self, name: str) -> str:
        return self._environment.get_template(name).render(self._values)


def _environment(folders: list[Path]) -> Environment:
    try:
        import jinja2
        from babel.dates import format_date
        from babel.numbers import format_currency
    except ImportError:
        raise MissingExtraError("notifications", "writing notifications") from None

    @jinja2.pass_context
    def money(context: jinja2.runtime.Context, amount: Money) -> str:
        # With all its decimals: an amount is never shown rounded.
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
    filters: Any = environment.filters  # typed as having only Jinja's own
    filters.update(money=money, day=day)
    return environment


def _where(error: Exception, language: str, kind: NotificationKind) -> str:
    """Return which template is wrong and why, without the customer's data in it."""
    import jinja2

    place = f"the template {language}/{kind}"
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"the template {error.name}, line {error.lineno}: {error.message}"
    if isinstance(error, jinja2.UndefinedError):
        return f"{place}: {error.message}; use one of {', '.join([*FACTS, 'name', 'shop'])}"
    if isinstance(error, jinja2.TemplateNotFound):
        return f"the template {error.name} does not exist"
    if isinstance(error, tomllib.TOMLDecodeError):
        return f"{language}/words.toml: {error}"
    message = f": {error}" if type(error) is ValueError else ""
    return f"{place} failed ({type(error).__name__}{message})"
