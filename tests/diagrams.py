"""The diagrams of the docs, made from the tables of transitions: ``python -m tests.diagrams``."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dispatch_returns.refunds import transitions as refunds
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.returns import label_records
from dispatch_returns.returns import transitions as returns
from dispatch_returns.returns.label_records import LabelState
from dispatch_returns.returns.transitions import ReturnAction, Step
from dispatch_returns.store.transitions import Transitions

DOCS = Path(__file__).parent.parent / "docs"
_Edge = tuple[str, str]


@dataclass(frozen=True)
class Diagram:
    """A table as a page of the docs shows it.

    An arrow to or from a whole one of the `groups` is drawn once. `late` are the actions that the
    diagram leaves out; they stand in the list of moves all the same.
    """

    page: str
    table: Transitions[Any, Any]
    states: type[enum.StrEnum]
    groups: Mapping[str, frozenset[Any]] = field(default_factory=dict[str, frozenset[Any]])
    late: frozenset[Any] = frozenset()

    def mermaid(self) -> str:
        """Return the diagram: an arrow for each move to another state, and what makes it."""
        labels: dict[_Edge, list[str]] = {}
        for by in dict.fromkeys(it.by for it in self.table.all if it.by not in self.late):
            for edge in self._edges(by):
                labels.setdefault(edge, []).append(str(by))
        lines = ["```mermaid", "stateDiagram-v2"]
        for name, states in self.groups.items():
            lines += [f"    state {name} {{", *(f"        {it}" for it in self._ordered(states))]
            lines.append("    }")
        order = ["[*]", *self.states, *self.groups]
        for (source, target), by_what in sorted(
            labels.items(), key=lambda it: [order.index(end) for end in it[0]]
        ):
            lines.append(f"    {source} --> {target}: {', '.join(by_what)}")
        return "\n".join([*lines, "```"])

    def moves(self) -> str:
        """Return the whole table: by what, from where, to where."""
        lines = ["| by | from | to |", "|---|---|---|"]
        for it in self.table.all:
            sources = [*(["new"] if None in it.sources else []), *self._said(it.sources)]
            targets = self._said(it.targets)
            key = ", with a new key if one was sent" if it.new_key else ""
            lines.append(f"| {it.by} | {', '.join(sources)} | {', '.join(targets)}{key} |")
        return "\n".join(lines)

    def _said(self, states: frozenset[Any]) -> list[str]:
        """Return the names of `states`, or what is missing where that is shorter."""
        missing = [f"`{it}`" for it in self.states if it not in states]
        if len(missing) > 1:
            return [f"`{it}`" for it in self._ordered(states)]
        return [f"any but {missing[0]}" if missing else "any"]

    def _ordered(self, states: frozenset[Any]) -> list[Any]:
        return [it for it in self.states if it in states]

    def _edges(self, by: Any) -> Iterator[_Edge]:
        """Return the arrows of one action, with groups in the place of all their states."""
        moves: set[_Edge] = {
            (str(source or "[*]"), str(target))
            for source in [None, *self.states]
            for target in self.states
            if self.table.allows(source, target, by)
        }
        for name, group in self.groups.items():
            for source in {source for source, _ in moves}:
                if all((source, target) in moves for target in group):
                    moves -= {(source, target) for target in group}
                    moves |= {(source, name)}
            for target in {target for _, target in moves}:
                if all((source, target) in moves for source in group):
                    moves -= {(source, target) for source in group}
                    moves |= {(name, target)}
        return ((source, target) for source, target in moves if source != target)


REFUNDS = Diagram(
    "refunds.md",
    refunds.TRANSITIONS,
    State,
    groups={
        "accepted": refunds.ACCEPTED,
        "given_up": frozenset({State.FAILED, State.CANCELED}),
    },
    late=frozenset({RefundAction.REPORT}),
)
RETURNS = Diagram(
    "workflow.md",
    returns.TRANSITIONS,
    Step,
    late=frozenset({ReturnAction.SET, ReturnAction.DELETE, ReturnAction.PARK}),
)
LABELS = Diagram("labels.md", label_records.TRANSITIONS, LabelState)
DIAGRAMS = {"refund": REFUNDS, "return": RETURNS, "label": LABELS}


def written(text: str) -> str:
    """Return a page's text with the blocks that are made here as they should be."""
    for name, diagram in DIAGRAMS.items():
        for kind, made in ((f"{name} diagram", diagram.mermaid), (f"{name} moves", diagram.moves)):
            begin, end = f"<!-- {kind}: python -m tests.diagrams -->\n", "\n<!-- end -->"
            before, found, rest = text.partition(begin)
            if found:
                _, _, after = rest.partition(end)
                text = f"{before}{begin}{made()}{end}{after}"
    return text


def main() -> None:
    """Write the diagrams into the docs."""
    for page in sorted({it.page for it in DIAGRAMS.values()}):
        path = DOCS / page
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
