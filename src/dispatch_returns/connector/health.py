"""Whether the service runs, can commit and keeps up: for load balancers, orchestrators, alarms.

Answers contain only our own texts and numbers: no id, no secret, no customer's data.
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
from dispatch_returns.store import Store, heartbeats, inbox, migrate, outbox, switches
from dispatch_returns.store.schema import REVISION
from dispatch_returns.store.switches import Switch
from dispatch_returns.webhooks.http import MAX_LAG, PROBES, Answer

NO_WORKER_AFTER = timedelta(minutes=5)
"""A worker records once a minute that it runs."""

_REFUSED = ("AdapterError:", "AuthenticationError:", "PermissionDeniedError:")
"""How an event's error starts if the processor can't be reached, or a key is refused."""

_DOCTOR = "dispatch-returns doctor"
_JSON = ("content-type", "application/json")
_NO_STORE = ("cache-control", "no-store")


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a probe found: ``ok``, and the reasons as a JSON document."""

    ok: bool
    document: dict[str, Any]


class Health:
    """The three probes of one service. Safe to call from many threads."""

    def __init__(
        self,
        store: Store,
        stopped_by: Callable[[], frozenset[str]],
        clock: Callable[[], datetime],
        clock_wrong_by: Callable[[], timedelta | None] = never_wrong,
        differing_setting: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`differing_setting` names the setting that does not match what the store belongs to."""
        self._store = store
        self._stopped_by = stopped_by
        self._clock = clock
        self._clock_wrong_by = clock_wrong_by
        self._differing_setting = differing_setting

    def live(self) -> ProbeReport:
        """Report that this process answers. Nothing more: a restart would not fix a database."""
        return ProbeReport(True, {"status": "live"})

    def ready(self) -> ProbeReport:
        """Check that a commit works, that this version works with the store's schema, and that a
        worker runs if events wait.

        The schema may already be a newer version's, during a rolling deployment.
        """
        if (wrong := self._wrong_clock()) is not None:
            return wrong
        try:
            self._store.check_writable()
            with self._store.read() as conn:
                found = migrate.revision(conn)
                problem = migrate.mismatch(conn, found)
                if problem is None:
                    last, oldest = heartbeats.last(conn), inbox.oldest_waiting(conn)
                    absence = None if oldest is None else missed(last, oldest, self._clock())
                    if absence is not None:
                        minutes = int(absence.total_seconds() // 60)
                        problem = (
                            f"events wait, and no worker has run for {minutes} minutes."
                            f" Run: {_DOCTOR}"
                        )
        except StoreError:  # its message may name a host, and a probe may be public
            return ProbeReport(False, {"status": "not ready", "problem": "the store cannot commit"})
        if problem is not None:
            return ProbeReport(False, {"status": "not ready", "problem": problem})
        return ProbeReport(True, {"status": "ready", "schema": found, "this_version": REVISION})

    def lag(self, max_lag: float = MAX_LAG) -> ProbeReport:
        """Report how long (seconds) the oldest event and the oldest call of a handler have waited,
        and count the refunds that are not over, by state, and those still to be sent, by adapter.

        Not ok if one has waited longer than `max_lag` seconds, if a handler exceeds its time
        limit, if the store can't be read or belongs to another installation, if events of another
        workspace arrive here, or if work has failed for longer than `max_lag` because its adapter
        isn't set, or the processor or the API can't be reached (a revoked key, for example).
        """
        if (wrong := self._wrong_clock()) is not None:
            return wrong
        try:
            with self._store.read() as conn:
                oldest = inbox.oldest_waiting(conn)
                strangers = inbox.strangers(conn)
                refunds = ledger.count_open_by_state(conn)
                handlers = outbox.handlers_waiting(conn)
                unsent = ledger.unsent_since(conn)
                aside = inbox.count_set_aside(conn)
                undelivered = outbox.count_undelivered(conn)
                problem = self._failing(conn, self._clock() - timedelta(seconds=max_lag))
            stopped = self._stopped_by()
        except StoreError:
            return ProbeReport(False, {"status": "unknown", "problem": "the store cannot be read"})
        age = self._age(oldest)
        handler_age = self._age(handlers.oldest)
        late = age > max_lag or handler_age > max_lag or bool(handlers.overdue)
        if (setting := self._differing_setting()) is not None:
            problem = f"the store does not belong to {setting}: nothing is paid. Run: {_DOCTOR}"
        elif strangers:
            problem = f"events of a workspace that is not ours are ignored. Run: {_DOCTOR}"
        document: dict[str, Any] = {
            "status": "late" if late else "stopped" if problem else "ok",
            "oldest_event_seconds": round(age, 3),
            "oldest_handler_seconds": round(handler_age, 3),
            "handlers_over_limit": handlers.overdue,
            "max_lag_seconds": max_lag,
            "refunds": refunds,
            "adapters": {
                name: {"unsent": count, "oldest_seconds": round(self._age(since), 3)}
                for name, (count, since) in unsent.items()
            },
            "held": refunds.get("held", 0),
            "events_set_aside": aside,
            "messages_undelivered": undelivered,
            "kill_switch": Switch.KILL in stopped,
            "kill_switches": switches.killed(stopped),
            "dry_run": Switch.DRY_RUN in stopped,
            "events_of_other_workspaces": strangers,
            "restored": Switch.RESTORED in stopped,
        }
        if problem is not None:
            document["problem"] = problem
        return ProbeReport(not late and problem is None, document)

    def _failing(self, conn: Connection, before: datetime) -> str | None:
        refunds = ledger.failing(conn, before)
        if refunds.without_adapter:
            return (
                f"{refunds.without_adapter} refunds wait for an adapter that is not set: run a"
                " worker with the adapter they were begun with (DISPATCH_RETURNS_ADAPTERS). Run:"
                f" {_DOCTOR}"
            )
        events = inbox.failing(conn, before, *_REFUSED)
        if refunds.by_adapter or events:
            waiting = refunds.described or "0 refunds"
            return (
                f"{waiting} and {events} events wait, because the payment processor or the API"
                f" can't be reached: check the network and that no key was revoked. Run: {_DOCTOR}"
            )
        return None

    def _wrong_clock(self) -> ProbeReport | None:
        ahead = self._clock_wrong_by()
        if ahead is None:
            return None
        seconds = round(ahead.total_seconds())
        problem = "this machine's clock is wrong, so deliveries are refused: set it (NTP)"
        document = {"status": "wrong clock", "problem": problem, "clock_ahead_seconds": seconds}
        return ProbeReport(False, document)

    def _age(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self._clock() - since).total_seconds())

    def answer(self, method: str, path: str, max_lag: float = MAX_LAG) -> Answer:
        """Return the answer to a request; the end of `path` names the probe.

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
    """Return for how long no worker has run, None if one may be running.

    `last` is the last heartbeat, `oldest` when the oldest waiting event was received. If there was
    never a heartbeat, it is counted from `oldest`.
    """
    since = oldest if last is None else last
    longest = min(now - since, now - oldest)
    return now - since if longest > NO_WORKER_AFTER else None


def _answer(status: int, document: dict[str, Any], *headers: tuple[str, str]) -> Answer:
    return Answer(status, json.dumps(document).encode(), (_JSON, _NO_STORE, *headers))
