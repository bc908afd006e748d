"""One request and its answer, without a server: authentication, idempotency, faults, work.

The order is Stripe's: key of the account, rate limit, idempotency key, parameters, and only then
the work. What fails before the work leaves no trace under the idempotency key.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from dispatch_sandbox.stripe.call import StripeCall
from dispatch_sandbox.stripe.endpoints import ENDPOINTS, StripeEndpoint, find_endpoint
from dispatch_sandbox.stripe.faults import Fault, FaultKind, Subject
from dispatch_sandbox.stripe.forms import Node, Pairs, nest, parse_pairs
from dispatch_sandbox.stripe.keys import MAX_LENGTH, KeyEntry, key_in_use
from dispatch_sandbox.stripe.params import read
from dispatch_sandbox.stripe.problems import StripeRequestError, invalid, refusal
from dispatch_sandbox.stripe.state import PLATFORM, RequestRecord, StripeState, new_request_id

API_KEY = "sk_test_sandbox_stripe"
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9_]{1,64}")
_BASIC = "basic"


@dataclass(frozen=True, slots=True)
class StripeRequest:
    """A request. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: bytes = b""
    body: bytes = b""
    request_id: str = field(default_factory=new_request_id)

    @property
    def key(self) -> str | None:
        """The idempotency key, which only a POST has."""
        return self.headers.get("idempotency-key") or None if self.method == "POST" else None

    def pairs(self) -> Pairs:
        """Return the parameters, those of the address first."""
        return parse_pairs(self.query) + (parse_pairs(self.body) if self.method == "POST" else [])


@dataclass(frozen=True, slots=True)
class StripeAnswer:
    """An answer; ``lost`` means that the connection is cut instead."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    replayed: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True)
class _Job:
    """A request that was authenticated."""

    state: StripeState
    request: StripeRequest
    account: str
    endpoint: StripeEndpoint
    object_id: str
    form: dict[str, Node]
    subject: Subject | None

    def fault(self, *kinds: FaultKind) -> Fault | None:
        """Take the next fault of these kinds that applies to this request."""
        return self.state.faults.take(self.subject, *kinds) if self.subject else None

    def call(self) -> StripeCall:
        """Return the call; raises for parameters that are not well-formed."""
        params = read(self.form, self.endpoint.params, self.endpoint.required)
        outcome = None
        if self.endpoint is ENDPOINTS["POST /v1/refunds"]:
            outcome = self.fault("fail_later", "pending_then_succeed")
        return StripeCall(self.state, self.account, params, self.object_id, outcome)


async def answer(state: StripeState, request: StripeRequest) -> StripeAnswer:
    """Answer a request as Stripe would, or as a fault demands; record it in the state's log."""
    account = PLATFORM
    try:
        account = _authenticate(request.headers)
        given = await _answer(state, account, request)
    except StripeRequestError as problem:
        headers: list[tuple[str, str]] = []
        if problem.retry is not None:
            headers.append(("stripe-should-retry", str(problem.retry).lower()))
        if problem.retry_after is not None:
            headers.append(("retry-after", f"{problem.retry_after:g}"))
        given = StripeAnswer(problem.status, _json(problem.body()), tuple(headers))
    state.record(
        RequestRecord(
            request.method,
            request.path,
            account,
            request.key,
            0 if given.lost else given.status,
            given.replayed,
            request.request_id,
        )
    )
    return given


