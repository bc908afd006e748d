from __future__ import annotations

import pytest

from tests.diagrams import DIAGRAMS, DOCS, Diagram, written


@pytest.mark.parametrize("diagram", DIAGRAMS.values(), ids=DIAGRAMS)
def test_the_docs_show_the_table_that_the_code_has(diagram: Diagram) -> None:
    text = (DOCS / diagram.page).read_text(encoding="utf-8")
    assert diagram.mermaid() in text, "python -m tests.diagrams writes it"
    assert diagram.moves() in text
    assert written(text) == text


def test_an_old_diagram_is_replaced_and_nothing_else() -> None:
    begin = "<!-- refund diagram: python -m tests.diagrams -->"
    found = written(f"before\n{begin}\nold\n<!-- end -->\nafter\n")
    assert found == f"before\n{begin}\n{DIAGRAMS['refund'].mermaid()}\n<!-- end -->\nafter\n"


def test_an_arrow_to_each_state_of_a_group_is_drawn_to_the_group() -> None:
    assert "    sending --> accepted: answered, looked up\n" in DIAGRAMS["refund"].mermaid()
    assert "sending --> succeeded" not in DIAGRAMS["refund"].mermaid()
