"""Every exception this package raises, in one tree.

::

    DispatchReturnsError
    ├── ConfigurationError            a setting or an argument is wrong: fix the program
    │   ├── InvalidArgumentError      names the argument (also a ValueError)
    │   └── MissingExtraError         names the extra and the command that installs it
    ├── APIError                      the Dispatch API said no, or said nothing
    │   ├── APIConnectionError        no answer arrived
    │   │   └── APITimeoutError       no answer arrived in time
    │   ├── OutcomeUnknownError       a change got no answer: it may have been carried out
    │   ├── NotShownError             the API does not show yet what an event says
    │   ├── TicketDeletedError        its event or the API says so
    │   ├── APIResponseError          an answer arrived and could not be understood
    │   │   └── PaginationError       a page cursor repeated, or is missing
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
    │   │   └── ReplayError           it was signed at another time than now
    │   └── EventError                it is authentic and cannot be understood
    ├── MoneyError                    an amount that is not exact, or not of this currency
    ├── StoreError                    the store could not do it
    │   ├── StoreUnavailableError     it did not say that it has committed: try again
    │   └── LeaseLostError            another worker has taken this row over
    ├── TransitionError               a row was to make a move that it may not make: our bug
    ├── RefundError
    │   ├── AdapterError              a processor's refusal or silence, with its kind
    │   ├── UnsupportedFeatureError   the processor cannot be told this
    │   └── RefundStateError          this act does not fit the refund's state
    └── WorkflowError                 a step of a return could not be done
        ├── OrderError                the shop system did not say what was bought
        ├── LabelError                a label was not bought, or nobody knows
        ├── NoticeError               the customer could not be told
        └── ReturnStateError          this act does not fit the return's step

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
    "NoticeError",
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
    """The base of every exception this package raises.

    Each can be pickled and copied: a Celery result or a pool hands it to another process.
    """

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Return how to make it again: Python's own way would call ``__init__`` with the message.

        What caused it is left behind, as it is by Python's own way.
        """
        return _again, (type(self), self.args), self.__dict__


def _again(cls: type[DispatchReturnsError], args: tuple[Any, ...]) -> DispatchReturnsError:
    """Make an error without the arguments it was first made with; its attributes come after."""
    error = cls.__new__(cls, *args)
    # Python's own class behind ours, which keeps the message.
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


class APIError(DispatchReturnsError):
    """A call to the Dispatch API did not give an answer that can be used."""

    status_code: int | None = None
    code: str | None = None
    errors: Sequence[FieldProblem] = ()
    retry_after: float | None = None
    """Seconds the server asked us to wait, where it did."""

    def __init__(
        self, message: str, *, request_id: str | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message} (request {self.request_id})" if self.request_id else self.message


class APIConnectionError(APIError):
    """No answer arrived: whether the call was carried out is unknown."""


class APITimeoutError(APIConnectionError):
    """No answer arrived in time: whether the call was carried out is unknown."""


class OutcomeUnknownError(APIError):
    """A PATCH got no answer, or a 408 or 5xx: it may have been carried out.

    The client does not send it again, because somebody may have changed the object since:
    read it, then decide. ``status_code`` is None where no answer arrived.
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
    """The API does not show yet what an event says: not this ticket at all, or an older state.

    ``missing``: it answered 404.
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
    """The server's pages do not end: a cursor repeated, or more was promised without one."""


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
    """409: it exists already, or changed meanwhile."""


class RateLimitError(APIStatusError):
    """429: too many calls; ``retry_after`` says how many seconds to wait, where known."""


class ServerError(APIStatusError):
    """5xx: the server failed; whether the call was carried out is unknown."""


class WebhookError(DispatchReturnsError):
    """A webhook delivery was refused."""


class SignatureError(WebhookError):
    """The delivery is not authentic, or not provably so."""


class ReplayError(SignatureError):
    """The delivery is authentic, and was signed too long ago or in the future.

    While this machine's clock is known to be wrong, that says nothing of the delivery.
    """


class EventError(WebhookError):
    """The delivery is authentic, and its content cannot be understood."""


class MoneyError(DispatchReturnsError, ValueError):
    """An amount that cannot be used exactly as it stands. Nothing is rounded."""


class StoreError(DispatchReturnsError):
    """The store could not do what was asked."""


class StoreUnavailableError(StoreError):
    """The store did not say that it has committed. The same call may be made again.

    Nothing was written, unless the connection to a server broke while it committed: then
    nobody knows, and every write of this package is made so that doing it again does no harm.
    """


class LeaseLostError(StoreError):
    """Another worker holds this row now: what this one found out must not overwrite it."""


class TransitionError(DispatchReturnsError):
    """A row was to make a move that its table of transitions does not have. Nothing was written.

    It names the row, the state it is in, the one it was to go to, and by what.
    """


class RefundError(DispatchReturnsError):
    """The base of what the refund path raises."""


class ErrorKind(enum.StrEnum):
    """What an adapter found out. What follows from it is the refund service's decision."""

    NOT_SENT = "not_sent"
    """The processor certainly did not get the request."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """It may have been carried out. Never to be read as a failure."""
    RATE_LIMITED = "rate_limited"
    IN_PROGRESS = "in_progress"
    """The same key is being worked on at this moment."""
    ALREADY_REFUNDED = "already_refunded"
    """Nothing is left on the payment. By whom is another question."""
    EXCEEDS_REMAINING = "exceeds_remaining"
    DISPUTED = "disputed"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    """The merchant's own balance does not cover it: nothing was carried out."""
    NOT_REFUNDABLE = "not_refundable"
    NOT_FOUND = "not_found"
    AUTH = "auth"
    CONFIG = "config"
    KEY_CONFLICT = "key_conflict"
    """This key was used before with another content."""
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
    """The processor has no way to be told this; the adapter does not imitate it."""


class RefundStateError(RefundError):
    """What was asked does not fit the state the refund is in."""


class WorkflowError(DispatchReturnsError):
    """A step of a return could not be done. ``retryable``: the same may work later."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable


class OrderError(WorkflowError):
    """The shop system did not say what was bought."""


class LabelError(WorkflowError):
    """A label was not bought. ``unknown``: it may have been, and must be looked for first."""

    def __init__(self, message: str, *, retryable: bool = False, unknown: bool = False) -> None:
        super().__init__(message, retryable=retryable)
        self.unknown = unknown


class NoticeError(WorkflowError):
    """The customer could not be told."""


class ReturnStateError(WorkflowError):
    """What was asked does not fit the step the return is at."""
