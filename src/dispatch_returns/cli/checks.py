"""The checks of ``doctor``. Each checks one thing, and runs even if another one fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

import httpx

from dispatch_returns.cli import delivery_checks, shop_checks, step_checks
from dispatch_returns.cli.check import Checkable, DoctorCheck, Outcome, attempt
from dispatch_returns.cli.common import database_url, open_store
from dispatch_returns.cli.errors import explain
from dispatch_returns.cli.output import moment, span
from dispatch_returns.cli.setup import client_for, planned, processor_webhooks
from dispatch_returns.client import DispatchClient, Webhook
from dispatch_returns.client.connections import open_client
from dispatch_returns.connector.build import book_of
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.health import missed
from dispatch_returns.connector.installation import Belonging
from dispatch_returns.connector.provision import Presence, ProvisionStep, listens
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import ConfigurationError, DispatchReturnsError, NotFoundError
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.registry import build_adapter
from dispatch_returns.store import go_live, heartbeats, inbox, outbox, switches
from dispatch_returns.store.database import mismatch, revision
from dispatch_returns.store.schema import REVISION

_CLOCK_WARNING = timedelta(seconds=30)
_CLOCK_FAILURE = timedelta(minutes=5)
"""From this offset on, the receiver refuses a fresh delivery as one from the future."""
_WAITS_TOO_LONG = timedelta(minutes=5)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_TIMEOUT_SECONDS = 10


def run(*, deliver: bool = False) -> list[DoctorCheck]:
    """Check everything that can be checked with these settings.

    With `deliver`, also send a test event to each webhook that is sent changes of tickets.
    """
    try:
        settings = Settings.from_env()
    except ConfigurationError as error:
        remedy = "Set what it names; `dispatch-returns sandbox` prints values to try."
        return [DoctorCheck("settings", "failed", str(error), remedy), *_database()]
    return [
        DoctorCheck(
            "settings",
            "ok",
            f"workspace {settings.workspace}, adapter {', '.join(settings.adapter_plugins)}",
        ),
        _paying(settings),
        *_api(settings, deliver=deliver),
        _webhook_secret(settings),
        *_database(),
        *_installation(settings),
        *_go_live(settings.refunded_status),
        *(
            attempt(_named("payments", name, settings), partial(_payments, settings, name))
            for name in settings.adapter_plugins
        ),
        _whose_payment(settings),
        *_processor_events(settings),
        *shop_checks.run(settings),
        *step_checks.run(settings),
    ]


def _paying(settings: Settings) -> DoctorCheck:
    """Check the switches and the limits."""
    on: frozenset[str] = frozenset()
    with contextlib.suppress(DispatchReturnsError):  # the database has a check of its own
        if mismatch(database_url()) is None:
            with open_store() as store, store.read() as conn:
                on = switches.on(conn)
    if "restored" in on:
        detail = "the database was restored and is not reconciled yet: nothing is paid"
        remedy = "This ends by itself: check that `dispatch-returns serve` or `worker` runs."
        return DoctorCheck("paying", "warning", detail, remedy)
    for name, setting, variable, what in (
        ("kill", settings.kill_switch, "KILL_SWITCH", "the kill switch"),
        ("dry-run", settings.dry_run, "DRY_RUN", "dry run"),
    ):
        off = [f"unset DISPATCH_RETURNS_{variable}"] if setting else []
        off += [f"run: dispatch-returns switch {name} off --why ..."] if name in on else []
        if off:
            remedy = f"To pay, {' and '.join(off)}"
            return DoctorCheck("paying", "warning", f"{what} is on: nothing is paid", remedy)
    stopped = [name for name in settings.adapter_plugins if switches.kill_of(name) in on]
    if stopped:
        detail = f"the kill switch of {', '.join(stopped)} is on: nothing is paid through it"
        remedy = "To pay, run: dispatch-returns switch kill off --adapter NAME --why ..."
        return DoctorCheck("paying", "warning", detail, remedy)
    limits = {
        "per refund": settings.max_refund,
        "per day": settings.max_per_day,
        "alone": settings.approve_above,
    }
    texts = [
        f"at most {amount} {currency} {what}"
        for what, amounts in limits.items()
        for currency, amount in amounts.items()
    ] + [
        f"at most {amount} {currency} {what} through {name}"
        for what, caps in (
            ("per refund", settings.adapter_max_refund),
            ("per day", settings.adapter_max_per_day),
        )
        for name, amounts in caps.items()
        for currency, amount in amounts.items()
    ]
    return DoctorCheck("paying", "ok", "on, " + (", ".join(texts) or "without limits"))


def _webhook_secret(settings: Settings) -> DoctorCheck:
    number = len(settings.webhook_secrets)
    quoted = [it for it in settings.webhook_secrets if it.get_secret_value()[:1] in {'"', "'"}]
    if quoted:
        detail = "DISPATCH_WEBHOOK_SECRET is in quotes, which are taken for a part of it"
        remedy = "Remove the quotes where the variable is set, and restart the receiver."
        return DoctorCheck("webhook secret", "failed", detail, remedy)
    if number:
        return DoctorCheck("webhook secret", "ok", "set" if number == 1 else f"{number} are set")
    return DoctorCheck(
        "webhook secret",
        "failed",
        "DISPATCH_WEBHOOK_SECRET is not set: every delivery is refused",
        "Set it to the secret that was shown when the webhook was created, or create one with:"
        " dispatch-returns setup --webhook-url https://...",
    )


# The Dispatch API.


def _api(settings: Settings, *, deliver: bool) -> list[DoctorCheck]:
    offsets: list[timedelta] = []

    def note_date(response: httpx.Response) -> None:
        """Note how far this machine's clock is ahead of an answer's ``Date``."""
        with contextlib.suppress(ValueError):
            date = parsedate_to_datetime(response.headers.get("date", ""))
            if date.tzinfo is not None:
                offsets.append(datetime.now(UTC) - date)

    hooks = {"response": [note_date]}
    try:
        http = open_client(httpx.Client, _TIMEOUT_SECONDS, event_hooks=hooks)
    except DispatchReturnsError as error:
        return [DoctorCheck("API", "failed", explain(error)[1])]
    with http:
        try:
            client = client_for(settings, http_client=http, max_retries=1)
        except DispatchReturnsError as error:
            return [DoctorCheck("API", "failed", explain(error)[1])]
        found = attempt("key and workspace", partial(_workspace, client, settings))
        if found.status == "failed":
            return [found, *_clock(offsets)]
        checks = [found, *_clock(offsets), *_workflow(client, settings)]
        if deliver:
            checks += _deliveries(client, settings)
        return checks


def _workspace(client: DispatchClient, settings: Settings) -> DoctorCheck:
    name = "key and workspace"
    try:
        workspace = client.workspaces.get()
    except NotFoundError:
        seen = ", ".join(known.id for known in client.workspaces.list()) or "none"
        remedy = f"Set DISPATCH_WORKSPACE; this key sees: {seen}."
        return DoctorCheck(name, "failed", f"there is no workspace {settings.workspace}", remedy)
    return DoctorCheck(name, "ok", f"{workspace.name} ({workspace.id}) at {settings.base_url}")


def _clock(offsets: Sequence[timedelta]) -> list[DoctorCheck]:
    if not offsets:
        return []
    offset = min(offsets, key=abs)
    if abs(offset) <= _CLOCK_WARNING:
        return [DoctorCheck("clock", "ok", "agrees with the API's")]
    status: Outcome = "failed" if abs(offset) >= _CLOCK_FAILURE else "warning"
    direction = "ahead of" if offset > timedelta(0) else "behind"
    detail = (
        f"{span(abs(offset))} {direction} the API's: fresh deliveries may be refused as replays"
    )
    return [DoctorCheck("clock", status, detail, "Set this machine's clock (NTP).")]


def _workflow(client: DispatchClient, settings: Settings) -> list[DoctorCheck]:
    book = None
    with contextlib.suppress(ConfigurationError):  # the policy has a check of its own
        book = book_of(settings)
    try:
        steps = planned(client, settings, book, None)
    except DispatchReturnsError as error:
        checks = [DoctorCheck("statuses and fields", "failed", explain(error)[1])]
    else:
        queues = [step for step in steps if step.kind == "queue"]
        checks = [
            _existence("statuses", [step for step in steps if step.kind == "status"], "failed"),
            # The API accepts undefined fields, so refunds work without them.
            _existence("fields", [step for step in steps if step.kind == "field"], "warning"),
            # A return whose queue is missing still goes to review.
            *([_existence("queues", queues, "warning")] if queues else []),
        ]
    return [*checks, attempt("webhook", partial(_webhook, client))]


def _existence(name: str, steps: Sequence[ProvisionStep], otherwise: Outcome) -> DoctorCheck:
    missing = [step.key for step in steps if step.to_do]
    if missing:
        return DoctorCheck(
            name, otherwise, f"missing: {', '.join(missing)}", "Run: dispatch-returns setup."
        )
    differing = [f"{step.key}: {step.note}" for step in steps if step.finding is Presence.DIFFERS]
    if differing:
        return DoctorCheck(name, "warning", "; ".join(differing))
    return DoctorCheck(name, "ok", f"all {len(steps)} exist")


def _webhook(client: DispatchClient) -> DoctorCheck:
    listening = [hook for hook in client.webhooks.list() if listens(hook)]
    enabled = [hook for hook in listening if hook.enabled]
    if not enabled and listening:
        return DoctorCheck(
            "webhook", "failed", f"{listening[0].url} is switched off", _replace(listening[0])
        )
    if not enabled:
        remedy = "Run: dispatch-returns setup --webhook-url https://..."
        return DoctorCheck("webhook", "failed", "there is none that is sent ticket.updated", remedy)
    for hook in enabled:
        last, failed = hook.last_triggered, hook.last_failure
        # Failures before a later success have been retried.
        if hook.failure_count and (last is None or failed is None or failed >= last):
            detail = f"{hook.url} failed {hook.failure_count} times, last {moment(failed)}"
            remedy = delivery_checks.remedy_of(_last_answer(client, hook))
            return DoctorCheck("webhook", "warning", detail, remedy)
    if not any({"ticket.deleted", "*"}.intersection(hook.events) for hook in enabled):
        detail = f"{enabled[0].url} is not sent ticket.deleted: a deleted ticket's return ends late"
        return DoctorCheck("webhook", "warning", detail, _replace(enabled[0]))
    return DoctorCheck("webhook", "ok", ", ".join(hook.url for hook in enabled))


def _replace(hook: Webhook) -> str:
    return (
        f"Run: dispatch-returns webhooks delete {hook.id}, then: dispatch-returns setup"
        f" --webhook-url {hook.url}"
    )


def _last_answer(client: DispatchClient, hook: Webhook) -> int | None:
    """Return the status that the last failed delivery was answered with, if the API keeps it."""
    try:
        deliveries = client.webhooks.deliveries(hook.id)
    except DispatchReturnsError:
        return None
    failed = [it for it in deliveries if it.response_code and not 200 <= it.response_code < 300]
    last = max(failed, key=lambda it: (it.last_attempt or _LONG_AGO, it.id), default=None)
    return None if last is None else last.response_code


def _deliveries(client: DispatchClient, settings: Settings) -> list[DoctorCheck]:
    """Send a test event to each webhook that is sent changes of tickets."""
    try:
        hooks = client.webhooks.list()
    except DispatchReturnsError:
        return []  # the check of the webhook reports it
    urls = {hook.url for hook in hooks if hook.enabled and listens(hook)}
    return [delivery_checks.deliver(url, settings) for url in sorted(urls)]


# The database.


def _database() -> list[DoctorCheck]:
    return [attempt("database", _usable), *_waiting()]


def _usable() -> DoctorCheck:
    url = database_url()
    try:
        found, problem = revision(url), mismatch(url)
    except DispatchReturnsError as error:
        remedy = (
            "Check DISPATCH_RETURNS_DATABASE_URL; `dispatch-returns db upgrade` creates a new"
            " database."
        )
        return DoctorCheck("database", "failed", str(error), remedy)
    if problem is not None:
        detail, _, remedy = problem.rpartition(": ")
        return DoctorCheck("database", "failed", detail, f"{_sentence(remedy)}.")
    with open_store() as store:
        store.check_writable()
    newer = "" if found == REVISION else f" (newer than this version's {REVISION}, but compatible)"
    return DoctorCheck("database", "ok", f"opens, is writable, schema {found}{newer}")


def _installation(settings: Settings) -> list[DoctorCheck]:
    """Check that the database belongs to the settings' workspace and processor account."""
    try:
        if mismatch(database_url()) is not None:
            return []  # the check of the database reports it
        client = client_for(settings, max_retries=0)
        with open_store() as store, Connector(settings, client=client, store=store) as connector:
            found = connector.installation.examine()
            with store.read() as conn:
                strangers = inbox.strangers(conn)
                others = ledger.count_of_other_adapters(conn, list(connector.adapters))
                failing = ledger.failing(conn, datetime.now(UTC) - _WAITS_TOO_LONG)
    except DispatchReturnsError:
        return []  # the checks of the settings, the API and the database report it
    # If the key does not see the workspace, the check of the API reports it.
    checks = [] if found is None else [_belongs(found), *_stopped(found)]
    if strangers:
        detail = f"{strangers} belong to a workspace that is not ours, and are ignored"
        remedy = (
            "Set DISPATCH_WORKSPACE to the workspace whose webhook points here, or give each"
            " workspace its own database."
        )
        checks.append(DoctorCheck("other workspaces", "warning", detail, remedy))
    if others:
        detail = f"{others} refunds wait for an adapter that is not in the settings"
        remedy = (
            "Run a worker with the adapter that they were begun with (DISPATCH_RETURNS_ADAPTERS),"
            " or pay them at that processor by hand, then: dispatch-returns refunds cancel."
        )
        checks.append(DoctorCheck("other adapters", "warning", detail, remedy))
    if failing.by_adapter:
        detail = f"{failing.described} can't go on: the processor or the API can't be reached"
        remedy = (
            "If a check of the payments or the API fails here, fix that first. To see what is wrong"
            " with one: dispatch-returns refunds show."
        )
        checks.append(DoctorCheck("waiting refunds", "warning", detail, remedy))
    return checks


