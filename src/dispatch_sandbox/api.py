"""The Dispatch API without I/O: from a request to an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl

from dispatch_sandbox.answers import Headers, Problem, Refusal, Reply, conflict, invalid, not_found
from dispatch_sandbox.endpoints import AccountCall, Call, Endpoint, Routes, sees
from dispatch_sandbox.naming import Style
from dispatch_sandbox.openapi import MAX_KEY
from dispatch_sandbox.resources import (
    ACCOUNT_ENDPOINTS,
    ENDPOINTS,
    OPEN_ENDPOINTS,
    PORTAL_ENDPOINTS,
    ROOT_ENDPOINTS,
    accounts,
    portal,
)
from dispatch_sandbox.state import SandboxState
from dispatch_sandbox.wire import Record, dumps, loads

_ROUTES = Routes(ENDPOINTS)
_ROOT = Routes(ROOT_ENDPOINTS)
_ACCOUNT = Routes(ACCOUNT_ENDPOINTS)
_OPEN = Routes(OPEN_ENDPOINTS)
_PORTAL = Routes(PORTAL_ENDPOINTS)
_NEEDS_NO_KEY = frozenset(endpoint.path for endpoint in OPEN_ENDPOINTS)


@dataclass(frozen=True, slots=True)
class Request:
    """What the API looks at; ``below`` is the part of the path behind ``/v1/<word>/``."""

    method: str
    path: str
    below: str
    query: str = ""
    authorization: str = ""
    idempotency_key: str = ""
    body: bytes = b""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer, sent ``delay`` seconds after the call was carried out."""

    status: int
    body: bytes
    headers: Headers = ()
    delay: float = 0.0


