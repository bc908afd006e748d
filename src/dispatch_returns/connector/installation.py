"""Checks the settings against what the database belongs to: workspace, adapters, accounts, modes.

The first start records them. From then on another workspace, account or mode is a mistake (a
copied database URL, a key of another account), and nothing is paid until it is corrected, or the
new one is added on purpose. With several adapters, one that differs stops only itself. Deliveries
are stored meanwhile: the receivers never check this. Each process checks once, before its first
work; what could not be read is read again later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dispatch_returns.client import DispatchClient
from dispatch_returns.clock import Clock
from dispatch_returns.errors import (
    AdapterError,
    APIError,
    ConfigurationError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from dispatch_returns.plugins.options import prefix
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.adapter import RefundAdapter, SupportsAccount
from dispatch_returns.refunds.processors import SETTING as ADAPTERS
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.store import Store, audit_log, installation
from dispatch_returns.store.installation import Entry
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

WORKSPACE = "DISPATCH_WORKSPACE"
_ADD = (
    "use another database for this one (DISPATCH_RETURNS_DATABASE_URL), or, if they are meant to"
    " share it, run: dispatch-returns db adopt --who NAME"
)
_LONGEST_RECHECK = timedelta(minutes=1)
_FIRST_RECHECK = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose account an adapter uses, as far as its processor shows it now.

    ``unreachable``: it could not be read now; ``denied``: the key may not read it.
    """

    name: str
    mode: str | None = None
    account: str | None = None
    unreachable: bool = False
    denied: bool = False

    @property
    def setting(self) -> str:
        """The setting of its key."""
        return f"{prefix(self.name)}API_KEY"


@dataclass(frozen=True, slots=True)
class Identity:
    """What the settings refer to, as far as the API and the processors show it now.

    ``workspace`` is the API's id, None if it is not known; ``also`` are other names of the same
    workspace. ``gone``: the API has no such workspace. ``unreachable``: what could not be read
    now. ``denied``: what the keys may not read.
    """

    setting: str
    workspace: str | None
    adapters: tuple[Whose, ...]
    also: frozenset[str] = frozenset()
    gone: bool = False
    unreachable: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Belonging:
    """What follows from an `Identity`.

    Our ids are derived from ``workspace``. ``setting`` names the one that differs, and ``refusal``
    says how: nothing is done until it is corrected. ``waits``: nothing is done until it is known.
    ``new`` are rows that are missing or incomplete. ``adapters`` says the same of each adapter:
    work is done if there is one that may work.
    """

    workspace: str | None = None
    setting: str | None = None
    refusal: str | None = None
    waits: str | None = None
    warnings: tuple[str, ...] = ()
    new: tuple[Entry, ...] = ()
    complete: bool = False
    adapters: Mapping[str, Belonging] = field(default_factory=dict[str, "Belonging"])

    @property
    def may_work(self) -> bool:
        """Return whether the database is known to belong to this installation."""
        return self.refusal is None and self.waits is None

    @property
    def stopped(self) -> Mapping[str, Belonging]:
        """The adapters that may not work."""
        return {name: it for name, it in self.adapters.items() if not it.may_work}


def compare(entries: Sequence[Entry], seen: Identity, *, adopting: bool = False) -> Belonging:
    """Compare what the database belongs to with what the settings refer to.

    With `adopting`, what differs is added instead.
    """
    found = _workspace(entries, seen, adopting=adopting)
    if not found.may_work:
        return found
    adapters = _adapters(entries, seen.adapters, adopting=adopting)
    new = tuple(entry for it in adapters.values() for entry in it.new)
    if not any(it.may_work for it in adapters.values()):
        first = next(iter(adapters.values()))
        return replace(first, workspace=found.workspace, adapters=adapters, new=())
    unreachable = (*seen.unreachable, *(it.name for it in seen.adapters if it.unreachable))
    denied = (f"the key may not read the account at {it.name}" for it in seen.adapters if it.denied)
    unknown = (*unreachable, *seen.denied, *denied)
    return Belonging(
        workspace=found.workspace,
        warnings=tuple(f"{it}: the database's owner is only partly known" for it in unknown),
        new=(*found.new, *new),
        complete=not unreachable and all(it.may_work for it in adapters.values()),
        adapters=adapters,
    )


