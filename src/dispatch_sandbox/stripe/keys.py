"""Idempotency keys, as Stripe documents them for API v1.

The first answer under a key is kept, status and body, a 500 included, and given again. Nothing
is kept of a request that was refused before its endpoint began to work, of one that lost the
race against its twin, or of a 429. After 24 hours a key is forgotten, and means a new request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dispatch_sandbox.stripe.problems import StripeRequestError

LIFETIME = 24 * 60 * 60.0
"""Seconds until a key is forgotten. Stripe keeps keys at least as long."""
MAX_LENGTH = 255


@dataclass(slots=True)
class KeyEntry:
    """A key that was used: ``status`` is 0 until the request has done its work."""

    fingerprint: str
    created: float
    request_id: str
    status: int = 0
    body: bytes = b""
    in_flight: bool = True

    def expired(self, now: float) -> bool:
        """Whether the key has expired and may be used for a new request."""
        return not self.in_flight and now - self.created >= LIFETIME


def key_in_use(key: str) -> StripeRequestError:
    """Return the 409 for a key whose first request is still running."""
    return StripeRequestError(
        409,
        "There is currently another in-progress request using this Idempotent Key (that "
        f"probably means you submitted twice, and the other request is still going through): "
        f"{key}",
        kind="idempotency_error",
        code="idempotency_key_in_use",
        retry=True,
    )


class IdempotencyKeys:
    """The keys of all accounts. The caller holds the state's lock."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], KeyEntry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def look_up(self, account: str, key: str, fingerprint: str, now: float) -> KeyEntry | None:
        """Return the finished first use of ``key``, or None if it is free.

        Raises the 400 for other parameters or another endpoint, and the 409 for a key in flight.
        """
        while self._entries:
            place = next(iter(self._entries))  # the oldest: entries are in order of their use
            if not self._entries[place].expired(now):
                break
            del self._entries[place]
        entry = self._entries.get((account, key))
        if entry is None:
            return None
        if entry.expired(now):  # behind an older one that is in flight
            del self._entries[account, key]
            return None
        if entry.fingerprint != fingerprint:
            raise StripeRequestError(
                400,
                "Keys for idempotent requests can only be used with the same parameters and the "
                f"same endpoint they were first used with. Try using a key other than '{key}' if "
                "you meant to execute a different request.",
                kind="idempotency_error",
            )
        if entry.in_flight:
            raise key_in_use(key)
        return entry

    def reserve(
        self, account: str, key: str, fingerprint: str, request_id: str, now: float
    ) -> KeyEntry:
        """Reserve a free key for a request that starts now."""
        entry = KeyEntry(fingerprint, now, request_id)
        self._entries[account, key] = entry
        return entry

    def release(self, account: str, key: str, entry: KeyEntry) -> None:
        """End a request: keep its answer if it did its work, else free the key."""
        entry.in_flight = False
        if not entry.status:
            del self._entries[account, key]

    def dump(self) -> list[dict[str, Any]]:
        """Return the keys with a kept answer; requests under way have none."""
        return [
            {
                "account": account,
                "key": key,
                "fingerprint": entry.fingerprint,
                "created": entry.created,
                "request_id": entry.request_id,
                "status": entry.status,
                "body": entry.body.decode(),
            }
            for (account, key), entry in self._entries.items()
            if entry.status
        ]

    def load(self, data: list[dict[str, Any]]) -> None:
        """Replace all keys by those that `dump` described."""
        self._entries = {
            (entry["account"], entry["key"]): KeyEntry(
                entry["fingerprint"],
                entry["created"],
                entry["request_id"],
                entry["status"],
                entry["body"].encode(),
                in_flight=False,
            )
            for entry in data
        }
