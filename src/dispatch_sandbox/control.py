"""The control API under ``/_sandbox``: faults, counts, a fresh start, one delivery again.

It is no part of Dispatch. Bodies and answers are JSON; there is no key, only callers on this
machine are let in.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Problem, Refusal, invalid, not_found
from dispatch_sandbox.faults import ACTIONS, FaultRule
from dispatch_sandbox.naming import BRANDS
from dispatch_sandbox.state import SandboxState
from dispatch_sandbox.wire import Record, dumps, loads

_LONGEST = 3600


def routes(state: SandboxState) -> list[Route]:
    """Return the routes of the control API."""
    control = _Control(state)
    return [
        Route("/_sandbox/state", control.summary),
        Route("/_sandbox/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/magic-links", control.magic_links),
        Route("/_sandbox/reset", control.reset, methods=["POST"]),
        Route("/_sandbox/redeliver", control.redeliver, methods=["POST"]),
    ]


class _Control:
    def __init__(self, state: SandboxState) -> None:
        self._state = state

    async def summary(self, _: Request) -> Response:
        """Count what is there."""
        return _json(self._state.summary())

    async def faults(self, request: Request) -> Response:
        """List the rules, add one or a list of them, or forget all."""
        if request.method == "DELETE":
            self._state.faults.clear()
            return Response(status_code=204)
        if request.method == "GET":
            return _json([rule.as_record() for rule in self._state.faults.rules()])
        try:
            rules = read_rules(await _body(request))
        except Refusal as refusal:
            return _refused(refusal)
        return _json([self._state.faults.add(rule).as_record() for rule in rules], 201)

    async def magic_links(self, _: Request) -> Response:
        """List the links that customers would have by e-mail, and have not used."""
        return _json(list(self._state.magic_links.values()))

    async def reset(self, _: Request) -> Response:
        """Go back to a new sandbox."""
        self._state.reset()
        return Response(status_code=204)

    async def redeliver(self, request: Request) -> Response:
        """Deliver an event once more; answers the new delivery."""
        try:
            body = await _body(request)
            wanted = checks.accept(_object(body), {"delivery_id": checks.text}, ("delivery_id",))
            delivery = self._state.deliveries.redeliver(wanted["delivery_id"])
            if delivery is None:
                raise not_found("Delivery")
        except Refusal as refusal:
            return _refused(refusal)
        return _json(delivery, 202)


def read_rules(value: Any) -> list[FaultRule]:
    """Read one rule or a list of them; raise a 400 that names what is wrong."""
    if isinstance(value, list):
        return [_read_rule(_object(item)) for item in cast("Iterable[Any]", value)]
    return [_read_rule(_object(value))]


def _read_rule(values: Record) -> FaultRule:
    unknown = [name for name in values if name not in _CHECKS]
    if unknown:
        raise invalid(*(Problem(name, "is not known") for name in unknown))
    fields = checks.accept(values, _CHECKS, ("scope", "action"))
    if "seconds" in fields:
        fields["seconds"] = float(fields["seconds"])
    try:
        return FaultRule(**fields)
    except InvalidArgumentError as error:
        raise invalid(Problem(error.argument, str(error))) from None


@checks.check(type="number", minimum=0, maximum=_LONGEST)
def _seconds(value: Any) -> str | None:
    number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    return None if number and 0 <= value <= _LONGEST else f"must be from 0 to {_LONGEST}"


@checks.check(type="integer", minimum=1)
def _times(value: Any) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return None if whole else "must be a whole number above 0, or null for always"


@checks.check(type="integer", minimum=400, maximum=599)
def _status(value: Any) -> str | None:
    known = isinstance(value, int) and 400 <= value <= 599
    return None if known else "must be a status from 400 to 599"


@checks.check(type="object", additionalProperties={"type": "string"})
def _patterns(value: Any) -> str | None:
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):  # pyright: ignore[reportUnknownVariableType]
        return None
    return "must be an object of patterns"


_CHECKS = {
    "scope": checks.one_of(*ACTIONS),
    "action": checks.text,
    "times": checks.nullable(_times),
    "match": _patterns,
    "status": _status,
    "seconds": _seconds,
}


async def _body(request: Request) -> Any:
    try:
        return loads(await request.body())
    except ValueError:
        raise Refusal(400, "malformed_json", "The body is not valid JSON") from None


def _object(value: Any) -> Record:
    if not isinstance(value, dict):
        raise Refusal(400, "malformed_json", "The body is not a JSON object")
    return cast("Record", value)


def _json(content: object, status: int = 200) -> Response:
    return Response(dumps(content), status, media_type="application/json")


def _refused(refusal: Refusal) -> Response:
    return _json(refusal.body(BRANDS), refusal.status)