def _belongs(found: Belonging) -> DoctorCheck:
    name = "installation"
    if found.refusal is not None:
        detail, _, remedy = found.refusal.partition(": ")
        return DoctorCheck(name, "failed", f"nothing is paid: {detail}", f"{_sentence(remedy)}.")
    if found.waits is not None:
        remedy = "Workers start paying once it is known: check the network and the keys."
        return DoctorCheck(name, "warning", found.waits, remedy)
    if found.warnings:
        remedy = "Allow the key to read it, so that another account's key is noticed."
        return DoctorCheck(name, "warning", "; ".join(found.warnings), remedy)
    return DoctorCheck(name, "ok", f"the database belongs to {found.workspace}")


def _stopped(found: Belonging) -> Iterator[DoctorCheck]:
    """Report each adapter that is not used, where the others are."""
    if not found.may_work:
        return
    for name, it in found.stopped.items():
        detail, _, remedy = (it.refusal or it.waits or "").partition(": ")
        what = f"nothing is paid through {name}: {detail}"
        yield DoctorCheck(f"installation ({name})", "failed", what, f"{_sentence(remedy)}.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _waiting() -> list[DoctorCheck]:
    try:
        if mismatch(database_url()) is not None:
            return []
        with open_store() as store, store.read() as conn:
            oldest = inbox.oldest_waiting(conn)
            unclaimed = inbox.count_unclaimed(conn, datetime.now(UTC) - _WAITS_TOO_LONG)
            last = heartbeats.last(conn)
            refunds = ledger.count_open_by_state(conn)
            handlers = outbox.handlers_waiting(conn)
    except DispatchReturnsError:
        return []  # the check of the database reports it
    now = datetime.now(UTC)
    return [
        _events(oldest, now),
        *_workers(last, oldest, unclaimed, now),
        *_handlers(handlers, now),
        _refunds(refunds),
    ]


def _handlers(found: outbox.HandlersWaiting, now: datetime) -> list[DoctorCheck]:
    """Report handler calls that hang or have waited too long; nothing if there are none."""
    name = "handlers"
    if found.overdue:
        detail = f"{found.overdue} exceed their time limit, {found.waiting} are not done"
        remedy = "The log names them: add a timeout to what they wait for, then restart."
        return [DoctorCheck(name, "warning", detail, remedy)]
    if found.oldest is None or now - found.oldest <= _WAITS_TOO_LONG:
        return []
    detail = f"{found.waiting} calls are waiting, the oldest for {span(now - found.oldest)}"
    remedy = "Check the log for why they fail, and check that a worker runs."
    return [DoctorCheck(name, "warning", detail, remedy)]


def _go_live(status: str) -> list[DoctorCheck]:
    """Report which tickets were settled before go-live, and are not paid."""
    try:
        if revision(database_url()) != REVISION:
            return []
        with open_store() as store, store.read() as conn:
            found = go_live.newest(conn)
            before = go_live.count(conn)
    except DispatchReturnsError:
        return []  # the check of the database reports it
    name = "go-live"
    if found is None:
        detail = f"not yet: the first start lists the tickets that are {status}, and pays none"
        return [DoctorCheck(name, "ok", detail)]
    if found.completed_at is None:
        detail = f"the tickets that were {status} before are still being listed: events wait"
        remedy = "Check that `dispatch-returns serve` or `worker` runs and can reach the API."
        return [DoctorCheck(name, "warning", detail, remedy)]
    since = f"{found.began_at:%Y-%m-%d %H:%M} UTC"
    return [
        DoctorCheck(name, "ok", f"since {since}; {before} tickets were {status} before: not paid")
    ]


def _events(oldest: datetime | None, now: datetime) -> DoctorCheck:
    if oldest is None:
        return DoctorCheck("events", "ok", "none is waiting")
    detail = f"the oldest has waited for {span(now - oldest)}"
    if now - oldest <= _WAITS_TOO_LONG:
        return DoctorCheck("events", "ok", detail)
    remedy = (
        "Check that `dispatch-returns serve` or `worker` runs; for the reason, see:"
        " dispatch-returns events list."
    )
    return DoctorCheck("events", "warning", detail, remedy)


def _workers(
    last: datetime | None, oldest: datetime | None, unclaimed: int, now: datetime
) -> list[DoctorCheck]:
    """Report that no worker runs, or that all of them are busy; nothing otherwise."""
    if oldest is None:
        return []
    absence = missed(last, oldest, now)
    if absence is None and unclaimed:
        detail = f"{unclaimed} events wait for a free worker"
        remedy = (
            "Set DISPATCH_RETURNS_WORKERS higher, because most workers wait for the processor or"
            " the API, or run one more `dispatch-returns worker`."
        )
        return [DoctorCheck("workers", "warning", detail, remedy)]
    if absence is None:
        return []
    detail = f"no worker has run for {span(absence)}: deliveries are stored, but nothing is paid"
    remedy = (
        "Start the workers with your application (docs/receivers.md: in the lifespan of the app"
        " that is served, not of one mounted in it), or run `dispatch-returns worker`."
    )
    return [DoctorCheck("workers", "failed", detail, remedy)]


def _refunds(counts: dict[str, int]) -> DoctorCheck:
    for_people = {
        state: counts[state] for state in ("held", "failed", "unknown") if state in counts
    }
    if not for_people:
        return DoctorCheck("refunds", "ok", f"{sum(counts.values())} not over, none needs a person")
    text = ", ".join(f"{number} {state}" for state, number in for_people.items())
    remedy = f"See: dispatch-returns refunds list --state {next(iter(for_people))}."
    return DoctorCheck("refunds", "warning", f"{text}: a person must look", remedy)


# The processor.


def _whose_payment(settings: Settings) -> DoctorCheck:
    """Report what determines an order's payment, or what else limits a wrong one."""
    sources = [name for name in settings.orders if name not in {"ticket", "stripe"}]
    sources += ["Stripe's search"] if settings.stripe_search else []
    if sources:
        detail = f"from {', '.join(sources)}, not from the ticket"
        return DoctorCheck("whose payment", "ok", detail)
    limits = ["the payment's own order_id in its metadata", "what is left on it"]
    limits += ["the cap per refund"] if settings.max_refund else []
    limits += ["the cap per day"] if settings.max_per_day else []
    limits += ["a second person's approval"] if settings.approve_above else []
    detail = f"from the ticket, unless your code passes lookups; limited by {', '.join(limits)}"
    return DoctorCheck("whose payment", "ok", detail)


def _processor_events(settings: Settings) -> Iterator[DoctorCheck]:
    """Check that each processor can report what happens to a refund later."""
    try:
        webhooks = processor_webhooks(settings)
    except ConfigurationError:
        return  # the check of the payments reports it
    for webhook in webhooks:
        name = _named("processor events", webhook.adapter, settings)
        if webhook.is_secret_set(settings):
            yield DoctorCheck(name, "ok", f"{webhook.variable} is set")
            continue
        detail = f"{webhook.variable} is not set: a refund that fails later is found within a month"
        yield DoctorCheck(name, "warning", detail, webhook.instructions(None))


def _payments(settings: Settings, name: str) -> DoctorCheck:
    check = _named("payments", name, settings)
    options = settings.adapter_options.get(name, {})
    adapter = build_adapter(settings.adapter_plugins[name], options, called=name)
    try:
        if isinstance(adapter, Checkable):
            return DoctorCheck(check, "ok", f"{name} {adapter.check()}")
        return DoctorCheck(check, "ok", f"{name} is set up; it has no check of its own")
    finally:
        adapter.close()


def _named(check: str, adapter: str, settings: Settings) -> str:
    """Return the name of a check that each adapter has; with one, it needs no addition."""
    return check if len(settings.adapter_plugins) == 1 else f"{check} ({adapter})"
