"""Sends notifications by e-mail, through any SMTP server."""

from __future__ import annotations

import hashlib
import re
import smtplib
import ssl
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Literal, Self, get_args

from pydantic import Field, SecretStr

from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.errors import (
    InvalidArgumentError,
    MissingExtraError,
    NotificationError,
)
from dispatch_returns.plugins.options import PluginOptions
from dispatch_returns.returns.notifications.notification import Notification
from dispatch_returns.returns.notifications.rendering import RenderedNotification, Templates
from dispatch_returns.store.schema import storable

Security = Literal["starttls", "tls", "none"]
_PORTS: Mapping[str, int] = {"starttls": 587, "tls": 465, "none": 25}
_ONLY_FOR_TODAY = frozenset({"5.4.5", "5.1.90"})
"""Enhanced status codes of a daily quota, sent by Google and Microsoft with a 5xx (RFC 3463)."""
_ATOMS = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]+")
_DOT_ATOM = re.compile(r"[^.]+(\.[^.]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_NOT_IN_NAMES = re.compile(r"[^\w '&-]+")
_LONGEST_NAME = 60


class SmtpOptions(PluginOptions):
    """The options of `SmtpNotifier`."""

    host: str = Field(description="the mail server")
    sender: str = Field(
        validation_alias="from",
        description="who the mails are from: `Acme Returns <returns@acme.com>`",
    )
    security: str = Field(
        default="starttls", description="`starttls`, `tls` or `none` (then without a password)"
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="by default 587, 465 or 25, as `SMTP_SECURITY` says",
    )
    user: str | None = Field(default=None, description="the login")
    password: SecretStr | None = Field(default=None, description="its password")
    reply_to: str | None = Field(default=None, description="where answers go")
    timeout: float = Field(
        default=20, gt=0, description="seconds for each step of the conversation"
    )
    ca_file: str | None = Field(
        default=None, description="certificates to trust in addition to the system's"
    )


class SmtpNotifier:
    """A `Notifier` that sends each notification as one e-mail with a text and an HTML part.

    ``sender`` is an address such as ``Acme Returns <returns@acme.com>``. ``security`` is
    ``starttls`` (a server without it is refused), ``tls`` from the first byte, or ``none`` for
    a relay on the same machine. ``timeout`` is in seconds, for each step of the conversation.
    ``ca_file`` is a certificate to trust in addition to the system's.

    SMTP can't look up what was sent. A mail sent again after a crash has the same
    ``RenderedNotification-ID``, by which mail servers and programs drop the duplicate.

    Raises `InvalidArgumentError` for a bad argument.
    """

    name = "smtp"

    def __init__(
        self,
        templates: Templates,
        *,
        host: str,
        sender: str,
        port: int | None = None,
        security: str = "starttls",
        user: str | None = None,
        password: str | None = None,
        reply_to: str | None = None,
        timeout: float = 20.0,
        ca_file: str | None = None,
        clock: Clock = utc_now,
    ) -> None:
        if security not in get_args(Security):
            raise InvalidArgumentError("security", "must be starttls, tls or none")
        if (user is None) != (password is None):
            raise InvalidArgumentError("password", "set both user and password, or neither")
        if user is not None and security == "none":
            raise InvalidArgumentError("security", "a password needs encryption: use starttls")
        if not timeout > 0:
            raise InvalidArgumentError("timeout", "must be more than 0 seconds")
        self._templates = templates
        self._host, self._port = host, port or _PORTS[security]
        self._security = security
        self._login = None if user is None or password is None else (user, password)
        self._sender = _our_address("sender", sender)
        self._reply_to = None if reply_to is None else _our_address("reply_to", reply_to)
        self._timeout = timeout
        self._tls = None if security == "none" else ssl.create_default_context()
        if self._tls is not None and ca_file is not None:
            try:
                self._tls.load_verify_locations(ca_file)
            except (OSError, ssl.SSLError):
                raise InvalidArgumentError("ca_file", "cannot be read as certificates") from None
        self._clock = clock

    @classmethod
    def from_options(cls, options: SmtpOptions, templates: Templates) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            templates,
            host=options.host,
            sender=options.sender,
            port=options.port,
            security=options.security.lower(),
            user=options.user,
            password=None if options.password is None else options.password.get_secret_value(),
            reply_to=options.reply_to,
            timeout=options.timeout,
            ca_file=options.ca_file,
        )

    def __repr__(self) -> str:
        return f"SmtpNotifier(host={self._host!r}, port={self._port}, security={self._security!r})"

    def send(self, notification: Notification, *, again: bool = False) -> None:  # noqa: ARG002 - no look-up
        """Send it. Raises `NotificationError`; retryable if the server may accept it later."""
        address = _customers_address(notification)
        mail = self._mail(notification, address, self._templates.render(notification))
        try:
            with self._connected() as server:
                server.send_message(mail, self._sender.addr_spec, [address])
        except smtplib.SMTPRecipientsRefused as error:
            ((code, said),) = error.recipients.values()
            raise _refused("the recipient", code, said) from None
        except smtplib.SMTPAuthenticationError as error:
            # Retryable: once the merchant has corrected them, the customer still gets the mail.
            raise NotificationError(
                f"the SMTP server refused user and password ({error.smtp_code})", retryable=True
            ) from None
        except smtplib.SMTPResponseException as error:
            raise _refused("the mail", error.smtp_code, error.smtp_error) from None
        except smtplib.SMTPNotSupportedError as error:
            if not address.isascii():
                why = "the SMTP server accepts no address with letters such as ü (SMTPUTF8)"
                raise NotificationError(why) from None
            raise NotificationError(f"the SMTP server does not support it: {error}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotificationError(
                f"the SMTP server did not accept the mail ({type(error).__name__})", retryable=True
            ) from None

    def check(self) -> str:
        """Connect and log in without sending a mail; return a sentence about the success.

        For ``dispatch-returns doctor``. Raises `NotificationError`.
        """
        place = f"{self._host}:{self._port}"
        try:
            with self._connected() as server:
                server.ehlo_or_helo_if_needed()
        except smtplib.SMTPAuthenticationError as error:
            problem = (
                f"refuses user and password ({error.smtp_code}): check SMTP_USER, SMTP_PASSWORD"
            )
        except smtplib.SMTPNotSupportedError as error:
            problem = f"does not support it ({error}): check SMTP_SECURITY and SMTP_PORT"
        except ssl.SSLCertVerificationError as error:
            problem = f"has a certificate that is not trusted ({error.verify_message})"
        except ssl.SSLError:
            problem = "does not speak TLS there: check SMTP_SECURITY and SMTP_PORT"
        except (OSError, smtplib.SMTPException) as error:
            problem = f"cannot be reached ({type(error).__name__}): check SMTP_HOST and SMTP_PORT"
        else:
            return f"{place} accepts the login" if self._login else f"{place} answers"
        raise NotificationError(f"the SMTP server {place} {problem}", retryable=True)

    def close(self) -> None:
        """Do nothing: each mail has its own connection."""

    def _connected(self) -> smtplib.SMTP:
        if self._security == "tls":
            assert self._tls is not None
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout, context=self._tls
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        try:
            if self._security == "starttls":
                server.starttls(context=self._tls)
            if self._login is not None:
                server.login(*self._login)
        except BaseException:
            server.close()
            raise
        return server

    def _mail(
        self, notification: Notification, address: str, message: RenderedNotification
    ) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._sender
        # The name must not need quotes: folded inside quotes, it becomes a second mailbox. See
        # python/cpython#101034 and related issues.
        name = _NOT_IN_NAMES.sub(" ", storable(notification.name or "").replace("\ufffd", " "))
        mail["To"] = f"{_one_line(name)[:_LONGEST_NAME].strip()} <{address}>".lstrip()
        mail["Subject"] = storable(message.subject)
        mail["Date"] = format_datetime(self._clock())
        digest = hashlib.sha256(notification.key.encode()).hexdigest()[:32]
        mail["Message-ID"] = f"<{digest}@{self._sender.domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = message.language
        if self._reply_to is not None:
            mail["Reply-To"] = self._reply_to
        mail.set_content(storable(message.text))
        mail.add_alternative(storable(message.html), subtype="html")
        for file in notification.attachments:
            kind, _, subtype = file.content_type.partition("/")
            mail.add_attachment(
                file.content,
                maintype=kind,
                subtype=subtype or "octet-stream",
                filename=_one_line(file.filename),
            )
        return mail


def _refused(what: str, code: int, said: bytes | str) -> NotificationError:
    # The server's text may repeat the customer's address, so only its codes are shown.
    text = said.decode("ascii", "replace") if isinstance(said, bytes) else said
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}", text)
    shown = f"{code} {enhanced[0]}" if enhanced else f"{code}"
    today = enhanced is not None and enhanced[0] in _ONLY_FOR_TODAY
    return NotificationError(
        f"the SMTP server refused {what} ({shown})", retryable=code < 500 or today
    )