def _workspace(entries: Sequence[Entry], seen: Identity, *, adopting: bool) -> Belonging:
    names = {it.name: it for it in entries if it.kind == "workspace"}
    ours = {name: it.account for name, it in names.items() if it.account is not None}
    if seen.gone:
        detail = f"{WORKSPACE} is {seen.setting}, but this key sees no such workspace: correct it"
        return Belonging(setting=WORKSPACE, refusal=detail)
    if seen.workspace is None and seen.setting in ours:
        return Belonging(workspace=ours[seen.setting])
    called = seen.workspace
    if called is None:
        if ours or seen.unreachable:
            reasons = ", ".join((*seen.unreachable, *seen.denied))
            return Belonging(waits=f"the workspace's own id is not known yet ({reasons})")
        called = seen.setting  # the key may not read it, and no ticket shows it
    known = next((ours[it] for it in (called, *sorted(seen.also)) if it in ours), None)
    if known is None and ours and not adopting:
        belongs = ", ".join(sorted(set(ours.values())))
        detail = (
            f"{WORKSPACE} is {seen.setting} ({called}), but this database belongs to {belongs}:"
            f" {_ADD}"
        )
        return Belonging(setting=WORKSPACE, refusal=detail)
    account = known or called
    missing = [it for it in dict.fromkeys((seen.setting, called)) if ours.get(it) != account]
    new = [replace(names.get(it, Entry("workspace", it)), account=account) for it in missing]
    return Belonging(workspace=account, new=tuple(new))


def _adapters(
    entries: Sequence[Entry], seen: Sequence[Whose], *, adopting: bool
) -> dict[str, Belonging]:
    known = [it for it in entries if it.kind == "adapter"]
    found = {it.name: _adapter(known, it, adopting=adopting) for it in seen}
    if not known and any(it.may_work for it in found.values()):
        # The first start: an adapter that does not answer now is one of the database's as well.
        unknown = {it.name: it for it in seen if found[it.name].waits is not None}
        found |= {name: Belonging(new=(_entry(it),)) for name, it in unknown.items()}
    users: dict[tuple[str, str | None], str] = {}
    for it in seen:
        if it.account is None or not found[it.name].may_work:
            continue
        first = users.setdefault((it.account, it.mode), it.name)
        if first != it.name:
            refusal = (
                f"{it.setting} belongs to {_described(_entry(it))}, the account of {first}: one"
                f" account needs one adapter. Correct the key, or take {it.name} out of {ADAPTERS}"
            )
            found[it.name] = Belonging(setting=it.setting, refusal=refusal)
    return found


def _adapter(known: Sequence[Entry], seen: Whose, *, adopting: bool) -> Belonging:
    this = _entry(seen)
    same = next(
        (
            it
            for it in known
            if it.name == seen.name
            # Unknown values match any.
            and (None in (it.account, seen.account) or it.account == seen.account)
            and (None in (it.mode, seen.mode) or it.mode == seen.mode)
        ),
        None,
    )
    if same is not None:
        full = replace(same, account=same.account or this.account, mode=same.mode or this.mode)
        return Belonging(new=() if full == same else (full,))
    if known and not adopting:
        named = any(it.name == seen.name for it in known)
        setting = seen.setting if named else ADAPTERS
        belongs = ", ".join(_described(it) for it in known)
        detail = (
            f"{setting} belongs to {_described(this)}, but this database belongs to {belongs}:"
            f" {_ADD}"
        )
        return Belonging(setting=setting, refusal=detail)
    if seen.unreachable and not known:
        return Belonging(waits=f"the account at {seen.name} is not known yet: no answer")
    return Belonging(new=(this,))


def _refuse_taken_name(
    known: Sequence[Entry], new: Sequence[Entry], unfinished: Mapping[str, int]
) -> None:
    """Raise where a name's unfinished refunds, begun at one account, would go on at another."""
    names = {it.name for it in known if it.kind == "adapter"}
    for it in new:
        if it.kind == "adapter" and it.id is None and it.name in names and it.name in unfinished:
            raise ConfigurationError(
                f"{Whose(it.name).setting} belongs to {_described(it)}, and {it.name} has"
                f" unfinished refunds ({unfinished[it.name]}), begun at another account: give this"
                f" one a name of its own in {ADAPTERS}, or let them end with the old key first"
                " (dispatch-returns refunds list)"
            )


def _entry(seen: Whose) -> Entry:
    return Entry("adapter", seen.name, seen.account, seen.mode)


def _described(entry: Entry) -> str:
    texts = [entry.name, entry.account, entry.mode and f"{entry.mode} mode"]
    return " ".join(it for it in texts if it)


