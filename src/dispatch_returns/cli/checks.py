"""The checks of ``doctor``. Each looks at one thing; what stops one does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

import httpx

from dispatch_returns.cli import step_checks
from dispatch_returns.cli.check import Check, Checkable, Outcome, look
from dispatch_returns.cli.errors import explain
from dispatch_returns.cli.late_news import wanted_news
from dispatch_returns.cli.opening import database_url, open_store
from dispatch_returns.cli.output import moment, span
from dispatch_returns.cli.setup import client_for, planned
from dispatch_returns.client import DispatchClient
from dispatch_returns.client.connections import open_client
from dispatch_returns.client.models import Webhook
from dispatch_returns.connector.build import book_of
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.health import missed
from dispatch_returns.connector.installation import Belonging
from dispatch_returns.connector.provision import Finding, Step, listens
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import ConfigurationError, DispatchReturnsError, NotFoundError
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.registry import load_adapter
from dispatch_returns.returns.policy import PolicyBook
from dispatch_returns.store import go_live, heartbeats, inbox, outbox, switches
from dispatch_returns.store.database import mismatch, revision
from dispatch_returns.store.schema import REVISION

_CLOCK_WARNING = timedelta(seconds=30)
_CLOCK_FAILURE = timedelta(minutes=5)
"""From here on the receiver takes a fresh delivery for one from the future."""
_WAITS_TOO_LONG = timedelta(minutes=5)
_TIMEOUT_SECONDS = 10


def run() -> list[Check]:
    """Look at everything that the settings allow to look at."""
    try:
        settings = Settings.from_env()
    except ConfigurationError as error:
        remedy = "Set what it names; `dispatch-returns sandbox` prints values to try it with."
        return [Check("settings", "failed", str(error), remedy), *_database()]
    return [
        Check("settings", "ok", f"workspace {settings.workspace}, adapter {settings.adapter}"),
        _rails(settings),
        *_api(settings),
        _webhook_secret(settings),
        *_database(),
        *_installation(settings),
        *_go_live(settings.refunded_status),
        look("payments", partial(_payments, settings)),
        _whose_payment(settings),
        *_late_news(settings),
        *step_checks.run(settings),
    ]


def _rails(settings: Settings) -> Check:
    thrown = _thrown()
    if "restored" in thrown:
        detail = "the database was restored and is not reconciled yet: nothing is paid"
        remedy = "It ends by itself: see that `dispatch-returns serve` or `worker` runs."
        return Check("paying", "warning", detail, remedy)
    for name, setting, variable, what in (
        ("kill", settings.kill_switch, "KILL_SWITCH", "the kill switch"),
        ("dry-run", settings.dry_run, "DRY_RUN", "dry run"),
    ):
        off = [f"unset DISPATCH_RETURNS_{variable}"] if setting else []
        off += [f"run: dispatch-returns switch {name} off --why ..."] if name in thrown else []
        if off:
            remedy = f"To pay, {' and '.join(off)}"
            return Check("paying", "warning", f"{what} is on: nothing is paid", remedy)
    limits = {
        "per refund": settings.max_refund,
        "per day": settings.max_per_day,
        "alone": settings.approve_above,
    }
    said = [
        f"at most {amount} {currency} {what}"
        for what, amounts in limits.items()
        for currency, amount in amounts.items()
    ]
    return Check("paying", "ok", "on, " + (", ".join(said) or "without limits"))


def _thrown() -> frozenset[str]:
    """Return the switches that are on in the store; the check of the database says if it is not."""
    try:
        if mismatch(database_url()) is not None:
            return frozenset()
        with open_store() as store, store.read() as conn:
            return switches.on(conn)
    except DispatchReturnsError:
        return frozenset()


def _webhook_secret(settings: Settings) -> Check:
    number = len(settings.webhook_secrets)
    if number:
        return Check("webhook secret", "ok", "set" if number == 1 else f"{number} are set")
    return Check(
        "webhook secret",
        "failed",
        "DISPATCH_WEBHOOK_SECRET is not set: every delivery is refused",
        "Set it to what was shown when the webhook was made, or make one with: dispatch-returns"
        " setup --webhook-url https://...",
    )


# The Dispatch API.


def _api(settings: Settings) -> list[Check]:
    offsets: list[timedelta] = []

    def note_date(response: httpx.Response) -> None:
        if (offset := _offset(response.headers.get("date"), datetime.now(UTC))) is not None:
            offsets.append(offset)

    hooks = {"response": [note_date]}
    try:
        http = open_client(httpx.Client, _TIMEOUT_SECONDS, event_hooks=hooks)
    except DispatchReturnsError as error:
        return [Check("API", "failed", explain(error)[1])]
    with http:
        try:
            client = client_for(settings, http_client=http, max_retries=1)
        except DispatchReturnsError as error:
            return [Check("API", "failed", explain(error)[1])]
        found = look("key and workspace", partial(_workspace, client, settings))
        if found.status == "failed":
            return [found, *_clock(offsets)]
        return [found, *_clock(offsets), *_workflow(client, settings)]


def _workspace(client: DispatchClient, settings: Settings) -> Check:
    name = "key and workspace"
    try:
        workspace = client.workspaces.get()
    except NotFoundError:
        seen = ", ".join(known.id for known in client.workspaces.list()) or "none"
        remedy = f"Set DISPATCH_WORKSPACE; this key sees: {seen}."
        return Check(name, "failed", f"there is no workspace {settings.workspace}", remedy)
    return Check(name, "ok", f"{workspace.name} ({workspace.id}) at {settings.base_url}")


def _offset(date: str | None, now: datetime) -> timedelta | None:
    """Return how far this machine's clock is ahead of an answer's ``Date``."""
    try:
        return now - parsedate_to_datetime(date or "")
    except (TypeError, ValueError):
        return None


def _clock(offsets: Sequence[timedelta]) -> list[Check]:
    if not offsets:
        return []
    offset = min(offsets, key=abs)
    if abs(offset) <= _CLOCK_WARNING:
        return [Check("clock", "ok", "agrees with the API's")]
    status: Outcome = "failed" if abs(offset) >= _CLOCK_FAILURE else "warning"
    way = "ahead of" if offset > timedelta(0) else "behind"
    detail = f"{span(abs(offset))} {way} the API's: fresh deliveries may be refused as replays"
    return [Check("clock", status, detail, "Set this machine's clock (NTP).")]


def _workflow(client: DispatchClient, settings: Settings) -> list[Check]:
    try:
        steps = planned(client, settings, _book(settings), None)
    except DispatchReturnsError as error:
        checks = [Check("statuses and fields", "failed", explain(error)[1])]
    else:
        checks = [
            _wanted("statuses", [step for step in steps if step.kind == "status"], "failed"),
            # The API takes fields that are not defined, so refunds work without.
            _wanted("fields", [step for step in steps if step.kind == "field"], "warning"),
            # A return whose queue is missing goes to review all the same.
            *_queues([step for step in steps if step.kind == "queue"]),
        ]
    return [*checks, look("webhook", partial(_webhook, client))]


def _wanted(name: str, steps: Sequence[Step], otherwise: Outcome) -> Check:
    missing = [step.key for step in steps if step.to_do]
    if missing:
        return Check(
            name, otherwise, f"missing: {', '.join(missing)}", "Run: dispatch-returns setup."
        )
    differing = [f"{step.key}: {step.note}" for step in steps if step.finding is Finding.DIFFERS]
    if differing:
        return Check(name, "warning", "; ".join(differing))
    return Check(name, "ok", f"all {len(steps)} are there")


def _queues(steps: Sequence[Step]) -> list[Check]:
    return [_wanted("queues", steps, "warning")] if steps else []


def _book(settings: Settings) -> PolicyBook | None:
    """Return the policy, None where there is none to read; the check of the policy says so."""
    try:
        return book_of(settings)
    except ConfigurationError:
        return None


def _webhook(client: DispatchClient) -> Check:
    listening = [hook for hook in client.webhooks.list() if listens(hook)]
    enabled = [hook for hook in listening if hook.enabled]
    if not enabled and listening:
        remedy = "Delete it, then run: dispatch-returns setup --webhook-url https://..."
        return Check("webhook", "failed", f"{listening[0].url} is switched off", remedy)
    if not enabled:
        remedy = "Run: dispatch-returns setup --webhook-url https://..."
        return Check("webhook", "failed", "there is none that is sent ticket.updated", remedy)
    failing = [hook for hook in enabled if _fails(hook)]
    if failing:
        hook = failing[0]
        detail = f"{hook.url} failed {hook.failure_count} times, last {moment(hook.last_failure)}"
        remedy = "See whether the receiver runs and can be reached, and has the right secret."
        return Check("webhook", "warning", detail, remedy)
    if not any({"ticket.deleted", "*"}.intersection(hook.events) for hook in enabled):
        detail = f"{enabled[0].url} is not sent ticket.deleted: such a return ends late"
        remedy = "Delete it, then run: dispatch-returns setup --webhook-url https://..."
        return Check("webhook", "warning", detail, remedy)
    return Check("webhook", "ok", ", ".join(hook.url for hook in enabled))


def _fails(hook: Webhook) -> bool:
    """Return whether the last delivery failed; what failed before it has been made up for."""
    if not hook.failure_count:
        return False
    last, failed = hook.last_triggered, hook.last_failure
    return last is None or failed is None or failed >= last


# The database.


def _database() -> list[Check]:
    return [look("database", _usable), *_waiting()]


def _usable() -> Check:
    url = database_url()
    try:
        found, problem = revision(url), mismatch(url)
    except DispatchReturnsError as error:
        remedy = (
            "Check DISPATCH_RETURNS_DATABASE_URL; `dispatch-returns db upgrade` makes a new one."
        )
        return Check("database", "failed", str(error), remedy)
    if problem is not None:
        detail, _, remedy = problem.rpartition(": ")
        return Check("database", "failed", detail, f"{_sentence(remedy)}.")
    with open_store() as store:
        store.check_writable()
    newer = (
        "" if found == REVISION else f": a newer version's, and this one ({REVISION}) works with it"
    )
    return Check("database", "ok", f"opens, is writable, schema {found}{newer}")


def _installation(settings: Settings) -> list[Check]:
    """Say whether the database is that of the settings' workspace and processor account."""
    try:
        if mismatch(database_url()) is not None:
            return []  # the check of the database has said so
        client = client_for(settings, max_retries=0)
        with open_store() as store, Connector(settings, client=client, store=store) as connector:
            found = connector.installation.examine()
            with store.read() as conn:
                strangers = inbox.strangers(conn)
                others = ledger.count_of_other_adapters(conn, connector.adapter.name)
                _, failing = ledger.failing(conn, datetime.now(UTC) - _WAITS_TOO_LONG)
    except DispatchReturnsError:
        return []  # the checks of the settings, the API and the database have said so
    # Of a workspace that the key does not see, the check of the API has spoken.
    belongs = [] if found is None else [_belongs(found)]
    return [*belongs, *_strangers(strangers), *_others(others), *_failing(failing)]