def _our_address(argument: str, text: str) -> Address:
    name, address = parseaddr(text)
    try:
        return Address(_one_line(name), addr_spec=address)
    except (ValueError, IndexError, AttributeError):
        raise InvalidArgumentError(argument, "is not an e-mail address") from None


def _customers_address(notification: Notification) -> str:
    """Return the customer's address in the form that mail servers accept.

    Some providers gave out addresses that RFC 5321 allows only in quotes, such as
    ``a..b@docomo.ne.jp``. A domain in Unicode is sent in its ``xn--`` form, which every server
    accepts; a local part in Unicode needs a server with SMTPUTF8.
    """
    try:
        import idna
    except ImportError:
        raise MissingExtraError("notifications", "writing notifications") from None
    if not notification.email:
        raise NotificationError("the customer has no e-mail address")
    local, _, domain = notification.email.strip().rpartition("@")
    try:
        domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        domain = ""
    if not _ATOMS.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise NotificationError("the customer's e-mail address is not valid")
    quote = "" if _DOT_ATOM.fullmatch(local) else '"'
    return f"{quote}{local}{quote}@{domain}"


def _one_line(text: str) -> str:
    """Return `text` without the characters that could begin another header."""
    return " ".join("".join(it if it.isprintable() else " " for it in text).split())