async def _answer(state: StripeState, account: str, request: StripeRequest) -> StripeAnswer:
    name, object_id = find_endpoint(request.method, request.path)
    pairs = request.pairs()
    form = nest(pairs)
    with state.lock:
        state.settle()
        subject = None
        if state.faults.armed:
            subject = Subject.of(state.book(account), name, form, object_id)
    job = _Job(state, request, account, ENDPOINTS[name], object_id, form, subject)
    limited = job.fault("rate_limit_429")
    if limited is not None:
        raise StripeRequestError(
            429,
            "Request rate limit exceeded.",
            code="rate_limit",
            retry_after=limited.retry_after,
        )
    if request.key is None:
        return await _work(job, job.call(), None)
    fingerprint = hashlib.sha256(f"{request.path}?{urlencode(sorted(pairs))}".encode()).hexdigest()
    if len(request.key) > MAX_LENGTH:
        raise invalid(f"Idempotency keys can be up to {MAX_LENGTH} characters long.")
    if job.fault("conflict_409"):
        raise key_in_use(request.key)
    keys = state.keys
    with state.lock:
        known = keys.look_up(account, request.key, fingerprint, state.now())
        if known is not None:
            headers = (*_kept_headers(request.key, known), ("idempotent-replayed", "true"))
            lost = job.fault("lost_response") is not None
            return StripeAnswer(known.status, known.body, headers, replayed=True, lost=lost)
        call = job.call()
        entry = keys.reserve(account, request.key, fingerprint, request.request_id, state.now())
    try:
        return await _work(job, call, entry)
    finally:
        with state.lock:
            keys.release(account, request.key, entry)


async def _work(job: _Job, call: StripeCall, entry: KeyEntry | None) -> StripeAnswer:
    """Do the work, with the delays and errors that the faults demand."""
    slow = job.fault("slow")
    ending = job.fault("lost_response", "stored_500", "refused")
    if slow is not None and slow.when == "before":
        await asyncio.sleep(slow.seconds)
    with job.state.lock:
        status, body = _act(job.endpoint, call, ending)
        if entry is not None:
            entry.status, entry.body = status, body
    if slow is not None and slow.when == "after":
        await asyncio.sleep(slow.seconds)
    headers = _kept_headers(job.request.key or "", entry) if entry else ()
    lost = ending is not None and ending.kind == "lost_response"
    return StripeAnswer(status, body, headers, lost=lost)


def _act(endpoint: StripeEndpoint, call: StripeCall, ending: Fault | None) -> tuple[int, bytes]:
    if ending is not None and ending.kind == "refused":
        refused = refusal(ending.refusal)
        return refused.status, _json(refused.body())
    if ending is None or ending.kind != "stored_500":
        return _attempt(endpoint, call)
    if ending.acted:
        _attempt(endpoint, call)
    return 500, _json(StripeRequestError(500, "An unknown error occurred", kind="api_error").body())


def _attempt(endpoint: StripeEndpoint, call: StripeCall) -> tuple[int, bytes]:
    try:
        return 200, _json(endpoint.answer(call))
    except StripeRequestError as problem:
        return problem.status, _json(problem.body())


def _kept_headers(key: str, entry: KeyEntry) -> tuple[tuple[str, str], ...]:
    # The kept answer would only be repeated, so a retry is pointless.
    return (
        ("idempotency-key", key),
        ("original-request", entry.request_id),
        ("stripe-should-retry", "false"),
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _authenticate(headers: Mapping[str, str]) -> str:
    """Return the account a request acts for; raise if it lacks the sandbox's key."""
    key = _api_key(headers.get("authorization", ""))
    if not key:
        raise StripeRequestError(
            401,
            "You did not provide an API key. You need to provide your API key in the "
            "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
            "YOUR_SECRET_KEY').",
        )
    if key != API_KEY:
        raise StripeRequestError(401, f"Invalid API Key provided: {key[:8]}********")
    account = headers.get("stripe-account", PLATFORM)
    if not _ACCOUNT.fullmatch(account):
        raise StripeRequestError(
            403,
            "The provided key does not have access to this account (or that account does not "
            "exist).",
            code="account_invalid",
        )
    return account


def _api_key(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != _BASIC:
        return value.strip() if scheme.lower() == "bearer" else ""
    try:
        return base64.b64decode(value).decode("utf-8", "replace").partition(":")[0]
    except ValueError:  # not Base64, or not even ASCII
        return ""
