"""The key pair that signs the stand-in's webhooks, and its certificates. Made once per process."""

from __future__ import annotations

import base64
import uuid
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = "messageverificationcerts.paypal.com"
"""The name in PayPal's own certificate. This one is trusted by nobody who was not told to."""


@dataclass(frozen=True)
class KeyPair:
    """A key with the certificates that lead to it: ``chain`` is sent, ``roots`` must be trusted."""

    key: rsa.RSAPrivateKey
    chain: bytes
    roots: bytes


@cache
def key_pair(name: str = NAME) -> KeyPair:
    """Return a new key pair for `name`, signed by an authority of its own."""
    now = datetime.now(UTC)
    authority = ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dispatch-returns sandbox")])
    usage = {
        "digital_signature": False,
        "content_commitment": False,
        "key_encipherment": False,
        "data_encipherment": False,
        "key_agreement": False,
        "key_cert_sign": False,
        "crl_sign": False,
        "encipher_only": False,
        "decipher_only": False,
    }
    root = (
        x509.CertificateBuilder()
        .subject_name(root_name)
        .issuer_name(root_name)
        .public_key(authority.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=3650))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**(usage | {"key_cert_sign": True})), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False
        )
        .sign(authority, hashes.SHA256())
    )
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(root_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=3650))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.KeyUsage(**(usage | {"digital_signature": True})), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
        .sign(authority, hashes.SHA256())
    )
    chain = leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)
    return KeyPair(key, chain, root.public_bytes(Encoding.PEM))


def headers_of(
    body: bytes, *, webhook_id: str, certificate: str, sent_at: datetime, pair: KeyPair
) -> dict[str, str]:
    """Return the headers that PayPal sends with an event."""
    transmission = str(uuid.uuid4())
    time = sent_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    signed = f"{transmission}|{time}|{webhook_id}|{zlib.crc32(body)}".encode()
    signature = pair.key.sign(signed, PKCS1v15(), hashes.SHA256())
    return {
        "content-type": "application/json",
        "paypal-transmission-id": transmission,
        "paypal-transmission-time": time,
        "paypal-transmission-sig": base64.b64encode(signature).decode(),
        "paypal-cert-url": certificate,
        "paypal-auth-algo": "SHA256withRSA",
        "user-agent": "PayPal/AUHD-214.0-58 (dispatch-returns sandbox, not PayPal)",
    }
