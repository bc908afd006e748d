"""The tree of exceptions is the one its docstring draws, and no class stands outside it."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns import errors
from dispatch_returns.client import DispatchClient
from dispatch_returns.errors import (
    AdapterError,
    APIConnectionError,
    APIError,
    APIStatusError,
    AuthenticationError,
    DispatchReturnsError,
    ErrorKind,
    FieldProblem,
    InvalidArgumentError,
    LabelError,
    MissingExtraError,
    OutcomeUnknownError,
    WorkflowError,
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


def ours() -> list[type[Exception]]:
    """Every class of exception that is defined there."""
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    return [c for c in classes if issubclass(c, Exception) and c.__module__ == errors.__name__]


def defined() -> dict[str, str]:
    """Each class's first parent in this tree, as Python has it."""
    return {
        c.__name__: "" if c is DispatchReturnsError else c.__bases__[0].__name__ for c in ours()
    }


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


# To another process and back: a Celery result, a pool's worker.


STATUS = {
    "status_code": 429,
    "code": "slow_down",
    "errors": [FieldProblem("subject", "is empty")],
    "request_id": "req_1",
    "retryable": True,
    "retry_after": 2.5,
}
ARGUMENTS: list[tuple[type[Exception], tuple[Any, ...], dict[str, Any]]] = [
    (InvalidArgumentError, ("workspace", "has a slash"), {}),
    (MissingExtraError, ("stripe", "StripeAdapter"), {}),
    (APIStatusError, ("no",), STATUS),
    (OutcomeUnknownError, ("no",), {"request_id": "req_1", "status_code": 502}),
    (APIError, ("no",), {"request_id": "req_1", "retryable": True}),
    (AdapterError, (ErrorKind.DISPUTED, "no"), {"code": "c", "retry_after": 2.5}),
    (LabelError, ("no",), {"retryable": True, "unknown": True}),
    (WorkflowError, ("no",), {"retryable": True}),
    (DispatchReturnsError, ("no",), {}),
]


def made(cls: type[Exception]) -> Exception:
    """An error of `cls` with everything that it can say."""
    given, named = next(it[1:] for it in ARGUMENTS if issubclass(cls, it[0]))
    return cls(*given, **named)


def said(error: BaseException) -> tuple[object, ...]:
    """Everything that an error says, by its attributes and in words."""
    names = sorted(name for name in dir(error) if not name.startswith("_"))
    values = {name: getattr(error, name) for name in names}
    shown = {name: it for name, it in values.items() if not callable(it)}
    return type(error), error.args, str(error), repr(error), shown


def pickled(error: BaseException) -> BaseException:
    found = pickle.loads(pickle.dumps(error))
    assert isinstance(found, BaseException)
    return found


@pytest.mark.parametrize("carry", [pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("cls", ours())
def test_an_error_says_the_same_in_another_process(
    cls: type[Exception], carry: Callable[[BaseException], BaseException]
) -> None:
    error = made(cls)
    error.add_note("seen at night")
    carried = carry(error)
    assert carried is not error
    assert said(carried) == said(error)
    assert carried.__notes__ == ["seen at night"]


class _AcmeError(AdapterError):
    """An adapter author's own, with an argument of its own."""

    def __init__(self, shop: str) -> None:
        super().__init__(ErrorKind.CONFIG, f"{shop} is closed")
        self.shop = shop


def test_an_error_of_somebody_elses_is_carried_as_ours_are() -> None:
    assert said(pickled(_AcmeError("acme"))) == said(_AcmeError("acme"))


def _fail() -> None:
    raise made(AuthenticationError)


def test_a_process_of_a_pool_hands_its_error_back() -> None:
    spawned = multiprocessing.get_context("spawn")
    with spawned.Pool(1) as pool, pytest.raises(AuthenticationError) as caught:
        pool.apply_async(_fail).get(60)
    assert said(caught.value) == said(made(AuthenticationError))


def test_what_is_carried_holds_no_key() -> None:
    key = "sk_live_of_somebody_else"
    with (
        dispatch_sandbox.running() as box,
        DispatchClient(key, dispatch_sandbox.WORKSPACE, base_url=box.api_url) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        client.tickets.get("tkt_1")
    assert key.encode() not in pickle.dumps(caught.value)
    assert said(pickled(caught.value)) == said(caught.value)


def test_an_api_error_says_which_field_is_wrong_and_why() -> None:
    problems = [
        FieldProblem("status", "is not one of this workspace"),
        FieldProblem("", "too long"),
    ]
    error = APIStatusError("said no", status_code=400, errors=problems, request_id="req_1")
    assert str(error) == "said no: status: is not one of this workspace; too long (request req_1)"
