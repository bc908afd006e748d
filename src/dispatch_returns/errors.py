"""Every exception of this package, in one tree.

::

    DispatchReturnsError
    ├── ConfigurationError            a setting or an argument is wrong
    │   ├── InvalidArgumentError      names the argument (also a ValueError)
    │   └── MissingExtraError         names the extra and the command that installs it
    ├── APIError                      the Dispatch API refused a call, or did not answer
    │   ├── APIConnectionError        no answer arrived
    │   │   └── APITimeoutError       no answer arrived in time
    │   ├── OutcomeUnknownError       a change got no answer: it may have been carried out
    │   ├── NotShownError             the API does not show a change that an event reports
    │   ├── TicketDeletedError        the ticket was deleted
    │   ├── APIResponseError          an answer could not be read
    │   │   └── PaginationError       a page cursor is missing or repeats
    │   └── APIStatusError            an answer with a status of 400 or more
    │       ├── ValidationError       400, 422
    │       ├── AuthenticationError   401
    │       ├── PermissionDeniedError 403
    │       ├── NotFoundError         404
    │       ├── ConflictError         409
    │       ├── RateLimitError        429
    │       └── ServerError           5xx
    ├── WebhookError                  a delivery was refused
    │   ├── SignatureError            it is not authentic
    │   │   └── ReplayError           it was signed too long ago, or in the future
    │   ├── NotVerifiableYetError     the key to verify it is still being fetched
    │   └── EventError                it is authentic and can't be read
    ├── MoneyError                    an amount is not exact, or not of this currency
    ├── StoreError                    the store failed
    │   ├── StoreUnavailableError     it did not confirm the commit: try again
    │   └── LeaseLostError            another worker has claimed this row
    ├── TransitionError               a row would have made a move that is not allowed: a bug
    ├── RefundError
    │   ├── AdapterError              a processor refused or did not answer, with the kind
    │   ├── UnsupportedFeatureError   the processor does not support this
    │   └── RefundStateError          the refund's state does not allow this action
    └── WorkflowError                 a step of a return failed
        ├── OrderError                the shop system did not give the order
        ├── LabelError                a label was not bought, or the outcome is unknown
        ├── NotificationError         the customer was not notified
        └── ReturnStateError          the return's step does not allow this action

No message or ``repr`` holds a key, a signature, a body or a customer's data.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AdapterError",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "DispatchReturnsError",
    "ErrorKind",
    "EventError",
    "FieldProblem",
    "InvalidArgumentError",
    "LabelError",
    "LeaseLostError",
    "MissingExtraError",
    "MoneyError",
    "NotFoundError",
    "NotShownError",
    "NotVerifiableYetError",
    "NotificationError",
    "OrderError",
    "OutcomeUnknownError",
    "PaginationError",
    "PermissionDeniedError",
    "RateLimitError",
    "RefundError",
    "RefundStateError",
    "ReplayError",
    "ReturnStateError",
    "ServerError",
    "SignatureError",
    "StoreError",
    "StoreUnavailableError",
    "TicketDeletedError",
    "UnsupportedFeatureError",
    "ValidationError",
    "WebhookError",
    "WorkflowError",
]


class DispatchReturnsError(Exception):
    """The base of every exception that this package raises.

    Each can be pickled and copied, because a Celery result or a pool hands it to another process.
    """

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Return how to make it again: Python's own way would call ``__init__`` with the message.

        The cause is left behind, as in Python's own way.
        """
        return _again, (type(self), self.args), self.__dict__


def _again(cls: type[DispatchReturnsError], args: tuple[Any, ...]) -> DispatchReturnsError:
    """Make an error without its original arguments; its attributes are set afterwards."""
    error = cls.__new__(cls, *args)
    # Call Python's own class behind ours, which keeps the message.
    super(DispatchReturnsError, error).__init__(*args)
    return error


class ConfigurationError(DispatchReturnsError):
    """A setting is missing or wrong."""


class InvalidArgumentError(ConfigurationError, ValueError):
    """An argument was refused before anything was sent.

    ``argument`` is its name; the message adds the cause and the remedy.
    """

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument


class MissingExtraError(ConfigurationError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(
            f'{needed_for} needs the extra "{extra}": pip install "dispatch-returns[{extra}]"'
        )
        self.extra = extra


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One entry of the API's ``errors`` list."""

    field: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.field, self.message) if part)


