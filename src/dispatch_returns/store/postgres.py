"""How PostgreSQL is opened: a schema of our own, durable commits, short waits."""

from __future__ import annotations

import contextlib
import hashlib
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError

from dispatch_returns.errors import ConfigurationError, MissingExtraError, StoreUnavailableError
from dispatch_returns.store.failures import LOGGING_NAME
from dispatch_returns.store.listener import NOTIFY, Listener
from dispatch_returns.store.writer import SharedWriter

if TYPE_CHECKING:
    from psycopg import Connection as PsycopgConnection
    from sqlalchemy.pool import ConnectionPoolEntry

SCHEMA = "dispatch_returns"
"""Where our tables are, so that they can share a database with the merchant's own."""

UPGRADES_ITSELF: bool = False
"""Other machines may still be running another version."""

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Each decision locks the row it is about; see `ledger.lock` and `ledger.count_alone`."""

_OLDEST = 14
_WRITES_AT_ONCE = 8
"""One of them commits in groups what was submitted."""
_READS_BESIDE = 8
_CONNECT_SECONDS = 5
_PING_AFTER = 1.0
"""Seconds that a pooled connection may rest before it is asked whether it still works."""
_SILENCE_SECONDS = 5
"""How long to wait for a network that does not answer. Webhook senders give up after ten."""

# A lock is held for milliseconds, unless its process was stopped inside a transaction: the server
# then ends that one. With `off`, a crash of the server would lose what was acknowledged.
_SESSION = """
SELECT set_config('lock_timeout', '5s', false),
       set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                  WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""


# libpq's settings against a network that swallows everything; the URL's own come first.
_TIMEOUTS = {
    "connect_timeout": _CONNECT_SECONDS,
    "tcp_user_timeout": _SILENCE_SECONDS * 1000,
    "keepalives_idle": _SILENCE_SECONDS,
    "keepalives_interval": 1,
    "keepalives_count": _SILENCE_SECONDS,
    "application_name": "dispatch-returns",
}


def create(url: URL) -> Engine:
    """Return an engine for the database in `url`; nothing is connected yet.

    Raises `MissingExtraError` without psycopg, `ConfigurationError` for another driver.
    """
    if url.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise ConfigurationError(
            f"the store uses PostgreSQL through psycopg, not through {url.drivername}:"
            " write postgresql://user:password@host/database"
        )
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            # As on SQLite, the writer begins and commits itself, and a reader needs neither.
            isolation_level="AUTOCOMMIT",
            connect_args={k: v for k, v in _TIMEOUTS.items() if k not in url.query},
            pool_size=_WRITES_AT_ONCE,
            max_overflow=_READS_BESIDE,
            pool_timeout=_CONNECT_SECONDS,
            hide_parameters=True,  # customers' data, which errors and logs would show
            logging_name=LOGGING_NAME,
        )
    except ImportError:  # psycopg, or the libpq it needs
        raise MissingExtraError("postgres", "a store on PostgreSQL") from None
    _Ping(engine)
    pooler = _Pooler()
    event.listen(engine, "do_connect", pooler.note)
    # Before SQLAlchemy's own first query on a new connection, which asks for the schema.
    event.listen(engine, "connect", _on_connect, insert=True)
    event.listen(engine, "connect", pooler.check, insert=True)  # and so before ours
    return engine


def writer(engine: Engine, check: Callable[[], None]) -> SharedWriter:  # noqa: ARG001 - a server's database is not replaced while open
    """Return this process's writer."""
    return SharedWriter(engine.connect, _begin, _check_intact, _commit, _WRITES_AT_ONCE - 1)


def listen(engine: Engine, heard: Callable[[], None]) -> Callable[[], None]:
    """Call `heard` when another process has accepted something, until the result is called."""
    return Listener(engine, heard).stop


def _begin(conn: Connection) -> None:
    """Begin a transaction; on a new connection if the server has closed this one meanwhile."""
    try:
        conn.exec_driver_sql(BEGIN)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        conn.rollback()  # only SQLAlchemy's own state: nothing was sent
        conn.exec_driver_sql(BEGIN)


def _commit(conn: Connection) -> None:
    """Commit a group, and notify the workers of other processes in the same round trip."""
    conn.exec_driver_sql(f"{NOTIFY}; COMMIT", execution_options={"no_parameters": True})
    conn.commit()  # only SQLAlchemy's own state


def _check_intact(conn: Connection) -> None:
    """Raise `StoreUnavailableError` if a statement has failed: COMMIT would say nothing of it."""
    from psycopg.pq import TransactionStatus

    driver: Any = conn.connection.driver_connection
    if driver.info.transaction_status != TransactionStatus.INTRANS:
        raise StoreUnavailableError("the database has not kept the transaction")


