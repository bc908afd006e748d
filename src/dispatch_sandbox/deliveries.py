"""Webhook deliveries as records: what is sent, to which webhook, and the result. No I/O.

The courier sends them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dispatch_sandbox.faults import FaultRule
from dispatch_sandbox.memory import Memory
from dispatch_sandbox.wire import Record, dumps, new_id
from dispatch_sandbox.workspace import Workspace


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How deliveries are made; all times in seconds.

    The public documentation says "exponential backoff" and no more. This is a compressed
    schedule: by default 5 attempts within 3 seconds.
    """

    attempts: int = 5
    first_retry: float = 0.2
    factor: float = 2.0
    timeout: float = 10.0
    parallel: int = 8
    """Attempts under way at once for one webhook; webhooks do not wait for each other."""

    def wait(self, attempt: int) -> float:
        """Return the seconds between this attempt (1 is the first) and the next one."""
        return self.first_retry * self.factor ** (attempt - 1)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt sends."""

    url: str
    secret: str
    body: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an attempt: an answer, or an error."""

    code: int | None = None
    text: str | None = None
    error: str | None = None

    @property
    def arrived(self) -> bool:
        """Whether the receiver has it: only a 2xx says so."""
        return self.code is not None and 200 <= self.code < 300


class Deliveries:
    """All deliveries of a sandbox. Change them only under the memory's lock."""

    def __init__(self, memory: Memory, policy: DeliveryPolicy) -> None:
        self.policy = policy
        self.on_new: Callable[[str, str, FaultRule | None], None] | None = None
        """Called with the id and the webhook of each new delivery, while something sends them."""
        self._memory = memory
        self._settled = threading.Condition(memory.lock)
        self._records: dict[str, tuple[Workspace, Record]] = {}
        self._of_webhook: dict[str, list[Record]] = {}
        self._unsettled: dict[str, None] = {}

    def emit(
        self, workspace: Workspace, event: str, data: Record, ticket: Record | None = None
    ) -> None:
        """Create an event, and a delivery to each webhook that subscribes to it."""
        hooks = [
            (hook, name) for hook in workspace.webhooks.values() if (name := _wanted(hook, event))
        ]
        if not hooks:
            return
        event_id, now = new_id("evt"), self._memory.now()
        for hook, name in hooks:
            envelope = {
                "id": event_id,
                "event": name,
                "brand_id": workspace.id,
                "data": data,
                "timestamp": now,
            }
            ticket_id = "" if ticket is None else ticket["id"]
            fault = self._memory.faults.take(
                "delivery", event=name, webhook_id=hook["id"], ticket_id=ticket_id
            )
            self._add(workspace, hook["id"], envelope, fault)
            if fault is not None and fault.action == "duplicate":
                self._add(workspace, hook["id"], envelope, None)

    def redeliver(self, delivery_id: str) -> Record | None:
        """Send the same event to the same webhook again, as a new delivery."""
        with self._memory.transaction():
            if delivery_id not in self._records:
                return None
            workspace, record = self._records[delivery_id]
            return self._add(workspace, record["webhookId"], record["payload"], None)

    def restore(self, workspace: Workspace, record: Record) -> None:
        """Restore a delivery from the file."""
        self._keep(workspace, record)

    def find(self, workspace: Workspace, delivery_id: str) -> Record | None:
        """Return a delivery of a workspace."""
        owner, record = self._records.get(delivery_id, (None, None))
        return record if owner is workspace else None

    def of_workspace(self, workspace: Workspace) -> Iterator[Record]:
        """Yield a workspace's deliveries, newest first."""
        newest = reversed(self._records.values())
        return (record for owner, record in newest if owner is workspace)

    def of_webhook(self, webhook_id: str) -> list[Record]:
        """Return a webhook's deliveries, the newest first."""
        return self._of_webhook.get(webhook_id, [])[::-1]

    def unsettled(self) -> list[tuple[str, str]]:
        """Return id and webhook of the unsettled deliveries, oldest first."""
        return [(known, self._records[known][1]["webhookId"]) for known in self._unsettled]

    def forget(self, workspace: Workspace) -> list[Record]:
        """Forget the deliveries of a deleted workspace, and return them."""
        gone = [record for owner, record in self._records.values() if owner is workspace]
        for record in gone:
            del self._records[record["id"]]
            self._unsettled.pop(record["id"], None)
            self._of_webhook.pop(record["webhookId"], None)
        if not self._unsettled:
            self._settled.notify_all()
        return gone

    def counts(self) -> dict[str, int]:
        """Count the deliveries by status."""
        counts: dict[str, int] = dict.fromkeys(("PENDING", "RETRYING", "SUCCESS", "FAILED"), 0)
        for _, record in self._records.values():
            counts[record["status"]] += 1
        return counts

    def clear(self) -> None:
        """Forget all deliveries, also those under way."""
        self._records.clear()
        self._of_webhook.clear()
        self._unsettled.clear()
        self._settled.notify_all()

    def wait_until_settled(self, timeout: float) -> bool:
        """Wait, at most ``timeout`` seconds, until every delivery has succeeded or failed."""
        with self._settled:
            return self._settled.wait_for(lambda: not self._unsettled, timeout)

    def next_attempt(self, delivery_id: str) -> Attempt | None:
        """Return the next attempt of a delivery, or None if it is settled."""
        with self._memory.transaction():
            if delivery_id not in self._unsettled:
                return None
            workspace, record = self._records[delivery_id]
            hook = workspace.webhooks.get(record["webhookId"])
            if hook is None:
                self._settle(workspace, record, "FAILED", Outcome(error="the webhook is deleted"))
                return None
            return Attempt(
                url=hook["url"],
                secret=hook["secret"],
                body=dumps(record["payload"]),
                number=record["attempts"] + 1,
            )

    def report(self, delivery_id: str, outcome: Outcome) -> bool:
        """Record an attempt; return whether another one follows."""
        with self._memory.transaction():
            if delivery_id not in self._unsettled:
                return False
            workspace, record = self._records[delivery_id]
            record["attempts"] += 1
            record["lastAttempt"] = self._memory.now()
            again = not outcome.arrived and record["attempts"] < self.policy.attempts
            if again:
                self._note(workspace, record, "RETRYING", outcome)
            else:
                self._settle(workspace, record, "SUCCESS" if outcome.arrived else "FAILED", outcome)
            hook = workspace.webhooks.get(record["webhookId"])
            if hook is not None:
                hook["lastTriggered"] = record["lastAttempt"]
                if not outcome.arrived:
                    hook["failureCount"] += 1
                    hook["lastFailure"] = record["lastAttempt"]
                self._memory.save("webhook", hook, workspace)
            return again

    def _add(
        self, workspace: Workspace, webhook_id: str, envelope: Record, fault: FaultRule | None
    ) -> Record:
        record: Record = {
            "id": new_id("del"),
            "webhookId": webhook_id,
            "event": envelope["event"],
            "payload": envelope,
            "status": "PENDING",
            "attempts": 0,
            "lastAttempt": None,
            "responseCode": None,
            "responseBody": None,
            "error": None,
            "createdAt": self._memory.now(),
        }
        self._keep(workspace, record)
        self._memory.save("delivery", record, workspace)
        if self.on_new is not None:
            self.on_new(record["id"], webhook_id, fault)
        return record

    def _keep(self, workspace: Workspace, record: Record) -> None:
        self._records[record["id"]] = (workspace, record)
        self._of_webhook.setdefault(record["webhookId"], []).append(record)
        if record["status"] in ("PENDING", "RETRYING"):
            self._unsettled[record["id"]] = None

    def _note(self, workspace: Workspace, record: Record, status: str, outcome: Outcome) -> None:
        record.update(
            status=status,
            responseCode=outcome.code,
            responseBody=outcome.text,
            error=outcome.error,
        )
        self._memory.save("delivery", record, workspace)

    def _settle(self, workspace: Workspace, record: Record, status: str, outcome: Outcome) -> None:
        self._note(workspace, record, status, outcome)
        del self._unsettled[record["id"]]
        if not self._unsettled:
            self._settled.notify_all()


_ALSO = {"ticket.comment.created": "comment.created"}
"""The API has two names for this one; a webhook gets the name it subscribed to."""


def _wanted(hook: Record, event: str) -> str | None:
    if hook["enabled"] and ("*" in hook["events"] or event in hook["events"]):
        return event
    alias = _ALSO.get(event)
    return alias if hook["enabled"] and alias in hook["events"] else None