class APIError(DispatchReturnsError):
    """A call to the Dispatch API gave no answer that can be used."""

    status_code: int | None = None
    code: str | None = None
    errors: Sequence[FieldProblem] = ()
    retry_after: float | None = None
    """The seconds that the server asked us to wait, if it did."""

    def __init__(
        self, message: str, *, request_id: str | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id
        self.retryable = retryable

    def __str__(self) -> str:
        reasons = "; ".join(str(problem) for problem in self.errors)
        text = f"{self.message}: {reasons}" if reasons else self.message
        return f"{text} (request {self.request_id})" if self.request_id else text


class APIConnectionError(APIError):
    """No answer arrived, so it is unknown whether the call was carried out."""


class APITimeoutError(APIConnectionError):
    """No answer arrived in time, so it is unknown whether the call was carried out."""


class OutcomeUnknownError(APIError):
    """A PATCH got no answer, or a 408 or 5xx: it may have been carried out.

    The client does not send it again, because the object may have changed since: read it, then
    decide. ``status_code`` is None where no answer arrived.
    """

    def __init__(
        self, message: str, *, status_code: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(
            f"{message}. It may have been carried out: read it before you change it again",
            request_id=request_id,
        )
        self.status_code = status_code


class NotShownError(APIError):
    """The API does not show yet what an event says: the ticket is missing, or in an older state.

    ``missing``: the API answered 404.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: bool = False,
        request_id: str | None = None,
        retryable: bool = True,
    ) -> None:
        super().__init__(message, request_id=request_id, retryable=retryable)
        self.missing = missing


class TicketDeletedError(APIError):
    """The ticket was certainly deleted: its event or the API says so."""


class APIResponseError(APIError):
    """The answer is not JSON, or lacks a field it must have."""


class PaginationError(APIResponseError):
    """The server's pages do not end: a cursor repeated, or it promised more pages without one."""


class APIStatusError(APIError):
    """The API answered with a status of 400 or more."""

    status_code: int

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        code: str | None = None,
        errors: Sequence[FieldProblem] = (),
        request_id: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, retryable=retryable)
        self.status_code = status_code  # pyright: ignore[reportIncompatibleVariableOverride] - read only
        self.code = code
        self.errors = tuple(errors)
        self.retry_after = retry_after


class ValidationError(APIStatusError):
    """400 or 422: ``errors`` names the fields."""


class AuthenticationError(APIStatusError):
    """401: the key is wrong or missing."""


class PermissionDeniedError(APIStatusError):
    """403: the key's scope or the plan does not allow this."""


class NotFoundError(APIStatusError):
    """404: no such object, or not in this workspace."""


class ConflictError(APIStatusError):
    """409: the object exists already, or changed meanwhile."""


class RateLimitError(APIStatusError):
    """429: too many calls; ``retry_after`` is how many seconds to wait, where known."""


class ServerError(APIStatusError):
    """5xx: the server failed, and it is unknown whether the call was carried out."""


class WebhookError(DispatchReturnsError):
    """A webhook delivery was refused."""


class SignatureError(WebhookError):
    """The delivery is not authentic, or not provably so."""


class ReplayError(SignatureError):
    """The delivery is authentic, but was signed too long ago or in the future.

    While this machine's clock is known to be wrong, this says nothing about the delivery.
    """


class NotVerifiableYetError(WebhookError):
    """What it takes to verify the delivery is still being fetched: the sender should retry."""


class EventError(WebhookError):
    """The delivery is authentic, but its content cannot be understood."""


class MoneyError(DispatchReturnsError, ValueError):
    """An amount that cannot be used exactly as it stands. Nothing is rounded."""


class StoreError(DispatchReturnsError):
    """The store could not do what it was asked to do."""


class StoreUnavailableError(StoreError):
    """The store did not confirm that it has committed. The same call may be made again.

    Nothing was written, unless the connection to a server broke during the commit: then the outcome
    is unknown, and every write of this package is idempotent.
    """


class LeaseLostError(StoreError):
    """Another worker holds this row now, so what this worker found out must not overwrite it."""


class TransitionError(DispatchReturnsError):
    """A row was about to make a move that is not in its table of transitions. Nothing was written.

    The message names the row, its state, the state it was to go to, and the action.
    """


class RefundError(DispatchReturnsError):
    """The base of the exceptions of the refund path."""


class ErrorKind(enum.StrEnum):
    """What an adapter found out. The refund service decides what follows from it."""

    NOT_SENT = "not_sent"
    """The processor certainly did not receive the request."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """It may have been carried out. Never treat it as a failure."""
    RATE_LIMITED = "rate_limited"
    IN_PROGRESS = "in_progress"
    """The processor is working on the same key at this moment."""
    ALREADY_REFUNDED = "already_refunded"
    """Nothing is left on the payment. Who refunded it is another question."""
    EXCEEDS_REMAINING = "exceeds_remaining"
    DISPUTED = "disputed"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    """The merchant's own balance does not cover it: nothing was carried out."""
    NOT_REFUNDABLE = "not_refundable"
    NOT_SETTLED = "not_settled"
    """The payment can't be refunded yet, but will be: ``retry_after`` says when, where known."""
    NOT_FOUND = "not_found"
    AUTH = "auth"
    CONFIG = "config"
    KEY_CONFLICT = "key_conflict"
    """This key was used before with different content."""
    UNREADABLE_REFUND = "unreadable_refund"
    """A refund of the payment can't be read, so what is left on the payment isn't known."""


class AdapterError(RefundError):
    """A processor's refusal or silence.

    ``message`` is for a person and holds no secret and no customer data; ``code`` is the
    processor's own; ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class UnsupportedFeatureError(RefundError):
    """The processor has no way to express this request; the adapter does not imitate it."""


class RefundStateError(RefundError):
    """The request does not fit the state of the refund."""


class WorkflowError(DispatchReturnsError):
    """A step of a return could not be done. ``retryable``: it may work later."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable


class OrderError(WorkflowError):
    """The shop system did not say what was bought."""


class LabelError(WorkflowError):
    """A label was not bought. ``unknown``: it may have been, so look for it first."""

    def __init__(self, message: str, *, retryable: bool = False, unknown: bool = False) -> None:
        super().__init__(message, retryable=retryable)
        self.unknown = unknown


class NotificationError(WorkflowError):
    """The customer could not be notified."""


class ReturnStateError(WorkflowError):
    """The request does not fit the step of the return."""