class DispatchApi:
    """One style of the API over one state: what is below ``/v1/<style>``."""

    def __init__(self, state: SandboxState, style: Style) -> None:
        self._state = state
        self._style = style

    def answer(self, request: Request) -> Answer:
        """Carry out a call: rate limit and faults first, then key, path, body and work."""
        allowance = self._state.rate_limit.take()
        headers = (
            (b"x-ratelimit-limit", b"%d" % allowance.limit),
            (b"x-ratelimit-remaining", b"%d" % allowance.remaining),
            (b"x-ratelimit-reset", b"%d" % allowance.reset),
        )
        try:
            if allowance.exceeded:
                raise _too_many(allowance.wait)
            delay = self._suffer(request)
            status, body = self._carry_out(request)
        except Refusal as refusal:
            return self.refuse(refusal, headers)
        return Answer(status, body, headers, delay)

    def refuse(self, refusal: Refusal, headers: Headers = ()) -> Answer:
        """Write a refusal in this style."""
        body = dumps(refusal.body(self._style))
        return Answer(refusal.status, body, headers + refusal.headers)

    def _suffer(self, request: Request) -> float:
        """Return the seconds by which a fault delays the answer, or raise its refusal."""
        rule = self._state.faults.take("api", method=request.method, path=request.path)
        if rule is None:
            return 0.0
        if rule.action == "slow":
            return rule.seconds
        retry_after = ((b"retry-after", b"%d" % rule.seconds),) if rule.seconds else ()
        raise Refusal(rule.status, "fault", "A fault rule of the sandbox", headers=retry_after)

    def _carry_out(self, request: Request) -> tuple[int, bytes]:
        key = self._key(request)
        workspace_id, _, path = request.below.partition("/")
        if not request.below:
            endpoint, ids = _ROOT.find(request.method, "")
            if request.method != "GET":
                accounts.holder(key)
            make: Callable[..., AccountCall] = AccountCall
            return self._work(request, partial(make, word=self._style.word, key=key), endpoint, ids)
        workspace = self._state.workspaces.get(workspace_id)
        if workspace is None:
            raise not_found("Workspace")
        if not sees(key, workspace_id):
            raise Refusal(403, "forbidden", "This key is not for this workspace")
        endpoint, ids = _ROUTES.find(request.method, path)
        return self._work(request, partial(Call, workspace=workspace, key=key), endpoint, ids)

    def _key(self, request: Request) -> Record | None:
        """Return the key's record, or None for the sandbox's own. Raises a 401 without a key."""
        given = request.authorization
        if given == f"Bearer {self._state.api_key}":
            return None
        for record in list(self._state.api_keys.values()):
            if given == f"Bearer {record['key']}":
                record["lastUsedAt"] = self._state.now()
                return record
        raise Refusal(401, "unauthorized", "Invalid API key")

    def _work(
        self,
        request: Request,
        make: Callable[..., AccountCall],
        endpoint: Endpoint,
        ids: list[str],
        who: str = "",
    ) -> tuple[int, bytes]:
        query: dict[str, str] = {}
        for wire_name, value in parse_qsl(request.query, keep_blank_values=True):
            name = self._style.name(wire_name)
            if name is not None:
                query[name] = f"{query[name]},{value}" if name in query else value
        call = make(
            state=self._state,
            query=query,
            body=self._style.read(_read_object(request.body)),
            origin=request.origin,
            form=endpoint.takes,
        )

        def work() -> tuple[int, bytes]:
            return self._render(endpoint.handler(call, *ids), endpoint.status)

        with self._state.transaction():
            once = request.method == "POST" and request.idempotency_key
            return self._once(request, who, work) if once else work()

    def _once(
        self, request: Request, who: str, work: Callable[[], tuple[int, bytes]]
    ) -> tuple[int, bytes]:
        """Do the work once for a key and its path. A refusal is not kept."""
        key = request.idempotency_key
        if len(key) > MAX_KEY:
            raise invalid(Problem("X-Idempotency-Key", f"must have at most {MAX_KEY} characters"))
        replay_id = f"{request.path} {who}{key}"
        digest = hashlib.sha256(request.body).hexdigest()
        known = self._state.replays.get(replay_id)
        if known is None:
            status, body = work()
            kept = {"id": replay_id, "digest": digest, "status": status, "body": body.decode()}
            self._state.keep_replay(kept)
            return status, body
        if known["digest"] != digest:
            raise conflict("This idempotency key was used with another body")
        return known["status"], known["body"].encode()

    def _render(self, reply: Reply, status: int) -> tuple[int, bytes]:
        write = self._style.write
        data: Any = reply.data
        if data is None:
            return 204, b""
        if isinstance(data, dict):
            return status, dumps(write(cast("Record", data)))
        data = [write(record) for record in data]
        if reply.pagination is not None:
            data = {"data": data, "pagination": reply.pagination}
        return status, dumps(data)


class AccountApi(DispatchApi):
    """What is below ``/v1/accounts``."""

    def _carry_out(self, request: Request) -> tuple[int, bytes]:
        key = self._key(request)
        accounts.holder(key)
        endpoint, ids = _ACCOUNT.find(request.method, f"accounts/{request.below}")
        return self._work(request, partial(AccountCall, key=key), endpoint, ids)


class PortalApi(DispatchApi):
    """What is below ``/v1/portal``, for a customer with a portal token."""

    def _carry_out(self, request: Request) -> tuple[int, bytes]:
        path = f"portal/{request.below}"
        if path in _NEEDS_NO_KEY:
            endpoint, ids = _OPEN.find(request.method, path)
            return self._work(request, AccountCall, endpoint, ids)
        workspace, customer_id = portal.claimed(self._state, request.authorization)
        endpoint, ids = _PORTAL.find(request.method, path)
        make = partial(Call, workspace=workspace, customer_id=customer_id)
        return self._work(request, make, endpoint, ids, who=f"{customer_id} ")


def _too_many(wait: int) -> Refusal:
    headers = ((b"retry-after", b"%d" % wait),)
    return Refusal(429, "rate_limited", "Too many requests", headers=headers)


def _read_object(body: bytes) -> Record:
    # Some calls have a JSON content type and no body at all.
    if not body:
        return {}
    try:
        value = loads(body)
    except ValueError:
        raise Refusal(400, "malformed_json", "The body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Refusal(400, "malformed_json", "The body is not a JSON object")
    return cast("Record", value)