def _belongs(found: Belonging) -> Check:
    name = "installation"
    if found.refusal is not None:
        detail, _, remedy = found.refusal.partition(": ")
        return Check(name, "failed", f"nothing is paid: {detail}", f"{_sentence(remedy)}.")
    if found.waits is not None:
        remedy = "Workers start to pay once it is known: check the network and the keys."
        return Check(name, "warning", found.waits, remedy)
    if found.warnings:
        remedy = "Let the key read it, so that a key of another account is noticed."
        return Check(name, "warning", "; ".join(found.warnings), remedy)
    return Check(name, "ok", f"the database is that of {found.workspace}")


def _others(number: int) -> list[Check]:
    if not number:
        return []
    remedy = (
        "Run a worker with the adapter they were begun with (DISPATCH_RETURNS_ADAPTER), or settle"
        " them at that processor by hand, then: dispatch-returns refunds cancel."
    )
    detail = f"{number} refunds wait for an adapter that is not the one that is set"
    return [Check("other adapters", "warning", detail, remedy)]


def _failing(number: int) -> list[Check]:
    if not number:
        return []
    remedy = (
        "If a check of the payments or of the API fails here, correct that first. What is wrong"
        " with each: dispatch-returns refunds show."
    )
    detail = f"{number} refunds can't go on: the processor or the API could not be asked of late"
    return [Check("waiting refunds", "warning", detail, remedy)]


