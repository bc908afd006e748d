"""The certificates that PayPal signs its webhooks with: fetched outside the request, and checked.

A webhook names the address of its certificate. Only PayPal's own hosts are asked, in a thread of
its own, one certificate at a time; until it is there the sender is asked to retry. A certificate
counts if a chain of trust leads to it and it is of PayPal's own name. Importing this imports
``cryptography``.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from dispatch_returns.client.connections import tls
from dispatch_returns.clock import Clock
from dispatch_returns.errors import NotVerifiableYetError, SignatureError
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

Fetch = Callable[[str], bytes]
"""Returns what is at an address. Raises any exception where it cannot be had now."""

_MOST = 8
"""Certificates that are kept: PayPal uses one at a time."""
_AGAIN = timedelta(minutes=1)
"""How soon an address that could not be used is asked again."""
_BETWEEN = timedelta(seconds=5)
"""After an address without a usable certificate, no other is fetched for so long."""
_PATH = "/v1/notifications/certs/"
_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
_OURS = re.compile(r"messageverificationcerts[a-z.]*\.paypal\.com")
"""The name that PayPal signs webhooks with; of its sandbox, with ``sandbox`` in it."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A certificate's key and its last moment, or why there is none, and until when that holds."""

    key: RSAPublicKey | None
    until: datetime
    problem: str = ""


class Certificates:
    """The certificates of one adapter. Safe to use from many threads.

    `servers` are the addresses (scheme and host, without a last slash) that may be asked. `roots`
    are trusted in place of this machine's certificates.
    """

    def __init__(
        self,
        servers: Collection[str],
        fetch: Fetch,
        clock: Clock,
        roots: Sequence[x509.Certificate] | None = None,
    ) -> None:
        self._folders = frozenset(f"{server}{_PATH}" for server in servers)
        self._fetch = fetch
        self._clock = clock
        self._roots = roots
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        # Kept apart: addresses that somebody makes up push out no certificate.
        self._failed: OrderedDict[str, _Kept] = OrderedDict()
        self._fetching: threading.Thread | None = None
        self._next_fetch = datetime.min.replace(tzinfo=UTC)

    def verify(self, url: str, signature: bytes, signed: bytes) -> None:
        """Raise `SignatureError` unless the certificate at `url` signed `signed`.

        Raises `NotVerifiableYetError` while the certificate is not here yet.
        """
        key = self._key(url)
        try:
            key.verify(signature, signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise SignatureError("the PayPal signature does not match") from None

    def _key(self, url: str) -> RSAPublicKey:
        folder, _, name = url.rpartition("/")
        if f"{folder}/" not in self._folders or not _NAME.fullmatch(name):
            raise SignatureError("the PayPal certificate is not at an address of PayPal's")
        with self._lock:
            kept = self._kept.get(url) or self._failed.get(url)
            if kept is not None and self._clock() < kept.until:
                if kept.key is not None:
                    return kept.key
                raise NotVerifiableYetError(f"the PayPal certificate {kept.problem}")
            if self._fetching is None and self._clock() >= self._next_fetch:
                self._fetching = threading.Thread(
                    target=self._have, args=(url,), name="paypal-certificate", daemon=True
                )
                self._fetching.start()
        raise NotVerifiableYetError("the PayPal certificate is being fetched")

    def _have(self, url: str) -> None:
        now = self._clock()
        try:
            kept = self._checked(self._fetch(url), now)
        except Exception as error:  # noqa: BLE001 - the sender retries, and so do we
            kept = _Kept(None, now + _AGAIN, f"can't be used ({type(error).__name__})")
            log.warning("the PayPal certificate can't be used: %s", error, extra=ids())
        with self._lock:
            store = self._failed if kept.key is None else self._kept
            store[url] = kept
            if kept.key is None:  # anybody can make addresses up, and each costs PayPal a call
                self._next_fetch = now + _BETWEEN
            while len(store) > _MOST:
                store.popitem(last=False)
            self._fetching = None

    def _checked(self, pem: bytes, now: datetime) -> _Kept:
        """Return the key of a chain of certificates. Raises `ValueError`, `VerificationError`."""
        leaf, *between = x509.load_pem_x509_certificates(pem)
        names = _names(leaf)
        ours = next((it for it in names if _OURS.fullmatch(it)), None)
        if ours is None:
            raise ValueError("it is not of PayPal's name")
        roots = self._roots or _roots_of_this_machine()
        verifier = (
            PolicyBuilder()
            .store(Store(list(roots)))
            .time(now.replace(tzinfo=None))
            .build_server_verifier(x509.DNSName(ours))
        )
        verifier.verify(leaf, between)
        key = leaf.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("it has no RSA key")  # noqa: TRY004 - like any other that is unusable
        return _Kept(key, leaf.not_valid_after_utc)


def _names(leaf: x509.Certificate) -> list[str]:
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return found.value.get_values_for_type(x509.DNSName)


def _roots_of_this_machine() -> list[x509.Certificate]:
    found = [x509.load_der_x509_certificate(it) for it in tls().get_ca_certs(binary_form=True)]
    if not found:
        raise VerificationError("this machine trusts no certificates")
    return found


def read_roots(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM file. Raises `ValueError`."""
    return x509.load_pem_x509_certificates(pem)
