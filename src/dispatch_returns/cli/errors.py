"""The command's boundary: an error becomes one sentence and an exit code.

Only our own errors are caught. Any other is a bug of ours, and its traceback belongs in the bug
report.
"""

from __future__ import annotations

import sys

from dispatch_returns import errors
from dispatch_returns.cli.output import printable, show
from dispatch_returns.errors import ErrorKind

REFUSED = 1
USAGE = 2
CONFIGURATION = 3
UNREACHABLE = 4

# The first class that fits counts, so special ones come before general ones.
_RULES: tuple[tuple[type[errors.DispatchReturnsError], int, str], ...] = (
    (errors.ConfigurationError, CONFIGURATION, ""),
    (
        errors.AuthenticationError,
        CONFIGURATION,
        "Check DISPATCH_API_KEY, and that it belongs to DISPATCH_BASE_URL.",
    ),
    (errors.PermissionDeniedError, CONFIGURATION, "Use a key whose scope allows this."),
    (errors.RateLimitError, UNREACHABLE, "Wait a minute, then run it again."),
    (errors.OutcomeUnknownError, UNREACHABLE, "Check whether it was done, then run it again."),
    (errors.ServerError, UNREACHABLE, "Run it again later."),
    (errors.APIConnectionError, UNREACHABLE, "Check DISPATCH_BASE_URL and the network."),
    (
        errors.APIResponseError,
        UNREACHABLE,
        "Check that DISPATCH_BASE_URL is the API's address.",
    ),
    (errors.NotFoundError, REFUSED, "Check DISPATCH_WORKSPACE and DISPATCH_BASE_URL."),
    (
        errors.StoreUnavailableError,
        UNREACHABLE,
        "Check DISPATCH_RETURNS_DATABASE_URL, and run: dispatch-returns doctor.",
    ),
    (errors.LeaseLostError, REFUSED, "Run the same command again."),
    (errors.DispatchReturnsError, REFUSED, ""),
)
_ADAPTER_CODES = {
    ErrorKind.NOT_SENT: UNREACHABLE,
    ErrorKind.UNKNOWN_OUTCOME: UNREACHABLE,
    ErrorKind.RATE_LIMITED: UNREACHABLE,
    ErrorKind.AUTH: CONFIGURATION,
    ErrorKind.CONFIG: CONFIGURATION,
}


def explain(error: errors.DispatchReturnsError) -> tuple[int, str]:
    """Return the exit code for `error`, and its message with what to do next."""
    _, code, remedy = next(rule for rule in _RULES if isinstance(error, rule[0]))
    if isinstance(error, errors.AdapterError):
        code = _ADAPTER_CODES.get(error.kind, REFUSED)
    if isinstance(error, errors.WorkflowError) and error.retryable:
        code = UNREACHABLE
    text = str(error)
    if not remedy:
        return code, text
    return code, f"{text}{'' if text.endswith('.') else '.'} {remedy}"


def fail(kind: str, message: str, *, as_json: bool) -> None:
    """Print an error: a sentence on stderr, or with ``--json`` a document on stdout.

    So a program that reads stdout always finds exactly one document there.
    """
    if as_json:
        show({"error": {"type": kind, "message": message}}, as_json=True)
    else:
        sys.stderr.write(f"Error: {printable(message)}\n")