def _strangers(number: int) -> list[Check]:
    if not number:
        return []
    remedy = (
        "Set DISPATCH_WORKSPACE to the workspace whose webhook points here, or give each workspace"
        " a database of its own."
    )
    detail = f"{number} are of a workspace that is none of ours, and are left alone"
    return [Check("other workspaces", "warning", detail, remedy)]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _waiting() -> list[Check]:
    try:
        if mismatch(database_url()) is not None:
            return []
        with open_store() as store, store.read() as conn:
            oldest = inbox.oldest_waiting(conn)
            last = heartbeats.last(conn)
            refunds = ledger.count_by_state(conn)
            handlers = outbox.handlers_waiting(conn)
    except DispatchReturnsError:
        return []  # the check of the database has said so
    now = datetime.now(UTC)
    return [
        _events(oldest, now),
        *_workers(last, oldest, now),
        *_handlers(handlers, now),
        _refunds(refunds),
    ]


def _handlers(found: outbox.HandlersWaiting, now: datetime) -> list[Check]:
    """Say which calls of the merchant's handlers hang or wait too long; nothing where none does."""
    name = "handlers"
    if found.overdue:
        detail = f"{found.overdue} run over their limit, {found.waiting} are not done"
        remedy = "The log names them: give what they wait for a time limit, then restart."
        return [Check(name, "warning", detail, remedy)]
    if found.oldest is None or now - found.oldest <= _WAITS_TOO_LONG:
        return []
    detail = f"{found.waiting} calls wait, the oldest since {span(now - found.oldest)}"
    return [Check(name, "warning", detail, "See the log for why they fail, or that a worker runs.")]


