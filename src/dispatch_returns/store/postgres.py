"""How PostgreSQL is opened: one schema of ours, durable commits, and nothing waited for long."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from dispatch_returns.errors import ConfigurationError, MissingExtraError
from dispatch_returns.store import logs
from dispatch_returns.store.transactions import TransactionWriter

if TYPE_CHECKING:
    from psycopg import Connection as PsycopgConnection

SCHEMA = "dispatch_returns"
"""Where our tables are, so that they share a database with the merchant's own."""

UPGRADES_ITSELF: bool = False
"""Other machines may run another version at this moment."""

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Each decision locks the row it is about; see `ledger.lock` and `ledger.count_alone`."""

_OLDEST = 14
_WRITES_AT_ONCE = 8
_READS_BESIDE = 8
_CONNECT_SECONDS = 5
_SILENCE_SECONDS = 5
"""How long a network that does not answer is waited for. Webhook senders give up after ten."""

# A lock is held for milliseconds, unless whoever holds it has been stopped inside a transaction:
# the server then ends that one. `off` would acknowledge what a crash of the server loses.
_SESSION = """
SELECT set_config('lock_timeout', '5s', false),
       set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                  WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""


def create(url: URL) -> Engine:
    """Return an engine for the database in `url`; nothing is connected yet.

    Raises `MissingExtraError` without psycopg, `ConfigurationError` for another driver.
    """
    if url.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise ConfigurationError(
            f"the store speaks to PostgreSQL through psycopg, not through {url.drivername}:"
            " write postgresql://user:password@host/database"
        )
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            # As on SQLite, the writer says BEGIN and COMMIT itself, and a reader needs neither.
            isolation_level="AUTOCOMMIT",
            connect_args=_timeouts(url),
            pool_size=_WRITES_AT_ONCE,
            max_overflow=_READS_BESIDE,
            pool_timeout=_CONNECT_SECONDS,
            pool_pre_ping=True,  # after a restart of the server, the pool's connections are dead
            hide_parameters=True,  # they are customers' data, and would stand in errors and logs
            logging_name=logs.NAME,
        )
    except ImportError:  # psycopg, or the libpq it needs
        raise MissingExtraError("postgres", "a store on PostgreSQL") from None
    pooler = _Pooler()
    event.listen(engine, "do_connect", pooler.note)
    # Before SQLAlchemy's own look at a new connection, which asks for the schema.
    event.listen(engine, "connect", _on_connect, insert=True)
    event.listen(engine, "connect", pooler.check, insert=True)  # and so before ours
    return engine


def writer(engine: Engine, check: Callable[[], None]) -> TransactionWriter:  # noqa: ARG001 - a server's database is not put under another's feet
    """Return what writes to the database for this process."""
    return TransactionWriter(engine, BEGIN, _WRITES_AT_ONCE)


def begin_alone(conn: Connection) -> None:
    """Begin a transaction beside which nobody else changes the schema; make it if need be."""
    conn.exec_driver_sql(BEGIN)
    conn.exec_driver_sql("SET LOCAL lock_timeout = 0")  # another upgrade may take its time
    lock_until_the_end(conn, "schema")
    conn.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
    # From a table, for only then does a session look at what others have made meanwhile.
    found = "SELECT count(*) FROM pg_namespace WHERE nspname = current_schema()"
    if not conn.exec_driver_sql(found).scalar():
        conn.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")


def own_schema(conn: Connection) -> str | None:
    """Return the schema that is ours, None before it is made: other ones do not count."""
    found: str | None = conn.exec_driver_sql("SELECT current_schema()").scalar()
    return found


def not_ours(conn: Connection, tables: list[str]) -> str:
    """Return what to say where our schema holds the tables of another program."""
    return (
        f"the schema {own_schema(conn)} holds the tables of another program"
        f" ({', '.join(tables[:3])}), and none of ours: nothing was changed. Take the search_path"
        f" out of DISPATCH_RETURNS_DATABASE_URL, for then ours is {SCHEMA}, or name an empty schema"
    )


def identity(engine: Engine) -> None:
    """Return None: the server answers for its database."""


def leave_for_fork(engine: Engine) -> None:
    """Do nothing: psycopg lets a child forget its parent's sockets without closing them."""


def lock_until_the_end(conn: Connection, what: str) -> None:
    """Wait until no other transaction holds the lock on `what`, and hold it until this one ends."""
    digest = hashlib.sha256(f"dispatch-returns {what}".encode()).digest()
    key = int.from_bytes(digest[:8], signed=True)
    conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({key})")


def _timeouts(url: URL) -> dict[str, Any]:
    """Return libpq's settings against a network that swallows everything, where `url` is silent."""
    wanted = {
        "connect_timeout": _CONNECT_SECONDS,
        "tcp_user_timeout": _SILENCE_SECONDS * 1000,
        "keepalives_idle": _SILENCE_SECONDS,
        "keepalives_interval": 1,
        "keepalives_count": _SILENCE_SECONDS,
        "application_name": "dispatch-returns",
    }
    return {name: value for name, value in wanted.items() if name not in url.query}


class _Pooler:
    """Refuses a pooler that gives each transaction whichever connection to the server is free.

    What a session sets would be lost to us, and stay on connections that other programs get; and
    prepared statements would fail under load.
    """

    def __init__(self) -> None:
        self._params: dict[str, Any] = {}
        self._keeps_sessions = False

    def note(self, _dialect: object, _record: object, _args: object, params: Any) -> None:
        """Keep how a connection is made: a second one is needed to tell."""
        self._params = dict(params)

    def check(self, connection: PsycopgConnection[Any], _record: object) -> None:
        """Raise `ConfigurationError` where the connection is no session of the server's."""
        # A pooler tells us a process number of its own, for it has many.
        direct = _server_process(connection) == connection.info.backend_pid
        connection.rollback()
        if direct or self._keeps_sessions:
            return
        if self._shares_connections(connection):
            connection.close()  # the pool has not taken it over yet
            raise ConfigurationError(
                "the database is behind a pooler in transaction mode (PgBouncer, Supavisor): use"
                " its session mode, which has a port of its own at many providers, or the server's"
                " direct address"
            )
        self._keeps_sessions = True

    def _shares_connections(self, first: PsycopgConnection[Any]) -> bool:
        """Return whether two clients that are connected at once have one process of the server's.

        Where the first one is between transactions, a pooler gives its connection to the second
        one, which keeps it, and another one to the first.
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
    try:
        _check_server(connection)
        connection.autocommit = True
        connection.execute(_SESSION)
        if "search_path" not in connection.info.options:
            connection.execute(f"SET search_path TO {SCHEMA}")
    except BaseException:
        connection.close()  # the pool has not taken it over yet
        raise


def _check_server(connection: PsycopgConnection[Any]) -> None:
    info = connection.info
    if info.server_version < _OLDEST * 10000:
        raise ConfigurationError(
            f"the database server is PostgreSQL {info.parameter_status('server_version')}: use"
            f" PostgreSQL {_OLDEST} or later"
        )
    encoding = info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database's encoding is {encoding}, which cannot hold every customer's text: make"
            " one with the encoding UTF8"
        )
