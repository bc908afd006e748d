"""The tables, and the column types that the databases do not share.

Four tables are queues: `inbox`, `returns`, `ledger` and `outbox`. A row is work while ``due_at``
is set. Claiming a row moves ``due_at`` to the end of the lease and increments ``claims``. So a
dead worker's row becomes due again by itself, and a slow worker can be told from its successor by
the count that it got with its claim (a fencing token). ``failing_since`` is when the current kind
of failure started.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import sqlite

REVISION = "0001"
"""The newest migration. A test compares it with the scripts in ``migrations/versions``."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _written(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(" ", "microseconds")


class _Naive(sqlite.DATETIME):
    """A naive time, in the form that SQLAlchemy writes, but several times faster."""

    def bind_processor(self, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the function that writes a value; SQLAlchemy's type for it is private."""
        return _written


class Utc(TypeDecorator[datetime]):
    """An aware time in UTC. SQLite has no time zones, so it holds the naive UTC time."""

    impl = DateTime(timezone=True).with_variant(_Naive(), "sqlite")  # type: ignore[no-untyped-call]
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return `value` in UTC; a naive time is a programming error."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the stored time as an aware one, in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class ForeignText(TypeDecorator[str]):
    """A text from outside. Characters that a database cannot store become U+FFFD.

    PostgreSQL stores no NUL, and neither database stores half of a surrogate pair: a refund must
    not fail because of a stray character in an order number or a processor's message.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return `value` as every database can store it."""
        return value if value is None else storable(value)


def storable(value: str) -> str:
    """Return `value` with U+FFFD for each character that a database cannot store."""
    return _UNSTORABLE.sub("\ufffd", value)


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

# SQLite numbers rows by itself only if the key is declared INTEGER.
_Id = BigInteger().with_variant(Integer(), "sqlite")


def _queue_columns() -> list[Column[Any]]:
    return [
        Column("tries", Integer, nullable=False, server_default="0"),
        Column("claims", Integer, nullable=False, server_default="0"),
        Column("due_at", Utc),
        Column("failing_since", Utc),
    ]


def _due_index(table: Table) -> None:
    due_at = table.c.due_at
    waiting = due_at.is_not(None)
    # Partial: a million finished rows must not make the next claim slower.
    Index(f"ix_{table.name}_due_at", due_at, sqlite_where=waiting, postgresql_where=waiting)


inbox = Table(
    "inbox",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("workspace_id", Text),
    Column("ticket_id", Text),
    Column("body", LargeBinary, nullable=False),
    Column("occurred_at", Utc),
    Column("received_at", Utc, nullable=False),
    Column("state", Text, nullable=False),
    Column("error", ForeignText),
    Column("finished_at", Utc),
    *_queue_columns(),
    # The id first: people search by it alone.
    UniqueConstraint("event_id", "source"),
    Index("ix_inbox_ticket_id", "ticket_id", "id"),
)
_due_index(inbox)
SET_ASIDE = text("state NOT IN ('accepted', 'done')")
"""Events that were set aside. SQLite uses their index only for exactly this condition."""
Index(
    "ix_inbox_state",
    inbox.c.state,
    inbox.c.id,
    sqlite_where=SET_ASIDE,
    postgresql_where=SET_ASIDE,
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("ticket_id", Text, nullable=False, index=True),
    Column("ordinal", Integer, nullable=False),
    Column("adapter", Text),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("detail", ForeignText),
    Column("generation", Integer, nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("decimals", Integer),
    Column("payment", JSON(none_as_null=True)),
    Column("payment_id", Text, index=True),
    Column("order_id", ForeignText),
    Column("details", JSON(none_as_null=True)),
    Column("instructions_email", ForeignText),
    Column("ticket_status", ForeignText),
    Column("entered_at", Utc, nullable=False),
    Column("uncertain", Boolean, nullable=False),
    Column("first_sent_at", Utc),
    Column("sent_day", Text),
    Column("approved_by", ForeignText),
    Column("approved_minor", BigInteger),
    Column("approved_detail", ForeignText),
    Column("counted", JSON(none_as_null=True)),
    Column("processor_id", ForeignText),
    Column("adopted", Boolean, nullable=False),
    Column("arn", ForeignText),
    Column("failure_reason", ForeignText),
    Column("requested_at", Utc),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    *_queue_columns(),
    UniqueConstraint("workspace_id", "ticket_id", "ordinal"),
    Index("ix_ledger_sent_day", "sent_day", "currency"),
    Index("ix_ledger_created_at", "created_at", "id"),
    Index("ix_ledger_state", "state", "created_at", "id"),
)
_due_index(ledger)
_HAS_ADDRESS = ledger.c.instructions_email.is_not(None)
Index(
    "ix_ledger_updated_at",
    ledger.c.updated_at,
    sqlite_where=_HAS_ADDRESS,
    postgresql_where=_HAS_ADDRESS,
)
# A refund at the processor belongs to one row: if two rows counted it, one customer got nothing.
_CLAIMED = ledger.c.processor_id.is_not(None)
Index(
    "uq_ledger_processor_id",
    ledger.c.adapter,
    ledger.c.processor_id,
    unique=True,
    sqlite_where=_CLAIMED,
    postgresql_where=_CLAIMED,
)

external_refunds = Table(
    "external_refunds",
    metadata,
    Column("adapter", Text, primary_key=True),
    Column("processor_id", ForeignText, primary_key=True),
    Column("payment_id", Text),
    Column("payment_also", Text),
    Column("refund_id", Text),
    Column("ticket_id", Text),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("made_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
    Index("ix_external_refunds_payment_id", "adapter", "payment_id"),
    Index("ix_external_refunds_payment_also", "adapter", "payment_also"),
)

schema_revisions = Table(
    "schema_revisions",
    metadata,
    Column("revision", Text, primary_key=True),
    Column("works_with", Text, nullable=False),
)
"""For each applied migration, the oldest revision whose code works with its result."""

installation = Table(
    "installation",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("account", Text),
    Column("mode", Text),
    Column("added_at", Utc, nullable=False),
)
"""What the database belongs to: see `store.installation`."""

jobs = Table("jobs", metadata, Column("id", Text, primary_key=True), *_queue_columns())
_due_index(jobs)

go_live = Table(
    "go_live",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("began_at", Utc, nullable=False),
    Column("page", Text),
    Column("completed_at", Utc),
)

settled_before = Table(
    "settled_before",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("ticket_id", Text, primary_key=True),
)

restores = Table(
    "restores",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("known_until", Utc),
    Column("completed_at", Utc),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("refund_id", Text, ForeignKey("ledger.id"), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("call", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("processor_id", ForeignText),
    Column("code", ForeignText),
    Column("request_id", ForeignText),
    Column("message", ForeignText),
    Column("at", Utc, nullable=False),
)

acts = Table(
    "acts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("refund_id", Text, ForeignKey("ledger.id"), index=True),
    Column("act", Text, nullable=False),
    Column("who", ForeignText, nullable=False),
    Column("why", ForeignText),
    Column("at", Utc, nullable=False),
    Column("subject", ForeignText),
    Index("ix_acts_subject", "subject", "id"),
)

owners = Table(
    "owners",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("ticket_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("asked_at", Utc, nullable=False),
    Column("approved_at", Utc),
    Column("who", ForeignText),
)

keys = Table(
    "keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("made_at", Utc, nullable=False),
)

switches = Table(
    "switches",
    metadata,
    Column("name", Text, primary_key=True),
    Column("is_on", Boolean, nullable=False),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", Utc, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("dedupe_key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("workspace_id", Text, nullable=False),
    Column("ticket_id", Text, index=True),
    Column("refund_id", Text, index=True),
    Column("payload", JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("error", ForeignText),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Column("overdue_since", Utc),
    *_queue_columns(),
)
_due_index(outbox)
UNDELIVERED = text("state = 'undelivered'")
Index("ix_outbox_state", outbox.c.state, sqlite_where=UNDELIVERED, postgresql_where=UNDELIVERED)

returns = Table(
    "returns",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("ticket_id", Text, nullable=False, index=True),
    Column("number", Text, nullable=False, unique=True),
    Column("step", Text, nullable=False),
    Column("status", ForeignText, nullable=False),
    Column("order_id", ForeignText),
    Column("order_key", ForeignText),
    Column("reason", ForeignText),
    Column("items", JSON, nullable=False),
    Column("customer", Text),
    Column("claimed", JSON(none_as_null=True)),
    Column("policy", Text),
    Column("terms", JSON(none_as_null=True)),
    Column("planned", JSON(none_as_null=True)),
    Column("error", ForeignText),
    Column("requested_at", Utc, nullable=False),
    Column("entered_at", Utc, nullable=False),
    Column("reminded_at", Utc),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    Column("working", Boolean, nullable=False),
    Column("woken", Boolean, nullable=False),
    *_queue_columns(),
    UniqueConstraint("workspace_id", "ticket_id"),
    Index("ix_returns_order_key", "workspace_id", "order_key"),
    Index("ix_returns_customer", "workspace_id", "customer"),
    Index("ix_returns_created_at", "created_at", "id"),
    Index("ix_returns_step", "step", "created_at", "id"),
)
_due_index(returns)

decisions = Table(
    "decisions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("return_id", Text, ForeignKey("returns.id"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("who", ForeignText, nullable=False),
    Column("why", ForeignText),
    Column("data", JSON, nullable=False),
    Column("at", Utc, nullable=False),
)

labels = Table(
    "labels",
    metadata,
    Column("id", Text, primary_key=True),
    Column("return_id", Text, ForeignKey("returns.id"), nullable=False),
    Column("parcel", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("provider_id", ForeignText),
    Column("tracking_number", ForeignText),
    Column("tracking_url", ForeignText),
    Column("carrier", ForeignText),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("decimals", Integer),
    Column("document", JSON(none_as_null=True)),
    Column("pdf", LargeBinary),
    Column("upload_id", ForeignText),
    Column("attachment_id", ForeignText),
    Column("error", ForeignText),
    Column("send_by", Utc),
    Column("expires_at", Utc),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    UniqueConstraint("return_id", "parcel"),
)
_HAS_FILE = labels.c.pdf.is_not(None)
Index(
    "ix_labels_updated_at", labels.c.updated_at, sqlite_where=_HAS_FILE, postgresql_where=_HAS_FILE
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("return_id", Text, ForeignKey("returns.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("key", Text),
    Column("state", Text, nullable=False),
    Column("lines", JSON, nullable=False),
    Column("received_date", ForeignText),
    Column("who", ForeignText, nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("decimals", Integer),
    Column("breakdown", JSON(none_as_null=True)),
    Column("detail", ForeignText),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    UniqueConstraint("return_id", "ordinal"),
    UniqueConstraint("return_id", "key", name="uq_receipts_key"),
)

access_attempts = Table(
    "access_attempts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("at", Utc, nullable=False, index=True),
    Index("ix_access_attempts_subject", "subject", "at"),
)
"""Attempts to prove an order, by what they are counted for: a digest, which names nobody."""

online_requests = Table(
    "online_requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("order_id", ForeignText, nullable=False),
    Column("order_key", ForeignText, nullable=False),
    Column("items", JSON, nullable=False),
    Column("reason", ForeignText, nullable=False),
    Column("detail", ForeignText),
    Column("language", Text, nullable=False),
    Column("email", ForeignText),
    Column("note", ForeignText),
    Column("ticket_id", Text, index=True),
    Column("created_at", Utc, nullable=False),
    Index("ix_online_requests_order_key", "workspace_id", "order_key"),
)
"""Returns that customers have asked for in the portal, until and after they have a ticket."""

APPEND_ONLY = (attempts, acts, decisions)
"""Tables whose rows are never changed or deleted; triggers enforce it."""
