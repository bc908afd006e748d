"""Books of any size, written in bulk: what a shop's database looks like after years."""

from __future__ import annotations

from sqlalchemy import Connection

from dispatch_returns.store import Store

GROWING = frozenset(
    {
        "acts", "attempts", "decisions", "inbox", "labels", "ledger", "outbox", "external_refunds",
        "receipts", "returns", "settled_before",
    }
)  # fmt: skip
"""The tables with a row for each return, refund, event or message."""

_OPEN = 20
"""How many returns, the oldest, are not over, however long the books are."""

_SQLITE = {
    "AT": "strftime('%Y-%m-%d %H:%M:%f000', 1700000000 + i, 'unixepoch')",
    "EMPTY": "'{}'",
    "NOTHING": "X'25'",
}
_POSTGRES = {
    "AT": "to_timestamp(1700000000 + i)",
    "EMPTY": "'{}'::json",
    "NOTHING": r"'\x25'::bytea",
}

# NO is a number with leading zeros, OPEN whether the row is one of the oldest.
_TABLES = {
    "inbox": """
        source, event_id, type, workspace_id, ticket_id, body, received_at, state, finished_at,
        due_at
        => 'dispatch', 'evt_' || NO, 'ticket.updated', 'ws_1', 'tkt_' || NO, NOTHING, AT,
        CASE WHEN OPEN THEN 'accepted' ELSE 'done' END, AT, CASE WHEN OPEN THEN AT END""",
    "returns": """
        id, workspace_id, ticket_id, number, step, status, order_id, order_key, items, customer,
        requested_at, entered_at, created_at, updated_at, working, woken, due_at
        => 'ret_' || NO, 'ws_1', 'tkt_' || NO, 'R-' || NO, CASE WHEN OPEN THEN 'label_sent'
        ELSE 'refunded' END, 'refunded', NO, NO, '[{"sku": "A", "quantity": 1}]',
        'c' || NO, AT, AT, AT, AT, FALSE, FALSE, CASE WHEN OPEN THEN AT END""",
    "decisions": """
        return_id, kind, outcome, who, data, at
        => 'ret_' || NO, 'status', 'approved', 'dispatch-returns', '{}', AT""",
    "labels": """
        id, return_id, parcel, provider, state, document, pdf, created_at, updated_at
        => 'lbl_' || NO || '_1', 'ret_' || NO, 1, 'pdf', 'bought', CASE WHEN OPEN THEN EMPTY END,
        CASE WHEN OPEN THEN NOTHING END, AT, AT""",
    "receipts": """
        id, return_id, ordinal, state, lines, received_date, who, created_at, updated_at
        => 'rcp_' || NO || '_1', 'ret_' || NO, 1, 'accepted',
        '[{"sku": "A", "quantity": 1, "condition": "new"}]', '2024-01-15', 'Ann', AT, AT""",
    "ledger": """
        id, workspace_id, ticket_id, ordinal, adapter, state, generation, amount_minor, currency,
        decimals, payment, payment_id, order_id, instructions_email, entered_at, uncertain,
        sent_day, processor_id, adopted, created_at, updated_at, due_at
        => 'rfd_' || NO, 'ws_1', 'tkt_' || NO, 1, 'fake', CASE WHEN OPEN THEN 'held'
        ELSE 'succeeded' END, 1, 14900, 'USD', 2, '{"kind": "payment_intent", "id": "x"}',
        'pi_' || NO, NO, CASE WHEN OPEN THEN 'a@example.com' END, AT, FALSE,
        'day ' || i / 100, 're_' || NO, FALSE, AT, AT, CASE WHEN OPEN THEN AT END""",
    "attempts": """
        refund_id, generation, call, outcome, at => 'rfd_' || NO, 1, 'refund', 'succeeded', AT""",
    "acts": """
        refund_id, act, who, at, subject => 'rfd_' || NO, 'approve', 'Ann', AT, 'order ' || NO""",
    "outbox": """
        dedupe_key, kind, workspace_id, ticket_id, refund_id, payload, state, created_at,
        finished_at, due_at
        => 'key ' || NO, 'note', 'ws_1', 'tkt_' || NO, 'rfd_' || NO, '{}',
        CASE WHEN OPEN THEN 'waiting' ELSE 'done' END, AT, AT, CASE WHEN OPEN THEN AT END""",
    "external_refunds": """
        adapter, processor_id, payment_id, amount_minor, currency, decimals, status, made_at,
        seen_at => 'fake', 'ext_' || NO, 'pi_' || NO, 100, 'USD', 2, 'succeeded', AT, AT""",
    "settled_before": "workspace_id, ticket_id => 'ws_1', 'old_' || NO",
}


def write(store: Store, returns: int) -> None:
    """Write `returns` returns, each with its event, refund, label, receipt and messages."""

    def fill(conn: Connection) -> None:
        words = _SQLITE if conn.dialect.name == "sqlite" else _POSTGRES
        words = words | {
            "NO": "substr(CAST(100000000 + i AS TEXT), 2)",
            "OPEN": f"(i <= {_OPEN})",
        }
        numbers = (
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {returns})"
        )
        for table, text in _TABLES.items():
            columns, values = text.split("=>", 1)
            for word, meaning in words.items():
                values = values.replace(word, meaning)
            conn.exec_driver_sql(
                f"INSERT INTO {table} ({columns}) {numbers} SELECT {values} FROM n"
            )

    store.write("books", fill)
    if store._engine.dialect.name == "postgresql":  # as its autovacuum does by itself
        with store._engine.connect() as conn:
            conn.exec_driver_sql("VACUUM ANALYZE")