class _Ping:
    """Asks whether a pooled connection still works, if there is reason to doubt it.

    To ask at each use would double the round trips of a read. A server that goes down says so, and
    its last words wait in the socket; a network that forgets a connection needs time.
    """

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect
        event.listen(engine, "checkin", self._rest)
        event.listen(engine, "checkout", self._ask)

    def _rest(self, _connection: object, record: ConnectionPoolEntry) -> None:
        record.info["rests_since"] = time.monotonic()

    def _ask(self, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        since = record.info.pop("rests_since", None)
        if since is None:
            return  # it is new
        if time.monotonic() - since < _PING_AFTER and not _has_words(connection.fileno()):
            return
        try:
            self._dialect.do_ping(connection)
        except self._dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error  # SQLAlchemy connects again


def _has_words(socket: int) -> bool:
    """Return whether something waits to be read, without waiting."""
    if not hasattr(select, "poll"):  # on Windows
        return bool(select.select([socket], [], [], 0)[0])
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def begin_alone(conn: Connection) -> None:
    """Begin a transaction during which no other process changes the schema; create it if needed."""
    conn.exec_driver_sql(BEGIN)
    conn.exec_driver_sql("SET LOCAL lock_timeout = 0")  # another upgrade may take long
    lock_until_the_end(conn, "schema")
    conn.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
    # From a table, because only then does a session see what others have created meanwhile.
    found = "SELECT count(*) FROM pg_namespace WHERE nspname = current_schema()"
    if not conn.exec_driver_sql(found).scalar():
        conn.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")


def own_schema(conn: Connection) -> str | None:
    """Return the name of our schema, None before it is created: others do not count."""
    found: str | None = conn.exec_driver_sql("SELECT current_schema()").scalar()
    return found


def not_ours(conn: Connection, tables: list[str]) -> str:
    """Return the message for a schema that holds another program's tables."""
    return (
        f"the schema {own_schema(conn)} holds another program's tables"
        f" ({', '.join(tables[:3])}) and none of ours: nothing was changed. Remove the search_path"
        f" from DISPATCH_RETURNS_DATABASE_URL to use {SCHEMA}, or name an empty schema"
    )


def identity(engine: Engine) -> None:
    """Return None: the server looks after its database."""


def leave_for_fork(engine: Engine) -> None:
    """Do nothing: with psycopg, a child can forget its parent's sockets without closing them."""


def lock_until_the_end(conn: Connection, what: str) -> None:
    """Wait until no other transaction holds the lock on `what`; hold it until this one ends."""
    digest = hashlib.sha256(f"dispatch-returns {what}".encode()).digest()
    key = int.from_bytes(digest[:8], signed=True)
    conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({key})")


class _Pooler:
    """Refuses a pooler in transaction mode, which gives each transaction any free connection.

    Our session settings would be lost, and stay on connections that other programs get; prepared
    statements would fail under load.
    """

    def __init__(self) -> None:
        self._params: dict[str, Any] = {}
        self._keeps_sessions = False

    def note(self, _dialect: object, _record: object, _args: object, params: Any) -> None:
        """Keep how a connection is made: `check` needs a second one."""
        self._params = dict(params)

    def check(self, connection: PsycopgConnection[Any], _record: object) -> None:
        """Raise `ConfigurationError` if the connection is not a session on the server."""
        # A pooler reports a process number of its own, because it has many.
        direct = _server_process(connection) == connection.info.backend_pid
        connection.rollback()
        if direct or self._keeps_sessions:
            return
        if self._shares_connections(connection):
            connection.close()  # the pool does not own it yet
            raise ConfigurationError(
                "the database is behind a pooler in transaction mode (PgBouncer, Supavisor): use"
                " its session mode, which many providers offer on a separate port, or the server's"
                " direct address"
            )
        self._keeps_sessions = True

    def _shares_connections(self, first: PsycopgConnection[Any]) -> bool:
        """Return whether two clients that are connected at once share one process on the server.

        While the first is between transactions, a pooler gives its connection to the second,
        which keeps it, and another one to the first.
        """
        import psycopg

        seen = _server_process(first)
        first.rollback()
        with psycopg.connect(**self._params) as second:
            for _ in range(3):
                theirs = _server_process(second)
                if theirs == seen or _server_process(first) != seen:
                    return True
                first.rollback()
                second.rollback()
        return False


def _server_process(connection: PsycopgConnection[Any]) -> int:
    """Return the process that serves this transaction."""
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    assert row is not None
    return int(row[0])


def _on_connect(connection: PsycopgConnection[Any], _record: object) -> None:
    info = connection.info
    with contextlib.ExitStack() as on_error:
        on_error.callback(connection.close)  # the pool does not own it yet
        if info.server_version < _OLDEST * 10000:
            raise ConfigurationError(
                f"the database server is PostgreSQL {info.parameter_status('server_version')}: use"
                f" PostgreSQL {_OLDEST} or later"
            )
        encoding = info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise ConfigurationError(
                f"the database's encoding is {encoding}, which cannot hold every customer's text:"
                " create one with the encoding UTF8"
            )
        connection.autocommit = True
        connection.execute(_SESSION)
        if "search_path" not in info.options:
            connection.execute(f"SET search_path TO {SCHEMA}")
        on_error.pop_all()
