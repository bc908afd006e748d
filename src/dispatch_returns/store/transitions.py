"""States and moves as data: a table of transitions, declared once and checked at each write.

Each feature declares one table for its rows (`refunds.transitions`, `returns.transitions`,
`returns.label_records`). The diagrams in the docs are made from the same tables.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from dispatch_returns.errors import TransitionError

StateT = TypeVar("StateT", bound=enum.StrEnum)
ByT = TypeVar("ByT", bound=enum.StrEnum)

NEW = None
"""The state of a row that is not written yet."""


@dataclass(frozen=True, slots=True)
class Transition(Generic[StateT, ByT]):
    """What `by` may do: move a row from any of `sources` to any of `targets`.

    ``new_key``: the row may take a new idempotency key on the way.
    """

    by: ByT
    sources: frozenset[StateT | None]
    targets: frozenset[StateT]
    new_key: bool = False


class Transitions(Generic[StateT, ByT]):
    """Every move that a row of one kind may make; what is not here is not done."""

    def __init__(self, row: str, *transitions: Transition[StateT, ByT]) -> None:
        self.row = row
        self.all = transitions
        self._moves = {move for it in transitions for move in _moves(it)}
        self._with_new_key = {move for it in transitions if it.new_key for move in _moves(it)}

    def allows(
        self, source: StateT | None, target: StateT, by: ByT, *, new_key: bool = False
    ) -> bool:
        """Whether `by` may move a row from `source`, None for a new row, to `target`.

        With `new_key`, whether it may take a new idempotency key then.
        """
        return (by, source, target) in (self._with_new_key if new_key else self._moves)

    def check(
        self,
        row_id: str,
        source: StateT | None,
        target: StateT,
        by: ByT,
        *,
        new_key: bool = False,
    ) -> None:
        """Raise `TransitionError` for a move of the row `row_id` that is not allowed."""
        if not self.allows(source, target, by, new_key=new_key):
            key = " with a new idempotency key" if new_key else ""
            raise TransitionError(
                f"{self.row} {row_id} was not changed: it may not go from {source or 'new'} to"
                f" {target} by '{by}'{key}. This is a bug: please report it"
            )


def _moves(it: Transition[StateT, ByT]) -> Iterator[tuple[ByT, StateT | None, StateT]]:
    return ((it.by, source, target) for source in it.sources for target in it.targets)