def _go_live(status: str) -> list[Check]:
    """Say what of before is not paid."""
    try:
        if revision(database_url()) != REVISION:
            return []
        with open_store() as store, store.read() as conn:
            found = go_live.newest(conn)
            before = go_live.count(conn)
    except DispatchReturnsError:
        return []  # the check of the database has said so
    name = "go-live"
    if found is None:
        detail = f"not yet: the first start lists what is {status} already, which is not paid"
        return [Check(name, "ok", detail)]
    if found.completed_at is None:
        detail = f"what was {status} before is still being listed: no event is taken up"
        remedy = "See that `dispatch-returns serve` or `worker` runs and that it reaches the API."
        return [Check(name, "warning", detail, remedy)]
    since = f"{found.began_at:%Y-%m-%d %H:%M} UTC"
    return [Check(name, "ok", f"since {since}; {before} tickets were {status} before: not paid")]


def _events(oldest: datetime | None, now: datetime) -> Check:
    if oldest is None:
        return Check("events", "ok", "none waits")
    detail = f"the oldest waits since {span(now - oldest)}"
    if now - oldest <= _WAITS_TOO_LONG:
        return Check("events", "ok", detail)
    remedy = (
        "See that `dispatch-returns serve` or `worker` runs; why: dispatch-returns events list."
    )
    return Check("events", "warning", detail, remedy)


def _workers(last: datetime | None, oldest: datetime | None, now: datetime) -> list[Check]:
    if oldest is None or (waits := missed(last, oldest, now)) is None:
        return []
    detail = f"no worker has run for {span(waits)}: deliveries are stored, and nothing is paid"
    remedy = (
        "Start the workers with your application (docs/receivers.md: the lifespan of the app that"
        " is served, not of one mounted in it), or run `dispatch-returns worker`."
    )
    return [Check("workers", "failed", detail, remedy)]


def _refunds(counts: dict[str, int]) -> Check:
    for_people = {
        state: counts[state] for state in ("held", "failed", "unknown") if state in counts
    }
    if not for_people:
        return Check("refunds", "ok", f"{sum(counts.values())}, none waits for a person")
    said = ", ".join(f"{number} {state}" for state, number in for_people.items())
    remedy = f"Look: dispatch-returns refunds list --state {next(iter(for_people))}."
    return Check("refunds", "warning", f"{said}: a person must look", remedy)


# The processor.


def _whose_payment(settings: Settings) -> Check:
    """Say who knows which payment an order was paid with, or what else keeps a wrong one away."""
    sources = [name for name in settings.orders if name not in {"ticket", "stripe"}]
    sources += ["Stripe's search"] if settings.stripe_search else []
    if sources:
        return Check("whose payment", "ok", f"{', '.join(sources)} says which, not the ticket")
    kept = ["the payment's own order_id in its metadata", "what is left on it"]
    kept += ["the cap per refund"] if settings.max_refund else []
    kept += ["the cap per day"] if settings.max_per_day else []
    kept += ["a second person's approval"] if settings.approve_above else []
    detail = (
        f"the ticket says which, unless your code passes lookups; kept within {', '.join(kept)}"
    )
    return Check("whose payment", "ok", detail)


def _late_news(settings: Settings) -> list[Check]:
    """Say whether the processor can tell what becomes of a refund later."""
    try:
        wanted = wanted_news(settings)
    except ConfigurationError:
        return []  # the check of the payments has said so
    if wanted is None:
        return []
    if settings.adapter_options.get("webhook_secret"):
        return [Check("late news", "ok", f"{wanted.variable} is set")]
    detail = f"{wanted.variable} is not set: a refund that fails later is found within a month"
    remedy = f"{wanted.instructions('https://.../webhooks/' + settings.adapter)}"
    return [Check("late news", "warning", detail, remedy)]


def _payments(settings: Settings) -> Check:
    adapter = load_adapter(settings.adapter).from_settings(settings.adapter_options)
    try:
        if isinstance(adapter, Checkable):
            return Check("payments", "ok", f"{adapter.name} {adapter.check()}")
        return Check("payments", "ok", f"{adapter.name} is set up; it cannot be asked more")
    finally:
        adapter.close()
