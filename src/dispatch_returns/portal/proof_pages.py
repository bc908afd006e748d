"""The pages before the proof: nothing of an order is on any of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dispatch_returns.portal import session as sessions
from dispatch_returns.portal.front import Front, Visit, redirect
from dispatch_returns.refunds.order_ids import plain_id
from dispatch_returns.returns.online.codes import LINK, MAILED_LINK
from dispatch_returns.returns.online.service import OnlineReturns
from dispatch_returns.webhooks.http import Answer


class ProofPages:
    """From an order number, or a link, to a session that may see the order."""

    def __init__(self, online: OnlineReturns, front: Front) -> None:
        self._online = online
        self._codes = online.codes
        self._front = front

    def start(self, visit: Visit) -> Answer:
        """Ask for the order number; who has proven one already sees it."""
        if visit.session.order_id is not None:
            return redirect("order", self._front.cookie(visit.session))
        by_code = self._codes.can_be_sent
        return self._front.page(visit, "start", by_code=by_code, order_id="", known="", wrong=())

    def ask(self, visit: Visit) -> Answer:
        """Have a code mailed. The answer is the same whatever was typed, if anything was."""
        order_id = plain_id(visit.form.text("order", 100))
        known = visit.form.text("known", 254)
        by_code = self._codes.can_be_sent
        wrong = {name for name, text in (("order", order_id), ("known", known)) if not text}
        if wrong or not by_code:
            return self._front.page(
                visit,
                "start",
                422,
                by_code=by_code,
                order_id=order_id,
                known=known,
                wrong=wrong,
            )
        language = visit.words.language
        challenge = self._online.ask_for_code(order_id, known, visit.client, language)
        if challenge is None:
            return self._front.message(visit, "too_many", 429)
        waiting = visit.session.waiting(order_id, challenge)
        return redirect("code", self._front.cookie(waiting))

    def code(self, visit: Visit) -> Answer:
        """Ask for the code."""
        if visit.session.challenge is None:
            return redirect("./")
        return self._front.page(visit, "code", order_id=visit.session.asked, wrong=False)

    def answer(self, visit: Visit) -> Answer:
        """Compare the code, and open the order."""
        session = visit.session
        if session.challenge is None or session.asked is None:
            return redirect("./")
        text = visit.form.text("code", 20)
        match self._codes.check(session.challenge, session.asked, text):
            case "right":
                return self._opened(visit, session.asked)
            case "wrong":
                return self._front.page(visit, "code", 422, order_id=session.asked, wrong=True)
            case "too many":
                return self._front.message(visit, "too_many", 429)
            case "expired":
                return self._front.message(visit, "link_expired", 410)

    def link(self, visit: Visit) -> Answer:
        """Ask before a link acts: programs that scan mails open every link, and press nothing."""
        token = visit.query.fields.get("k", "")
        if self._claims(token) is None:
            return self._front.message(visit, "link_expired", 410)
        return self._front.page(visit, "open", token=token)

    def use_link(self, visit: Visit) -> Answer:
        """Open the order of a link; one that was mailed with a code opens it once."""
        claims = self._claims(visit.form.fields.get("k", ""))
        if claims is None or ("c" in claims and not self._codes.use_link(claims["c"])):
            return self._front.message(visit, "link_expired", 410)
        return self._opened(visit, claims["o"])

    def leave(self, visit: Visit) -> Answer:
        """Forget the order."""
        fresh = sessions.new(self._online.now())
        fresh = replace(fresh, language=visit.session.language)
        return redirect("./", self._front.cookie(fresh))

    def _opened(self, visit: Visit, order_id: str) -> Answer:
        proven = visit.session.proven(order_id, self._online.now())
        return redirect("order", self._front.cookie(proven))

    def _claims(self, token: str) -> dict[str, Any] | None:
        return self._codes.read(LINK, token) or self._codes.read(MAILED_LINK, token)
