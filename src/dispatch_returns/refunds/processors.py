"""The configured adapters, by name, and which of them pays a payment back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dispatch_returns.errors import InvalidArgumentError
from dispatch_returns.refunds.adapter import PaymentRef, RefundAdapter, SupportsRecognition
from dispatch_returns.refunds.guard import Hold, adapter_unclear

SETTING = "DISPATCH_RETURNS_ADAPTERS"

OneOrMore = RefundAdapter | Mapping[str, RefundAdapter] | Sequence[RefundAdapter]
"""One adapter, several, or several by their configured names."""


class Adapters(Mapping[str, RefundAdapter]):
    """The adapters that are set up, by their configured names. Immutable.

    A configured name is the adapter's own (``stripe``), or one that the merchant gave to the same
    kind of adapter with another account (``stripe-uk``). The ledger's rows, the webhooks' paths and
    the database's entries use it.

    Raises `InvalidArgumentError` without any adapter.
    """

    def __init__(self, named: Mapping[str, RefundAdapter]) -> None:
        if not named:
            raise InvalidArgumentError("adapters", "give at least one")
        self._named = dict(named)

    @classmethod
    def of(cls, given: OneOrMore) -> Adapters:
        """Return the adapters in `given`; without a configured name, each has its own name.

        Raises `InvalidArgumentError` where there is none, or two have the same name.
        """
        if isinstance(given, Mapping):
            return cls(given)
        several = given if isinstance(given, Sequence) else [given]
        named = {it.name: it for it in several}
        if len(named) < len(several):
            twice = "two adapters have the same name: give a mapping with a name for each"
            raise InvalidArgumentError("adapters", twice)
        return cls(named)

    def __getitem__(self, name: str) -> RefundAdapter:
        return self._named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __repr__(self) -> str:
        return f"Adapters({', '.join(self)})"

    @property
    def only(self) -> str | None:
        """The name of the one adapter, None where there are several."""
        return next(iter(self)) if len(self) == 1 else None

    def close(self) -> None:
        """Close each adapter."""
        for adapter in self.values():
            adapter.close()

    def paying(self, payment: PaymentRef, on_ticket: str | None = None) -> str | Hold:
        """Return the name of the adapter that took `payment`, or a hold where that is unclear.

        The source of the payment decides where it names an adapter, else the form of the payment's
        id. `on_ticket` is what the ticket's field says: it chooses where these leave a choice, and
        contradicts neither.
        """
        for name, whose in ((payment.adapter, "The order"), (on_ticket, "The ticket")):
            if name is not None and name not in self:
                return adapter_unclear(
                    f"{whose} names the adapter {name}, and {SETTING} has only: {self._names()}."
                )
        known = payment.adapter or self.only
        possible = [known] if known is not None else self._possible(payment.id)
        if on_ticket is not None:
            if on_ticket in possible:
                return on_ticket
            said = " or ".join(possible) or "none of them"
            return adapter_unclear(
                f"The ticket names the adapter {on_ticket}, and the payment {payment.id} belongs to"
                f" {said}."
            )
        if known is not None:
            return known
        recognizing = [it for it in possible if isinstance(self[it], SupportsRecognition)]
        if len(recognizing) == 1:
            return recognizing[0]
        several = f"{len(recognizing)} of them" if recognizing else "none of them"
        return adapter_unclear(
            f"{SETTING} has {self._names()}, and {several} can tell that the payment {payment.id}"
            " is its own."
        )

    def _possible(self, payment_id: str) -> list[str]:
        """Return the adapters that recognize an id; else those that cannot tell any id apart."""
        unsure = [name for name, it in self.items() if not isinstance(it, SupportsRecognition)]
        sure = [
            name
            for name, it in self.items()
            if isinstance(it, SupportsRecognition) and it.recognizes(payment_id)
        ]
        return sure or unsure

    def _names(self) -> str:
        return ", ".join(self)