class Installation:
    """Whether the database belongs to this process, and its id of the workspace. Thread-safe.

    `setting` is the workspace's name in the settings.
    """

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        adapters: Adapters,
        *,
        setting: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._client = client
        self._adapters = adapters
        self._setting = setting
        self._clock = clock
        self._lock = threading.Lock()
        self._found: Belonging | None = None
        self._checks = 0
        self._next_check: datetime | None = None
        self._ours: frozenset[str] = frozenset()

    def ready(self) -> bool:
        """Return whether work may be done. The first call asks the API and the processor."""
        found = self._found
        due = self._next_check is not None and self._clock() >= self._next_check
        if due and len(self._adapters) > 1 and found is not None and found.may_work:
            self._check_aside()
        elif due or found is None:
            with self._lock:
                # Another thread may have checked meanwhile.
                found = self._check() if self._found is found else self._found
        return found is not None and found.may_work

    def _check_aside(self) -> None:
        """Check again in a thread: a processor that hangs must not hold up the others."""
        if not self._lock.acquire(blocking=False):
            return  # it runs already

        def check() -> None:
            try:
                self._check()
            except Exception as error:  # noqa: BLE001 - the next check may succeed
                name = type(error).__name__
                log.warning("the accounts can't be checked again now: %s", name, extra=ids())
                self._next_check = self._clock() + _FIRST_RECHECK
            finally:
                self._lock.release()

        try:
            threading.Thread(target=check, name="dispatch-returns-accounts", daemon=True).start()
        except RuntimeError:  # the interpreter is ending
            self._lock.release()

    def may_pay(self, adapter: str) -> bool:
        """Return whether the database is known to belong to the adapter's account."""
        return self.ready() and adapter not in self._stopped()

    def _stopped(self) -> Mapping[str, Belonging]:
        return {} if self._found is None else self._found.stopped

    def workspace(self) -> str:
        """Return the id that ours are derived from. Raises `ConfigurationError` if unknown."""
        known = self.known_workspace()
        if known is None:
            self.require()
            known = self.known_workspace()
        assert known is not None
        return known

    def known_workspace(self) -> str | None:
        """Return the id that ours are derived from, None while it is not known."""
        if self._found is not None and self._found.workspace is not None:
            return self._found.workspace
        return _names(self._entries()).get(self._setting)

    def require(self) -> None:
        """Raise `ConfigurationError` unless the database is known to be this installation's."""
        if not self.ready():
            found = self._found
            assert found is not None
            raise ConfigurationError(found.refusal or found.waits or "")

    def refusal(self) -> str | None:
        """Return how the database differs from the settings, None if no difference is known."""
        return self._found.refusal if self._found is not None else None

    def differing_setting(self) -> str | None:
        """Return the setting that does not match this database, None if none is known to differ."""
        if self._found is None:
            return None
        adapters = (it.setting for it in self._stopped().values() if it.setting is not None)
        return self._found.setting or next(adapters, None)

    def examine(self) -> Belonging | None:
        """Compare without a change, for ``doctor``. None if the API has no such workspace."""
        entries = self._entries()
        seen = self._identity(entries)
        return None if seen.gone else compare(entries, seen)

    def adopt(self, *, who: str, why: str | None = None) -> tuple[Entry, ...]:
        """Add what the settings refer to to the database's entries; return what was new.

        It is recorded. Raises `ConfigurationError` if it is not known what they refer to, and for
        another account under an adapter's name that has unfinished refunds.
        """
        seen = self._identity(self._entries())

        def add(conn: Connection) -> Belonging:
            installation.lock(conn)
            known = installation.entries(conn)
            found = compare(known, seen, adopting=True)
            _refuse_taken_name(known, found.new, ledger.unfinished(conn))
            now = self._clock()
            if found.may_work:
                installation.write(conn, found.new, now)
                for it in found.new:
                    subject = f"{it.kind} {_described(it)}"
                    audit_log.record(conn, "adopt", now, who=who, why=why, subject=subject)
            return found

        found = self._store.write("installation.adopt", add)
        if not found.may_work:
            raise ConfigurationError(found.refusal or found.waits or "")
        self._keep(found)
        return found.new

    def owns(self, name: str, ticket_id: str | None) -> bool:
        """Return whether an event's workspace, called `name`, is ours.

        Only a new name is looked up; the result is kept in the store. Raises `APIError` if that
        is not possible now.
        """
        if name in self._ours:
            return True
        ours = self.workspace()
        known = {it.name: it for it in self._entries() if it.kind == "workspace"}
        account = known[name].account if name in known else self._account_of(name, ticket_id)
        if name not in known:
            if account not in {it.account for it in known.values()}:
                account = None
            new = Entry("workspace", name, account)

            def add_name(conn: Connection) -> None:
                installation.lock(conn)
                names = {it.name for it in installation.entries(conn) if it.kind == "workspace"}
                if name not in names:
                    installation.write(conn, [new], self._clock())

            self._store.write("installation.name", add_name)
            if account is None:
                text = "events of %s are ignored: %s names another workspace"
                log.warning(text, name, WORKSPACE, extra=ids())
        if account != ours:
            return False
        self._ours |= {name}
        return True

    def _account_of(self, name: str, ticket_id: str | None) -> str | None:
        """Return the API's id for the workspace that an event calls `name`."""
        try:
            return self._client.workspaces.get(name).id
        except (NotFoundError, PermissionDeniedError, InvalidArgumentError):
            pass
        if ticket_id is None:
            return None
        try:
            return self._client.tickets.get(ticket_id).workspace_id
        except (NotFoundError, PermissionDeniedError, InvalidArgumentError):
            return None

    def _check(self) -> Belonging:
        seen = self._identity(self._entries())

        def enter(conn: Connection) -> Belonging:
            installation.lock(conn)
            found = compare(installation.entries(conn), seen)
            installation.write(conn, found.new, self._clock())
            return found

        found = self._store.write("installation.enter", enter)
        if found.refusal is not None:
            log.error("nothing is paid: %s", found.refusal, extra=ids())
        elif found.waits is None:
            for name, it in found.stopped.items():
                log.error("nothing is paid through %s: %s", name, it.refusal, extra=ids())
        for why in (*filter(None, [found.waits]), *found.warnings):
            log.warning("%s", why, extra=ids())
        return self._keep(found)

    def _keep(self, found: Belonging) -> Belonging:
        self._checks += 1
        wait = min(_LONGEST_RECHECK, _FIRST_RECHECK * 2 ** min(self._checks - 1, 8))
        self._next_check = None if found.complete else self._clock() + wait
        if found.workspace is not None:
            self._ours = frozenset({self._setting, found.workspace})
        self._found = found
        return found

    def _entries(self) -> list[Entry]:
        with self._store.read() as conn:
            return installation.entries(conn)

    # What the settings refer to.

    def _identity(self, entries: Sequence[Entry]) -> Identity:
        adapters = tuple(_whose(name, it) for name, it in self._adapters.items())
        unreachable: list[str] = []
        denied: list[str] = []
        workspace: str | None = None
        gone = False
        also: frozenset[str] = frozenset()
        try:
            workspace = self._workspace_id()
            if workspace is None:
                denied.append("the key may not read the workspace")
        except NotFoundError:
            gone = True
        except APIError as error:
            unreachable.append(f"the Dispatch API: {type(error).__name__}")
        ours = _names(entries)
        if workspace is not None and workspace not in ours:
            # The other wire style may have another id for the same workspace.
            names = set(ours.values())
            also = frozenset(it for it in names if self._account_of(it, None) == workspace)
        return Identity(
            self._setting,
            workspace,
            adapters,
            also=also,
            gone=gone,
            unreachable=tuple(unreachable),
            denied=tuple(denied),
        )

    def _workspace_id(self) -> str | None:
        """Return the API's id for the workspace; a key for tickets only can see it on a ticket."""
        try:
            return self._client.workspaces.get().id
        except PermissionDeniedError:
            pass
        try:
            newest = next(iter(self._client.tickets.list(limit=1)), None)
        except PermissionDeniedError:
            return None
        return None if newest is None else newest.workspace_id


def _names(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the API's id of each of our workspaces, by each of its names."""
    found = (it for it in entries if it.kind == "workspace")
    return {it.name: it.account for it in found if it.account is not None}


def _whose(name: str, adapter: RefundAdapter) -> Whose:
    """Ask the processor whose account an adapter's key belongs to."""
    if not isinstance(adapter, SupportsAccount):
        return Whose(name)
    try:
        account = adapter.account()
    except AdapterError:
        return Whose(name, adapter.mode, unreachable=True)
    return Whose(name, adapter.mode, account, denied=account is None)
