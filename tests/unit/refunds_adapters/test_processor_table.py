"""The table of capabilities in the docs says what the adapters say."""

from __future__ import annotations

from tests.support import processor_table


def test_the_docs_show_every_installed_adapter_as_it_is() -> None:
    shown = processor_table.PAGE.read_text(encoding="utf-8")
    assert shown == processor_table.page(), "run: python -m tests.support.processor_table"
