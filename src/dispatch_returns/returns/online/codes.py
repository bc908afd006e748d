"""One-time codes: asked for with an order number, mailed to the order's own address, typed in.

The web request only counts the attempt and writes a message; a worker looks the order up. So the
answer and its time are the same whether the order exists, and whether the address is its own.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection

from dispatch_returns.clock import Clock
from dispatch_returns.emails import email_key
from dispatch_returns.refunds.order_ids import order_key
from dispatch_returns.returns.notifications.notification import (
    Notification,
    NotificationKind,
    Notifier,
)
from dispatch_returns.returns.online import attempts, tokens
from dispatch_returns.returns.orders.model import OrderSource
from dispatch_returns.store import Store, keys, outbox

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket
    from dispatch_returns.returns.orders.model import Order
    from dispatch_returns.store.outbox import Message

KIND = "access_code"
"""The outbox's messages that ask for a code."""
VALID = timedelta(minutes=15)
"""How long a code, and the link that is mailed with it, can be used."""
_KEY = "online"

Checked = Literal["right", "wrong", "too many", "expired"]


class Codes:
    """Proofs for browsers, signed with this installation's key. Safe to use in many threads.

    `url` is where the portal can be reached from outside, if a link may be mailed.
    """

    def __init__(
        self, store: Store, orders: OrderSource, mailer: Notifier | None, clock: Clock, url: str
    ) -> None:
        self._store = store
        self._orders = orders
        self._mailer = mailer
        self._clock = clock
        self._url = url

    @property
    def can_be_sent(self) -> bool:
        """Whether there is a way to mail a code."""
        return self._mailer is not None

    def sign(self, purpose: str, claims: dict[str, Any], valid: timedelta) -> str:
        """Return a token for `purpose` that can be used for the time `valid`."""
        return tokens.sign(self.key(), purpose, claims, self._clock() + valid)

    def read(self, purpose: str, token: str | None) -> dict[str, Any] | None:
        """Return the claims of a token, None if it is not a valid one for `purpose`."""
        return tokens.read(self.key(), purpose, token, self._clock())

    def digest(self, kind: str, text: str) -> str:
        """Return what stands for a text, and does not reveal it."""
        return tokens.digest(self.key(), kind, text)

    def ask(
        self, order_id: str, known: str, network: str | None, language: str, workspace_id: str
    ) -> str | None:
        """Have a code mailed to the order's own address, if `known` is that or its postcode.

        Returns the challenge that the code answers; None after too many attempts. Neither says
        whether the order exists.
        """
        key, now = self.key(), self._clock()
        challenge = f"{int(now.timestamp())}.{secrets.token_urlsafe(12)}"
        written = [tokens.digest(key, *it) for it in _meanings(known)]
        counted = [
            (tokens.digest(key, "order", order_key(order_id)), attempts.CODES_OF_ORDER),
            (written[0], attempts.CODES_OF_ADDRESS),
        ]
        if (place := network_of(network)) is not None:
            counted.append((tokens.digest(key, "network", place), attempts.CODES_OF_NETWORK))
        message = outbox.NewMessage(
            dedupe_key=f"{KIND}-{challenge}",
            kind=KIND,
            workspace_id=workspace_id,
            ticket_id=None,
            payload={
                "order_id": order_id,
                "known": written,
                "challenge": challenge,
                "language": language,
            },
        )

        def ask(conn: Connection) -> bool:
            if not attempts.may(conn, now, counted):
                return False
            return outbox.add(conn, message, now)

        return challenge if self._store.write("access.ask", ask) else None

    def check(self, challenge: str, order_id: str, answer: str) -> Checked:
        """Return whether `answer` is the code of a challenge; a right one is used up."""
        key, now = self.key(), self._clock()
        if now.timestamp() > int(challenge.partition(".")[0]) + VALID.total_seconds():
            return "expired"
        subject = tokens.digest(key, "challenge", challenge)
        of_order = tokens.digest(key, "tries", order_key(order_id))
        counted = [(subject, attempts.TRIES_OF_CODE), (of_order, attempts.TRIES_OF_ORDER)]
        digits = re.sub(r"\D", "", answer)
        right = tokens.same(digits, tokens.code(key, _answered(challenge, order_id)))

        def check(conn: Connection) -> Checked:
            if not attempts.may(conn, now, counted):
                return "too many"
            if not right:
                return "wrong"
            attempts.use_up(conn, now, subject, attempts.TRIES_OF_CODE)
            return "right"

        return self._store.write("access.check", check)

    def use_link(self, challenge: str) -> bool:
        """Return whether the link that was mailed with a code is still unused, and use it up."""
        now, limit = self._clock(), attempts.TRIES_OF_CODE
        subject = self.digest("challenge", challenge)

        def use(conn: Connection) -> bool:
            if not attempts.may(conn, now, [(subject, limit)]):
                return False
            attempts.use_up(conn, now, subject, limit)
            return True

        return self._store.write("access.check", use)

    def deliver(self, message: Message, ticket: Ticket) -> None:
        """Mail the code that `message` asks for, if it is the order's owner who asks.

        `ticket` stands for the one that does not exist yet. Raises `OrderError` and
        `NotificationError`.
        """
        asked = message.payload
        if self._mailer is None or self._clock() > message.created_at + VALID:
            return
        order = self._orders.order(asked["order_id"], ticket)
        if order is None or order.from_ticket or not order.customer_email:
            return
        key = self.key()
        owners = {tokens.digest(key, *it) for it in _of_owner(order)}
        if owners.isdisjoint(asked["known"]):
            return
        facts = {
            "order_id": asked["order_id"],
            "code": tokens.code(key, _answered(asked["challenge"], asked["order_id"])),
        }
        if self._url:
            claims = {"o": asked["order_id"], "c": asked["challenge"]}
            until = message.created_at + VALID
            token = tokens.sign(key, MAILED_LINK, claims, until)
            facts["portal_link"] = f"{self._url.rstrip('/')}/open?k={token}"
        self._mailer.send(
            Notification(
                key=message.dedupe_key,
                kind=NotificationKind.ACCESS_CODE,
                ticket_id="",
                language=asked["language"],
                facts=facts,
                email=order.customer_email,
            ),
            again=message.claims > 1,
        )

    def key(self) -> bytes:
        """Return the signing key, which only this installation's database holds."""
        with self._store.read() as conn:
            key = keys.get(conn, _KEY)
        if key is None:
            now = self._clock()
            key = self._store.write("access.key", lambda conn: keys.make(conn, _KEY, now))
        return key


MAILED_LINK = "mailed link"
"""The purpose of a link that is mailed with a code, and used once."""
LINK = "link"
"""The purpose of a link from the shop's own pages and mails."""


def network_of(address: str | None) -> str | None:
    """Return what attempts from an address are counted for; None for one of a private network.

    Such an address is that of the shop's own proxy: all customers would share its limit.
    """
    try:
        found = ipaddress.ip_address((address or "").split("%")[0])
    except ValueError:
        return None
    if found.is_private:
        return None
    if found.version == 6:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _answered(challenge: str, order_id: str) -> str:
    return f"{challenge}\n{order_key(order_id)}"


def _meanings(known: str) -> list[tuple[str, str]]:
    """Return what a customer may have typed: an e-mail address, or else a postcode."""
    if "@" in known:
        return [("email", email_key(known) or "")]
    return [("postcode", _postcode(known))]


def _of_owner(order: Order) -> list[tuple[str, str]]:
    found = [("email", email_key(order.customer_email) or "")]
    code = "" if order.address is None else _postcode(order.address.postal_code or "")
    return [*found, ("postcode", code)] if code else found


def _postcode(text: str) -> str:
    return re.sub(r"[\s-]+", "", text).casefold()
