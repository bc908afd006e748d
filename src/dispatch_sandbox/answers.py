"""What a handler returns: a reply, or a refusal with the API's documented error body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http.client import responses

from dispatch_sandbox.naming import Style
from dispatch_sandbox.wire import Record

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """An object, a bare array, or (with ``pagination``) a page of objects."""

    data: Record | list[Record] | None
    pagination: Record | None = None


NO_CONTENT = Reply(None)


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that was not accepted, under our name for it."""

    field: str
    message: str


class Refusal(Exception):  # noqa: N818 - an answer, not our failure
    """The call is answered with an error; nothing has been changed."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        problems: Sequence[Problem] = (),
        *,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.problems = tuple(problems)
        self.headers = headers

    def body(self, style: Style) -> Record:
        """Write ``{message, error, errors, code}`` with the field names of ``style``."""
        return {
            "message": self.message,
            "error": responses.get(self.status, "Error"),
            "errors": [
                {"field": style.spell(problem.field), "message": problem.message}
                for problem in self.problems
            ],
            "code": self.code,
        }


def invalid(*problems: Problem) -> Refusal:
    """Refuse fields: 400 with one entry in ``errors`` for each."""
    return Refusal(400, "validation_error", "Validation failed", problems)


def not_found(what: str) -> Refusal:
    """Refuse: 404, no such object here."""
    return Refusal(404, "not_found", f"{what} not found")


def conflict(message: str) -> Refusal:
    """Refuse: 409."""
    return Refusal(409, "conflict", message)
