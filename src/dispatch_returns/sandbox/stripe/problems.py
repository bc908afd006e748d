"""Stripe's error answers, as an exception that carries everything the answer needs."""

from __future__ import annotations

from typing import Any


class StripeRequestError(Exception):
    """A request that is answered with an error body instead of an object.

    ``retry`` is what the ``Stripe-Should-Retry`` header says; None sends no such header.
    ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        charge: str | None = None,
        retry: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.charge = charge
        self.retry = retry
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Return the error object; like Stripe's, it leaves out what does not apply."""
        error: dict[str, Any] = {"type": self.kind, "message": self.message}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param is not None:
            error["param"] = self.param
        if self.charge is not None:
            error["charge"] = self.charge
        return {"error": error}


def invalid(
    message: str, *, code: str | None = None, param: str | None = None, charge: str | None = None
) -> StripeRequestError:
    """Return the usual 400."""
    return StripeRequestError(400, message, code=code, param=param, charge=charge)


def missing(kind: str, object_id: str, param: str) -> StripeRequestError:
    """Return the 404 for an object that is not there, or is another account's."""
    return StripeRequestError(
        404, f"No such {kind}: '{object_id}'", code="resource_missing", param=param
    )
