"""Whether it runs, can commit, and keeps up: for load balancers, orchestrators and alarms.

Says numbers and words of ours only: no id, no secret, nothing of a customer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from dispatch_returns.clock import never_wrong
from dispatch_returns.errors import StoreError
from dispatch_returns.refunds import ledger
from dispatch_returns.store import Store, heartbeats, inbox, migrate, outbox
from dispatch_returns.store.schema import REVISION
from dispatch_returns.store.switches import Switch
from dispatch_returns.webhooks.http import MAX_LAG, PROBES, Answer

NO_WORKER_AFTER = timedelta(minutes=5)
"""A worker records once a minute that it runs."""

_REFUSED = ("AdapterError:", "AuthenticationError:", "PermissionDeniedError:")
"""How events fail whose processor can't be asked, or whose key is refused."""

_DOCTOR = "dispatch-returns doctor"
_JSON = ("content-type", "application/json")
_NO_STORE = ("cache-control", "no-store")


@dataclass(frozen=True, slots=True)
class Report:
    """What a probe found: ``ok``, and a document for JSON that says why or why not."""

    ok: bool
    document: dict[str, Any]


class Health:
    """The three probes of one service. Safe to ask from many threads."""

    def __init__(
        self,
        store: Store,
        stopped_by: Callable[[], frozenset[str]],
        clock: Callable[[], datetime],
        clock_wrong_by: Callable[[], timedelta | None] = never_wrong,
        differing_setting: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`differing_setting` names the one that does not fit what the store belongs to."""
        self._store = store
        self._stopped_by = stopped_by
        self._clock = clock
        self._clock_wrong_by = clock_wrong_by
        self._differing_setting = differing_setting

    def live(self) -> Report:
        """Say that this process answers. Asks nothing else: a restart mends no database."""
        return Report(True, {"status": "live"})

    def ready(self) -> Report:
        """Commit to the inbox, and look whether this version works with the store's schema, and
        whether a worker runs where events wait.

        The schema may be a newer version's already, as in the midst of a rolling deployment.
        """
        if (wrong := self._wrong_clock()) is not None:
            return wrong
        try:
            self._store.check_writable()
            with self._store.read() as conn:
                found = migrate.revision(conn)
                problem = migrate.mismatch(conn, found)
                if problem is None:
                    problem = self._no_worker(heartbeats.last(conn), inbox.oldest_waiting(conn))
        except StoreError:  # its words may name a host, and a probe is not always private
            return Report(False, {"status": "not ready", "problem": "the store cannot commit"})
        if problem is not None:
            return Report(False, {"status": "not ready", "problem": problem})
        return Report(True, {"status": "ready", "schema": found, "this_version": REVISION})

    def _no_worker(self, last: datetime | None, oldest: datetime | None) -> str | None:
        if oldest is None or (waits := missed(last, oldest, self._clock())) is None:
            return None
        minutes = int(waits.total_seconds() // 60)
        return f"events wait, and no worker has run for {minutes} minutes. Run: {_DOCTOR}"

    def lag(self, max_lag: float = MAX_LAG) -> Report:
        """Say how long the oldest event and the oldest call of a handler of the merchant's wait
        (seconds), and count the refunds by state.

        Not ok when one waits longer than `max_lag` seconds, when a handler runs over its limit,
        or the store cannot be read; where events of another workspace wait here, and where the
        store is another installation's. And where work has failed for longer than `max_lag` because
        its adapter isn't set, or the processor or the API can't be asked (a revoked key, say).
        """
        if (wrong := self._wrong_clock()) is not None:
            return wrong
        try:
            with self._store.read() as conn:
                oldest = inbox.oldest_waiting(conn)
                strangers = inbox.strangers(conn)
                refunds = ledger.count_by_state(conn)
                handlers = outbox.handlers_waiting(conn)
                aside = inbox.count_set_aside(conn)
                undelivered = outbox.count_undelivered(conn)
                problem = self._failing(conn, self._clock() - timedelta(seconds=max_lag))
            stopped = self._stopped_by()
        except StoreError:
            return Report(False, {"status": "unknown", "problem": "the store cannot be read"})
        age = self._age(oldest)
        handler_age = self._age(handlers.oldest)
        late = age > max_lag or handler_age > max_lag or bool(handlers.overdue)
        problem = self._problem(strangers) or problem
        document: dict[str, Any] = {
            "status": "late" if late else "stopped" if problem else "ok",
            "oldest_event_seconds": round(age, 3),
            "oldest_handler_seconds": round(handler_age, 3),
            "handlers_over_limit": handlers.overdue,
            "max_lag_seconds": max_lag,
            "refunds": refunds,
            "held": refunds.get("held", 0),
            "events_set_aside": aside,
            "messages_undelivered": undelivered,
            "kill_switch": Switch.KILL in stopped,
            "dry_run": Switch.DRY_RUN in stopped,
            "events_of_other_workspaces": strangers,
            "restored": Switch.RESTORED in stopped,
        }
        if problem is not None:
            document["problem"] = problem
        return Report(not late and problem is None, document)

    def _problem(self, strangers: int) -> str | None:
        setting = self._differing_setting()
        if setting is not None:
            return f"the store is not that of {setting}: nothing is paid. Run: {_DOCTOR}"
        if strangers:
            return f"events of a workspace that is none of ours are left alone. Run: {_DOCTOR}"
        return None

    def _failing(self, conn: Connection, before: datetime) -> str | None:
        others, ours = ledger.failing(conn, before)
        if others:
            return (
                f"{others} refunds wait for an adapter that is not set: run a worker with the"
                f" adapter they began with (DISPATCH_RETURNS_ADAPTER). Run: {_DOCTOR}"
            )
        events = inbox.failing(conn, before, *_REFUSED)
        if ours or events:
            return (
                f"{ours} refunds and {events} events wait, because the payment processor or the API"
                f" can't be asked: check the network and that no key was revoked. Run: {_DOCTOR}"
            )
        return None

    def _wrong_clock(self) -> Report | None:
        ahead = self._clock_wrong_by()
        if ahead is None:
            return None
        seconds = round(ahead.total_seconds())
        problem = "this machine's clock is wrong, so deliveries are not taken: set it (NTP)"
        document = {"status": "wrong clock", "problem": problem, "clock_ahead_seconds": seconds}
        return Report(False, document)

    def _age(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self._clock() - since).total_seconds())

    def answer(self, method: str, path: str, max_lag: float = MAX_LAG) -> Answer:
        """Return the answer to a request: the end of `path` says which probe is meant.

        200 or 503; 404 for another path, 405 unless it is a GET or a HEAD.
        """
        probe = path.rstrip("/").rpartition("/")[2]
        if probe not in PROBES:
            return _answer(404, {"status": "not found", "probes": PROBES})
        if method not in {"GET", "HEAD"}:
            return _answer(405, {"status": "method not allowed"}, ("allow", "GET, HEAD"))
        report = self.lag(max_lag) if probe == "lag" else getattr(self, probe)()
        return _answer(200 if report.ok else 503, report.document)


def missed(last: datetime | None, oldest: datetime, now: datetime) -> timedelta | None:
    """Return for how long no worker has run, None where one may run.

    `last` is the last heartbeat, `oldest` when the event was received that waits longest: where
    there was never a heartbeat, it is counted from there.
    """
    since = oldest if last is None else last
    longest = min(now - since, now - oldest)
    return now - since if longest > NO_WORKER_AFTER else None


def _answer(status: int, document: dict[str, Any], *headers: tuple[str, str]) -> Answer:
    return Answer(status, json.dumps(document).encode(), (_JSON, _NO_STORE, *headers))
