"""The tree of exceptions is the one its docstring draws, and no class stands outside it."""

from __future__ import annotations

import inspect
import re

import pytest

from dispatch_returns import errors
from dispatch_returns.errors import (
    APIConnectionError,
    APIStatusError,
    DispatchReturnsError,
    InvalidArgumentError,
    MissingExtraError,
)

LINE = re.compile(r"^(?P<indent>[ │├└─]*)(?P<name>\w+Error)\b")


def drawn() -> dict[str, str]:
    """Each class's parent, as the docstring draws it; '' for the root."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := LINE.match(line.removeprefix("    ")):
            depth = len(match["indent"]) // 4
            del above[depth:]
            parents[match["name"]] = above[-1] if above else ""
            above.append(match["name"])
    return parents


def defined() -> dict[str, str]:
    """Each class's first parent in this tree, as Python has it."""
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    ours = [c for c in classes if issubclass(c, Exception) and c.__module__ == errors.__name__]
    return {c.__name__: "" if c is DispatchReturnsError else c.__bases__[0].__name__ for c in ours}


def test_the_docstring_draws_the_tree_of_classes() -> None:
    assert drawn() == defined()
    assert len(drawn()) > 20


def test_a_bad_argument_is_named_and_is_a_value_error() -> None:
    error = InvalidArgumentError("workspace", "has a slash")
    assert (error.argument, str(error)) == ("workspace", "workspace: has a slash")
    assert isinstance(error, ValueError)


def test_a_missing_extra_says_what_installs_it_and_is_an_import_error() -> None:
    error = MissingExtraError("stripe", "StripeAdapter")
    assert error.extra == "stripe"
    assert isinstance(error, ImportError)
    assert str(error) == (
        'StripeAdapter needs the extra "stripe": pip install "dispatch-returns[stripe]"'
    )


@pytest.mark.parametrize(("request_id", "shown"), [(None, "no"), ("req_1", "no (request req_1)")])
def test_an_api_error_shows_its_request_id_where_there_is_one(
    request_id: str | None, shown: str
) -> None:
    error = APIStatusError("no", status_code=400, request_id=request_id)
    assert str(error) == shown
    assert (error.retryable, error.code, error.errors, error.retry_after) == (False, None, (), None)


def test_an_error_without_an_answer_has_no_status() -> None:
    error = APIConnectionError("gone", retryable=True)
    assert (error.status_code, error.errors, error.retryable) == (None, (), True)
