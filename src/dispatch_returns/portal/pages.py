"""Renders the pages: the merchant's templates before ours, one stylesheet with their accent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dispatch_returns.errors import MissingExtraError
from dispatch_returns.portal import theme
from dispatch_returns.portal.core import Objection
from dispatch_returns.portal.words import Catalogue, Words
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.online.service import ReturnProgress
from dispatch_returns.returns.policy.model import ReasonChoice, ReasonDetail
from dispatch_returns.returns.steps.terms import ReturnTerms
from dispatch_returns.returns.transitions import Step

_OURS = Path(__file__).with_name("templates")
_WALK = (
    Step.REQUESTED,
    Step.CHECK,
    Step.APPROVED,
    Step.LABEL_SENT,
    Step.RECEIVED,
    Step.REFUNDED,
)
_NAMES = {
    "de": "Deutsch",
    "en": "English",
    "es": "Español",
    "fr": "Français",
    "it": "Italiano",
    "nl": "Nederlands",
}


class PageRenderer:
    """The templates. `logo` is the fingerprint of the merchant's logo, None without one.

    Raises `MissingExtraError` without the extra, `InvalidArgumentError` for a bad accent.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        folder: Path | None,
        *,
        shop: str,
        accent: str,
        logo: str | None,
    ) -> None:
        try:
            import jinja2
        except ImportError:
            raise MissingExtraError("portal", "the portal") from None
        self._languages = [(it, _NAMES.get(it, it)) for it in catalogue.languages]
        folders = [_OURS] if folder is None else [folder, _OURS]
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folders),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        sheet = self._environment.get_template("style.css").render()
        self.style = (theme.tokens(accent) + sheet).encode()
        self._shared: dict[str, Any] = {
            "shop": shop,
            "logo": logo,
            "languages": self._languages,
            "style": hashlib.sha256(self.style).hexdigest()[:12],
        }

    def render(self, template: str, words: Words, **values: Any) -> bytes:
        """Return a page in one language."""
        query: Mapping[str, str] = values.get("query", {})
        page = values.get("page", "") or "./"

        def in_language(code: str) -> str:
            return f"{page}?{urlencode({**query, 'lang': code})}"

        content = self._environment.get_template(f"{template}.html").render(
            {"query": {}, "page": ""} | self._shared | values,
            t=words,
            words=words,
            money=words.money,
            day=words.day,
            in_language=in_language,
            why=partial(why, words),
            reason_text=partial(reason_text, words),
            state=state_of,
            steps=steps_of,
            send_by=send_by,
            paid=paid,
        )
        return content.encode()


def why(words: Words, objection: Objection) -> str:
    """Return why something can't come back, for the customer."""
    if objection.text is not None:
        return objection.text
    return words.maybe(f"why.{objection.check}") or words("why.person")


def reason_text(words: Words, choice: ReasonChoice | ReasonDetail) -> str:
    """Return a reason as the customer reads it: the policy's words, ours, or its key."""
    own = choice.words.get(words.language) or words.maybe(f"reasons.{choice.key}")
    return own or choice.words.get("en") or choice.key.replace("_", " ").capitalize()


def state_of(shown: ReturnProgress) -> str:
    """Return the key of the words for where a return is."""
    if shown.row is None:
        return "pending"
    terms = None if shown.row.terms is None else ReturnTerms.of(shown.row.terms)
    if shown.row.step is Step.APPROVED and terms is not None and terms.returnless:
        return "keep"
    if shown.row.step is Step.REFUNDED and not paid(shown):
        return "paying"
    return str(shown.row.step)


def steps_of(shown: ReturnProgress) -> list[dict[str, Any]]:
    """Return the six steps, and whether each is done, is now, or is to come."""
    here = Step.REQUESTED if shown.row is None else shown.row.step
    if here is Step.REVIEW:
        here = Step.CHECK
    place = _WALK.index(here) if here in _WALK else -1
    over = here is Step.REFUNDED and bool(paid(shown))
    return [
        {
            "name": f"steps.{step}",
            "state": "done" if number < place or over else "now" if number == place else "next",
        }
        for number, step in enumerate(_WALK)
    ]


def send_by(shown: ReturnProgress) -> datetime | None:
    """Return until when the package must be sent, if it is waited for."""
    row = shown.row
    if row is None or row.step is not Step.LABEL_SENT or row.terms is None:
        return None
    return ReturnTerms.of(row.terms).expiry(row.entered_at)


def paid(shown: ReturnProgress) -> list[Refund]:
    """Return the refunds that were paid."""
    return [it for it in shown.refunds if it.state is State.SUCCEEDED and it.amount is not None]
