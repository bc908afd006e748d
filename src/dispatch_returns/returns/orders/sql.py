"""Orders from the merchant's own database, by a query that the merchant writes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, SecretStr
from sqlalchemy import CursorResult, Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from dispatch_returns.errors import ConfigurationError, InvalidArgumentError, OrderError
from dispatch_returns.plugins.options import PluginOptions
from dispatch_returns.refunds.order_ids import plain_id
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.orders.records import TIME_ZONE, order_of, zone_of

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

OF_ORDER = (
    "order_id",
    "currency",
    "placed_at",
    "shipped_at",
    "delivered_at",
    "shipping",
    "order_discount",
    "order_fees",
    "order_total",
    "order_credit",
    "order_refunded",
    "order_hold",
    "prices_include_tax",
    "country",
    "ship_name",
    "ship_street",
    "ship_street2",
    "ship_city",
    "ship_postal_code",
    "ship_state",
    "ship_phone",
    "customer_email",
    "customer_id",
    "payment_intent",
    "charge_id",
    "payment_reference",
    "payment_adapter",
)
"""The columns that have the same value in every row of an order."""
OF_LINE = (
    "line_id",
    "sku",
    "quantity",
    "price",
    "tax",
    "discount",
    "title",
    "category",
    "final_sale",
    "weight",
    "removed",
)


class SqlOrderOptions(PluginOptions):
    """The options of `SqlOrders`."""

    url: SecretStr = Field(
        description="the database, as a SQLAlchemy URL of a user that can only read:"
        " `postgresql+psycopg://reader:...@db/shop`"
    )
    query: str | None = Field(
        default=None, description="the query, which selects the order by `:order_id`"
    )
    query_file: Path | None = Field(
        default=None, description="a file with the query; needed where `SQL_QUERY` is not set"
    )
    time_zone: str = TIME_ZONE


class SqlOrders:
    """An `OrderSource` on a SQL query with one row for each line, `:order_id` bound.

    The query runs with the id without a leading ``#``, then with the ticket's own spelling. If the
    database finds an order by several spellings, select the order's own id as ``order_id``.

    ``database`` is a SQLAlchemy URL, or an engine, which is not closed here. The columns are those
    of `OF_ORDER` and `OF_LINE`; amounts are in major units, without floats. Use a database account
    that can only read.
    """

    name = "sql"
    options_model = SqlOrderOptions

    def __init__(self, database: str | Engine, query: str, time_zone: str = "UTC") -> None:
        self._zone = zone_of(time_zone)
        if ":order_id" not in query:
            raise InvalidArgumentError("query", "it must select the order by :order_id")
        self._query = text(query)
        self._engine = database if isinstance(database, Engine) else _engine(database)
        self._owns_engine = not isinstance(database, Engine)

    @classmethod
    def from_options(cls, options: SqlOrderOptions) -> Self:
        """Build it from its options. Raises `ConfigurationError`."""
        query, path = options.query, options.query_file
        if query is None:
            if path is None:
                raise InvalidArgumentError("query_file", "is not set, and SQL_QUERY is not either")
            try:
                query = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidArgumentError(
                    "query_file", f"{path} cannot be read ({type(error).__name__})"
                ) from None
        return cls(options.url.get_secret_value(), query, options.time_zone)

    def close(self) -> None:
        """Close the connections, unless the engine is the caller's own."""
        if self._owns_engine:
            self._engine.dispose()

    def __repr__(self) -> str:
        return f"SqlOrders({self._engine.dialect.name})"

    def columns(self) -> frozenset[str]:
        """Return the columns that the query selects, in lower case. Raises `OrderError`."""
        with self._execute("dispatch-returns-doctor") as result:
            return frozenset(map(str.lower, result.keys()))

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order from the database, None if the query finds no rows.

        Raises `OrderError`, retryable if the database can't be reached.
        """
        del ticket
        rows: list[dict[str, Any]] = []
        for spelling in dict.fromkeys((plain_id(order_id), order_id)):
            with self._execute(spelling) as result:
                rows = [{str(name).lower(): row[name] for name in row} for row in result.mappings()]
            if rows:
                break
        else:
            return None
        known = (*OF_ORDER, *OF_LINE)
        for name in rows[0]:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                meant = f": did you mean {close[0]}?" if close else ", which is not used: remove it"
                raise OrderError(f"the orders' query has a column {name}{meant}")
        heads = [{name: row.get(name) for name in OF_ORDER} for row in rows]
        if differing := [n for n in OF_ORDER if any(head[n] != heads[0][n] for head in heads)]:
            raise OrderError(
                f"order {order_id}: the rows differ in {', '.join(differing)}:"
                " these must be the same in every row of an order"
            )
        return order_of(order_id, heads[0], rows, self._zone)

    @contextlib.contextmanager
    def _execute(self, order_id: str) -> Generator[CursorResult[Any]]:
        try:
            with self._engine.connect() as conn:
                yield conn.execute(self._query, {"order_id": order_id})
        except DBAPIError as error:
            # Only its name: its text has the query, the values and perhaps the address.
            kind = type(error.orig or error).__name__
            unreachable = isinstance(error.orig, Exception) and kind in _UNREACHABLE
            raise OrderError(f"the orders' database raised {kind}", retryable=unreachable) from None
        except SQLAlchemyError as error:
            raise OrderError(f"the orders' query failed: {type(error).__name__}") from None


_UNREACHABLE = frozenset({"OperationalError", "InterfaceError", "AdminShutdown", "InternalError"})


def _engine(url: str) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True)
    except ArgumentError:
        raise ConfigurationError("SQL_URL: not a SQLAlchemy database URL") from None
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(
            f"SQL_URL: the database's driver is not installed ({type(error).__name__})"
        ) from None
